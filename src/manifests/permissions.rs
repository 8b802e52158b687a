//! The permissions of the operator and of the uninstall Job, collected from the modules that use
//! them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::controller;
use crate::election;
use crate::election::fence_probe;
use crate::manifests::installation::CLUSTER_NAME;
use crate::manifests::installation::DEPLOYMENT;
use crate::names;
use crate::reviews;
use crate::uninstall;

/// Resources that are not in any namespace.
const CLUSTER_SCOPED: [&str; 2] = ["namespaces", "customresourcedefinitions"];

/// The operator's permissions in the whole cluster.
#[must_use]
pub fn cluster_rules() -> Vec<PolicyRule> {
    merged([controller::access(), fence_probe::access(), reviews::access()].concat())
}

/// The permissions of an account whose work is limited to some namespaces.
#[derive(Clone, Debug)]
pub struct ScopedRules {
    /// In the whole cluster: those on cluster-scoped objects, and the verb that a policy checks there.
    pub cluster: Vec<PolicyRule>,
    /// In each of the namespaces.
    pub namespaced: Vec<PolicyRule>,
}

/// [`cluster_rules`], for an operator that is limited to some namespaces.
#[must_use]
pub fn scoped_rules() -> ScopedRules {
    let rules = [controller::access(), fence_probe::access(), reviews::access_in_scope()].concat();
    let (mut cluster, mut namespaced) = (Vec::new(), Vec::new());
    for mut rule in merged(rules) {
        let resources = rule.resources.as_deref().unwrap_or_default();
        if resources.iter().any(|it| CLUSTER_SCOPED.contains(&it.as_str())) {
            cluster.push(rule);
            continue;
        }
        let is_stamp = |verb: &mut String| verb == names::VERB_STAMP;
        let stamp: Vec<_> = rule.verbs.extract_if(.., is_stamp).collect();
        if !stamp.is_empty() {
            cluster.push(PolicyRule { verbs: stamp, ..rule.clone() });
        }
        namespaced.push(rule);
    }
    ScopedRules { cluster, namespaced }
}

/// The operator's permissions in its own namespace.
#[must_use]
pub fn namespace_rules() -> Vec<PolicyRule> {
    merged(election::access())
}

/// The permissions of the uninstall Job, including those for deleting copies.
#[must_use]
pub fn uninstall_rules() -> Vec<PolicyRule> {
    let cluster = [uninstall_cluster_rules(), uninstall::access_to_delete()].concat();
    [cluster, uninstall::access_to_stop(DEPLOYMENT)].concat()
}

/// The permissions of the uninstall Job of an operator that is limited to some namespaces, without those
/// in the operator's own namespace and without deleting copies.
#[must_use]
pub fn scoped_uninstall_rules() -> ScopedRules {
    let cluster = uninstall::access_to_bindings(CLUSTER_NAME);
    ScopedRules { cluster, namespaced: merged(uninstall::access()) }
}

/// The permissions of the uninstall Job in the whole cluster, without deleting copies.
pub(super) fn uninstall_cluster_rules() -> Vec<PolicyRule> {
    merged([uninstall::access(), uninstall::access_to_bindings(CLUSTER_NAME)].concat())
}

/// The same permissions with one rule per resource and list of names, sorted.
pub(super) fn merged(rules: Vec<PolicyRule>) -> Vec<PolicyRule> {
    type Subject = (Vec<String>, Vec<String>, Option<Vec<String>>);
    let mut verbs: BTreeMap<Subject, BTreeSet<String>> = BTreeMap::new();
    for rule in rules {
        let groups = rule.api_groups.unwrap_or_default();
        let subject = (groups, rule.resources.unwrap_or_default(), rule.resource_names);
        verbs.entry(subject).or_default().extend(rule.verbs);
    }
    verbs
        .into_iter()
        .map(|((groups, resources, resource_names), verbs)| PolicyRule {
            api_groups: Some(groups),
            resources: Some(resources),
            resource_names,
            verbs: verbs.into_iter().collect(),
            ..PolicyRule::default()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_rule_has_a_wildcard_or_secrets() {
        for rule in [cluster_rules(), namespace_rules(), uninstall_rules()].concat() {
            let names = [rule.api_groups.clone(), rule.resources.clone(), Some(rule.verbs.clone())];
            for name in names.into_iter().flatten().flatten() {
                assert!(!name.contains('*') && name != "secrets", "{rule:?}");
            }
        }
    }

    #[test]
    fn with_a_scope_only_cluster_scoped_rights_are_cluster_wide() {
        let ScopedRules { cluster, namespaced } = scoped_rules();
        for rule in &cluster {
            let resource = rule.resources.clone().unwrap_or_default().concat();
            let is_stamp = resource == "configmapsyncs" && rule.verbs == ["stamp"];
            assert!(is_stamp || CLUSTER_SCOPED.contains(&resource.as_str()), "{rule:?}");
        }
        let granted = |rules: Vec<PolicyRule>| {
            let verbs = |rule: PolicyRule| {
                let resources = rule.resources.unwrap_or_default().concat();
                rule.verbs.into_iter().map(move |verb| (resources.clone(), verb))
            };
            rules.into_iter().flat_map(verbs).collect::<BTreeSet<_>>()
        };
        let everywhere = granted(cluster_rules()).into_iter().map(|(resource, verb)| {
            (resource.replace("subjectaccessreviews", "localsubjectaccessreviews"), verb)
        });
        assert_eq!(granted([cluster, namespaced].concat()), everywhere.collect());
    }

    #[test]
    fn uninstall_neither_reads_nor_creates_copies() {
        for rule in uninstall_rules() {
            let resource = rule.resources.clone().unwrap_or_default().concat();
            let allowed = match resource.as_str() {
                "configmaps" => &["list", "patch", "delete"][..],
                "clusterrolebindings" => &["get", "delete"],
                _ => &["get", "list", "patch"],
            };
            assert!(rule.verbs.iter().all(|verb| allowed.contains(&verb.as_str())), "{rule:?}");
        }
    }

    #[test]
    fn leases_are_limited_by_name_and_never_deleted() {
        for rule in merged(election::access()) {
            // RBAC does not see the name in a request to create an object, and the names of pods are not
            // known in advance.
            let only_creates = rule.verbs == ["create"];
            let reads_pods =
                rule.resources == Some(vec!["pods".to_owned()]) && rule.verbs == ["get", "watch"];
            assert!(only_creates || reads_pods || rule.resource_names.is_some(), "{rule:?}");
            assert!(!rule.verbs.contains(&"delete".to_owned()), "{rule:?}");
        }
    }
}
