//! The `ClusterRoleBindings` of an installation, and the `RoleBindings` that it has in other namespaces if
//! it is limited to them. One that is left grants the operator's permissions to any user who creates the
//! operator's namespace again.

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::api::rbac::v1::Subject;
use kube::Api;
use kube::Client;
use kube::api::DeleteParams;
use kube::api::Preconditions;

use crate::access::rule;
use crate::api::namespaced_name::NamespacedName;
use crate::api::scope::Scope;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::has_code;
use crate::kubernetes::error::is_object_missing;
use crate::kubernetes::error::unless_missing;
use crate::kubernetes::lists::List;
use crate::kubernetes::pages::each_object;
use crate::names;

/// The longest part of the name of the Deployment that the chart puts into the name of the Job.
const MAX_NAME_IN_JOB: usize = 53;

/// A `RoleBinding` of an installation.
pub struct OurRoleBinding {
    /// The binding.
    pub at: NamespacedName,
    uid: Option<String>,
}

/// The names of the `ClusterRoleBindings` of the installation with this Deployment, as the chart and
/// the manifests choose them: that of the operator, and that of the uninstall Job, which this process
/// may be. Its own permissions must go last.
#[must_use]
pub fn binding_names(deployment: &NamespacedName) -> [String; 2] {
    let NamespacedName { namespace, name } = deployment;
    let cluster_name =
        if name == names::INSTALLATION { name.clone() } else { format!("{namespace}:{name}") };
    let of_job = format!("{cluster_name}-uninstall");
    [cluster_name, of_job]
}

/// Deletes the binding `name`, unless it binds an account outside `namespace`. Returns whether it
/// existed.
///
/// # Errors
/// The API server rejects a call, or does not respond.
pub async fn delete_binding(
    client: &Client,
    name: &str,
    namespace: &str,
) -> Result<bool, ApiFailure> {
    let api: Api<ClusterRoleBinding> = Api::all(client.clone());
    let found = unless_missing::<ClusterRoleBinding, _>(name, api.get(name).await);
    let found = found
        .map_err(|error| ApiFailure::of(&format!("read ClusterRoleBinding {name}"), &error))?;
    let is_ours =
        |found: &ClusterRoleBinding| is_of_namespace(found.subjects.as_deref(), namespace);
    let Some(found) = found.filter(is_ours) else {
        return Ok(false);
    };
    match api.delete(name, &if_uid(found.metadata.uid)).await {
        Err(error) if is_object_missing::<ClusterRoleBinding>(&error, name) => Ok(false),
        Err(error) => Err(ApiFailure::of(&format!("delete ClusterRoleBinding {name}"), &error)),
        Ok(_) => Ok(true),
    }
}

/// The `RoleBindings` in `scope` that the chart has created for the installation with this Deployment,
/// because it is limited to some namespaces: by name, label, and the namespace of the accounts. None if
/// the caller may not list them, as the uninstall Job, after which Helm deletes them.
///
/// # Errors
/// The API server rejects the list for another reason, or does not respond.
pub async fn role_bindings(
    client: &Client,
    deployment: &NamespacedName,
    scope: &Scope,
) -> Result<Vec<OurRoleBinding>, ApiFailure> {
    let names = role_binding_names(&deployment.name);
    let mut found = Vec::new();
    let list = List::objects::<RoleBinding>(None).labelled(names::LABEL_NAME);
    let listed = each_object(client, &list, |binding: RoleBinding| {
        let is_ours = is_of_namespace(binding.subjects.as_deref(), &deployment.namespace);
        if let (Some(namespace), Some(name)) = (binding.metadata.namespace, binding.metadata.name)
            && is_ours
            && names.contains(&name)
            && binding.role_ref.name == name
            && scope.contains(&namespace)
        {
            let at = NamespacedName::new(namespace, name);
            found.push(OurRoleBinding { at, uid: binding.metadata.uid });
        }
    });
    match listed.await {
        Err(error) if has_code(&error, 403) => Ok(Vec::new()),
        Err(error) => Err(ApiFailure::of("list RoleBindings", &error)),
        Ok(()) => Ok(found),
    }
}

/// Deletes the `binding`. Returns whether it existed.
///
/// # Errors
/// The API server rejects the call, or does not respond.
pub async fn delete_role_binding(
    client: &Client,
    binding: &OurRoleBinding,
) -> Result<bool, ApiFailure> {
    let OurRoleBinding { at, uid } = binding;
    let api: Api<RoleBinding> = Api::namespaced(client.clone(), &at.namespace);
    match api.delete(&at.name, &if_uid(uid.clone())).await {
        Err(error) if is_object_missing::<RoleBinding>(&error, &at.name) => Ok(false),
        Err(error) => Err(ApiFailure::of(&format!("delete RoleBinding {at}"), &error)),
        Ok(_) => Ok(true),
    }
}

/// The names of the operator's `RoleBinding` and of that of the uninstall Job, in each namespace of the
/// scope.
fn role_binding_names(deployment: &str) -> [String; 2] {
    let part = deployment.get(..MAX_NAME_IN_JOB).unwrap_or(deployment);
    let part = part.strip_suffix('-').unwrap_or(part);
    [format!("{deployment}-scope"), format!("{part}-uninstall-scope")]
}

fn if_uid(uid: Option<String>) -> DeleteParams {
    let preconditions = Preconditions { uid, resource_version: None };
    DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
}

/// Whether every subject is a ServiceAccount in `namespace`.
fn is_of_namespace(subjects: Option<&[Subject]>, namespace: &str) -> bool {
    let subjects = subjects.unwrap_or_default();
    let is_inside = |subject: &Subject| {
        subject.kind == "ServiceAccount" && subject.namespace.as_deref() == Some(namespace)
    };
    !subjects.is_empty() && subjects.iter().all(is_inside)
}

/// Permissions for deleting the bindings of the installation with the cluster-wide name
/// `cluster_name`.
#[must_use]
pub fn access(cluster_name: &str) -> Vec<PolicyRule> {
    let names = vec![cluster_name.to_owned(), format!("{cluster_name}-uninstall")];
    vec![PolicyRule {
        resource_names: Some(names),
        ..rule("rbac.authorization.k8s.io", "clusterrolebindings", &["get", "delete"])
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_are_those_of_the_chart() {
        let names = role_binding_names("configmapsync");
        assert_eq!(names, ["configmapsync-scope", "configmapsync-uninstall-scope"]);
        let long = format!("{}-{}", "a".repeat(52), "b".repeat(10));
        assert_eq!(role_binding_names(&long)[1], format!("{}-uninstall-scope", "a".repeat(52)));
    }
}
