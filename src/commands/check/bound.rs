//! Does each binding of the operator have a namespace that exists?
//!
//! A `ClusterRoleBinding` outlives the namespace of its ServiceAccount, and so do the `RoleBindings` that
//! a limited installation has in other namespaces. Any user who creates a namespace of that name later
//! gets its permissions.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::api::rbac::v1::Subject;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::Client;

use crate::api::dns_names::is_dns_subdomain;
use crate::commands::check::finding::Finding;
use crate::commands::check::finding::FindingState;
use crate::commands::check::finding::Question;
use crate::kubernetes::lists::List;
use crate::kubernetes::pages::each_object;
use crate::names;

const SUBJECT: &str = "ClusterRoleBindings and RoleBindings";

/// A binding of the operator or of its uninstall Job.
struct OurBinding {
    /// The namespace of a `RoleBinding`.
    within: Option<String>,
    name: String,
    /// The namespaces of its ServiceAccounts.
    namespaces: Vec<String>,
}

/// Finds bindings of this or of a former installation whose namespace does not exist.
pub async fn bound(client: &Client) -> Vec<Finding> {
    match find(client).await {
        Ok(findings) => findings,
        Err(error) => vec![Finding::unknown(Question::Permitted, SUBJECT, &error)],
    }
}

async fn find(client: &Client) -> kube::Result<Vec<Finding>> {
    let bindings = our_bindings(client).await?;
    let namespaces: BTreeSet<_> = bindings.iter().flat_map(|it| it.namespaces.clone()).collect();
    let api: Api<Namespace> = Api::all(client.clone());
    let mut missing = BTreeSet::new();
    for namespace in namespaces {
        if api.get_metadata_opt(&namespace).await?.is_none() {
            missing.insert(namespace);
        }
    }
    let mut findings: Vec<_> = bindings.iter().filter_map(|it| warning(it, &missing)).collect();
    if findings.is_empty() {
        let message = format!("{}, all of namespaces that exist", bindings.len());
        findings.push(Finding::new(Question::Permitted, SUBJECT, FindingState::Ok, message));
    }
    Ok(findings)
}

async fn our_bindings(client: &Client) -> kube::Result<Vec<OurBinding>> {
    let mut bindings = Vec::new();
    let list = List::objects::<ClusterRoleBinding>(None);
    each_object(client, &list, |binding| bindings.extend(our_binding(binding))).await?;
    let list = List::objects::<RoleBinding>(None).labelled(names::LABEL_NAME);
    each_object(client, &list, |binding| bindings.extend(our_role_binding(binding))).await?;
    Ok(bindings)
}

fn our_binding(binding: ClusterRoleBinding) -> Option<OurBinding> {
    if !is_ours(&binding.metadata) {
        return None;
    }
    let namespaces = namespaces_of(binding.subjects);
    Some(OurBinding { within: None, name: binding.metadata.name?, namespaces })
}

/// By the label that the chart sets. The users of a namespace create `RoleBindings` there, too: the name
/// becomes a part of a command, so it must be one that needs no quotes in a shell.
fn our_role_binding(binding: RoleBinding) -> Option<OurBinding> {
    let RoleBinding { metadata, role_ref, subjects } = binding;
    let name = metadata.name.clone()?;
    let is_as_in_chart = role_ref.kind == "Role" && role_ref.name == name;
    if !has_our_label(&metadata) || !is_as_in_chart || !is_dns_subdomain(&name) {
        return None;
    }
    Some(OurBinding { within: metadata.namespace, name, namespaces: namespaces_of(subjects) })
}

fn namespaces_of(subjects: Option<Vec<Subject>>) -> Vec<String> {
    let accounts = subjects.unwrap_or_default().into_iter();
    let accounts = accounts.filter(|subject| subject.kind == "ServiceAccount");
    accounts.filter_map(|subject| subject.namespace).collect()
}

/// By its name in the manifests, or by the label that the chart sets under any name.
fn is_ours(metadata: &ObjectMeta) -> bool {
    has_our_label(metadata) || metadata.name.as_deref().is_some_and(is_application)
}

fn has_our_label(metadata: &ObjectMeta) -> bool {
    let label = metadata.labels.as_ref().and_then(|labels| labels.get(names::LABEL_NAME));
    label.is_some_and(|label| is_application(label))
}

fn is_application(name: &str) -> bool {
    name.strip_suffix("-uninstall").unwrap_or(name) == names::APPLICATION
}

fn warning(binding: &OurBinding, missing: &BTreeSet<String>) -> Option<Finding> {
    let OurBinding { within, name, namespaces } = binding;
    let namespace = namespaces.iter().find(|namespace| missing.contains(*namespace))?;
    let (subject, permissions, command) = match within {
        None => (
            format!("ClusterRoleBinding {name}"),
            "the operator's permissions".to_owned(),
            format!("kubectl delete clusterrolebinding {name}"),
        ),
        Some(within) => (
            format!("RoleBinding {within}/{name}"),
            format!("the operator's permissions in namespace {within}"),
            format!("kubectl --namespace {within} delete rolebinding {name}"),
        ),
    };
    let message = format!(
        "binds a ServiceAccount of namespace {namespace}, which does not exist: any user who \
         creates that namespace gets {permissions}: run `{command}`"
    );
    Some(Finding::new(Question::Permitted, &subject, FindingState::Warning, message))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn binding(name: &str, label: &str) -> ClusterRoleBinding {
        serde_json::from_value(json!({
            "metadata": {"name": name, "labels": {names::LABEL_NAME: label}},
            "roleRef": {"apiGroup": "", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "gone"}],
        }))
        .unwrap()
    }

    #[test]
    fn bindings_are_recognized_by_name_or_label() {
        for (name, label, expected) in [
            ("configmapsync", "", true),
            ("configmapsync-uninstall", "", true),
            ("platform:x-configmapsync", "configmapsync", true),
            ("platform:x-configmapsync-uninstall", "configmapsync-uninstall", true),
            ("configmapsync-admin", "other", false),
        ] {
            assert_eq!(our_binding(binding(name, label)).is_some(), expected, "{name}");
        }
    }

    #[test]
    fn role_bindings_are_recognized_by_their_label() {
        let binding = |name: &str, role: &str, label: &str| -> RoleBinding {
            serde_json::from_value(json!({
                "metadata": {"name": name, "namespace": "a", "labels": {names::LABEL_NAME: label}},
                "roleRef": {"apiGroup": "", "kind": "Role", "name": role},
                "subjects": [{"kind": "ServiceAccount", "name": "a", "namespace": "gone"}],
            }))
            .unwrap()
        };
        let scope = "x-configmapsync-scope";
        for (name, role, label, expected) in [
            (scope, scope, "configmapsync", true),
            (scope, scope, "configmapsync-uninstall", true),
            (scope, scope, "other", false),
            ("configmapsync", "configmapsync", "other", false),
            (scope, "other", "configmapsync", false),
            ("a; reboot", "a; reboot", "configmapsync", false),
        ] {
            let found = our_role_binding(binding(name, role, label));
            assert_eq!(found.is_some(), expected, "{name} {role} {label}");
        }
    }

    #[test]
    fn only_a_missing_namespace_is_a_warning() {
        let binding = our_binding(binding("configmapsync", "")).unwrap();
        assert_eq!(warning(&binding, &BTreeSet::new()), None);
        let found = warning(&binding, &BTreeSet::from(["gone".to_owned()])).unwrap();
        assert!(found.message.contains("delete clusterrolebinding configmapsync"), "{found:?}");
    }
}
