//! Roles and their bindings for a ServiceAccount.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::api::rbac::v1::Role;
use k8s_openapi::api::rbac::v1::RoleBinding;
use k8s_openapi::api::rbac::v1::RoleRef;
use k8s_openapi::api::rbac::v1::Subject;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Serialize;

use crate::api::namespaced_name::NamespacedName;
use crate::commands::error::Error;
use crate::decide::verb::Verb;
use crate::names;

const RBAC: &str = "rbac.authorization.k8s.io";

/// What the ServiceAccount of a sync must be allowed to do.
pub struct RightsOf {
    /// The sync.
    pub sync: NamespacedName,
    /// Its ServiceAccount.
    pub account: NamespacedName,
    /// The source, to read.
    pub source: NamespacedName,
    /// The copies, to write.
    pub destinations: Destinations,
}

/// Where copies are written.
pub enum Destinations {
    /// These copies.
    Each(BTreeSet<NamespacedName>),
    /// Copies of this name in all namespaces, later ones included.
    All(String),
}

/// The Roles and bindings, as YAML documents.
///
/// # Errors
/// They cannot be serialized.
pub fn yaml(rights: &RightsOf) -> Result<String, Error> {
    let NamespacedName { namespace, name } = &rights.source;
    let rules = vec![rule(&[Verb::Get], Some(name.as_str()))];
    let mut documents = rights.namespaced("source", namespace, rules)?.to_vec();
    match &rights.destinations {
        Destinations::All(name) => documents.extend(rights.in_all_namespaces(write_rules(name))?),
        Destinations::Each(copies) => {
            for NamespacedName { namespace, name } in copies {
                documents.extend(rights.namespaced("copies", namespace, write_rules(name))?);
            }
        }
    }
    Ok(documents.join("---\n"))
}

// === impl RightsOf ===

impl RightsOf {
    fn namespaced(
        &self,
        purpose: &str,
        namespace: &str,
        rules: Vec<PolicyRule>,
    ) -> Result<[String; 2], Error> {
        let metadata = self.metadata(purpose, Some(namespace));
        let role = Role { metadata: metadata.clone(), rules: Some(rules) };
        let subjects = Some(vec![self.subject()]);
        let binding = RoleBinding { role_ref: reference("Role", &metadata), metadata, subjects };
        Ok([document(&role)?, document(&binding)?])
    }

    fn in_all_namespaces(&self, rules: Vec<PolicyRule>) -> Result<[String; 2], Error> {
        let metadata = self.metadata("copies", None);
        let rules = Some(rules);
        let role = ClusterRole { metadata: metadata.clone(), rules, ..ClusterRole::default() };
        let role_ref = reference("ClusterRole", &metadata);
        let subjects = Some(vec![self.subject()]);
        let binding = ClusterRoleBinding { role_ref, metadata, subjects };
        Ok([document(&role)?, document(&binding)?])
    }

    fn metadata(&self, purpose: &str, namespace: Option<&str>) -> ObjectMeta {
        let NamespacedName { namespace: of, name } = &self.sync;
        let part_of = (names::LABEL_PART_OF.to_owned(), names::APPLICATION.to_owned());
        ObjectMeta {
            labels: Some(BTreeMap::from([part_of])),
            name: Some(format!("configmapsync:{of}:{name}:{purpose}")),
            namespace: namespace.map(str::to_owned),
            ..ObjectMeta::default()
        }
    }

    fn subject(&self) -> Subject {
        Subject {
            kind: "ServiceAccount".to_owned(),
            name: self.account.name.clone(),
            namespace: Some(self.account.namespace.clone()),
            ..Subject::default()
        }
    }
}

fn reference(kind: &str, role: &ObjectMeta) -> RoleRef {
    RoleRef {
        api_group: RBAC.to_owned(),
        kind: kind.to_owned(),
        name: role.name.clone().unwrap_or_default(),
    }
}

/// RBAC does not see the name in a request to create an object.
fn write_rules(name: &str) -> Vec<PolicyRule> {
    vec![rule(&[Verb::Create], None), rule(&[Verb::Update, Verb::Delete], Some(name))]
}

fn rule(verbs: &[Verb], name: Option<&str>) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![String::new()]),
        resources: Some(vec!["configmaps".to_owned()]),
        resource_names: name.map(|name| vec![name.to_owned()]),
        verbs: verbs.iter().map(|verb| verb.as_str().to_owned()).collect(),
        ..PolicyRule::default()
    }
}

fn document(value: &impl Serialize) -> Result<String, Error> {
    let text = serde_saphyr::to_string(value)?;
    Ok(if text.ends_with('\n') { text } else { text + "\n" })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rights(destinations: Destinations) -> String {
        let [sync, account, source] =
            ["team/sync", "team/copier", "central/shared"].map(|name| name.parse().unwrap());
        yaml(&RightsOf { sync, account, source, destinations }).unwrap()
    }

    #[test]
    fn a_role_and_a_binding_per_namespace() {
        let copies = ["app/copy", "web/copy"].map(|name| name.parse().unwrap());
        let text = rights(Destinations::Each(copies.into()));
        let documents: Vec<_> = text.split("---\n").collect();
        assert_eq!(documents.len(), 6, "{text}");
        for (document, kind, namespace, verb) in [
            (documents[0], "kind: Role\n", "namespace: central", "get"),
            (documents[2], "kind: Role\n", "namespace: app", "create"),
            (documents[4], "kind: Role\n", "namespace: web", "delete"),
        ] {
            for words in [kind, namespace, verb] {
                assert!(document.contains(words), "{words}: {document}");
            }
        }
        assert!(documents[1].contains("kind: RoleBinding\n"), "{text}");
        assert!(!text.contains("Cluster"), "{text}");
    }

    #[test]
    fn a_cluster_role_for_all_namespaces() {
        let text = rights(Destinations::All("copy".to_owned()));
        assert!(
            text.contains("kind: ClusterRole\n") && text.contains("kind: ClusterRoleBinding\n")
        );
        assert_eq!(text.matches("---\n").count(), 3, "{text}");
    }
}
