//! The `ClusterRoleBindings` of an installation. One that is left grants the operator's permissions to
//! any user who creates the operator's namespace again.

use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::api::rbac::v1::Subject;
use kube::Api;
use kube::Client;
use kube::api::DeleteParams;
use kube::api::Preconditions;

use crate::access::rule;
use crate::api::namespaced_name::NamespacedName;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::is_object_missing;
use crate::kubernetes::error::unless_missing;
use crate::names;

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
    let Some(found) = found.filter(|found| is_of_namespace(found, namespace)) else {
        return Ok(false);
    };
    let preconditions = Preconditions { uid: found.metadata.uid, resource_version: None };
    let parameters = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match api.delete(name, &parameters).await {
        Err(error) if is_object_missing::<ClusterRoleBinding>(&error, name) => Ok(false),
        Err(error) => Err(ApiFailure::of(&format!("delete ClusterRoleBinding {name}"), &error)),
        Ok(_) => Ok(true),
    }
}

/// Whether every subject is a ServiceAccount in `namespace`.
fn is_of_namespace(binding: &ClusterRoleBinding, namespace: &str) -> bool {
    let subjects = binding.subjects.as_deref().unwrap_or_default();
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
