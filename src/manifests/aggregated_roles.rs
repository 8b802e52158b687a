//! Access to `ConfigMapSync`s for users who have the cluster's roles `view`, `edit` or `admin`.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::access::rule;
use crate::names;

/// The label `<prefix><role>` adds the rules of a `ClusterRole` to `<role>`.
const AGGREGATE_TO: &str = "rbac.authorization.k8s.io/aggregate-to-";

/// The role `<name>-view`, which adds read access to `view`, `edit` and `admin`, and the role
/// `<name>-edit`, which adds write access to `edit` and `admin`. The policy `consent` limits what
/// their holders can write.
///
/// Neither grants access to the status, nor the verb `stamp`.
pub(super) fn aggregated_roles(name: &str) -> [ClusterRole; 2] {
    let role = |suffix: &str, aggregated_to: &[&str], verbs: &[&str]| ClusterRole {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{suffix}")),
            labels: Some(aggregate_to(aggregated_to)),
            ..ObjectMeta::default()
        },
        rules: Some(vec![rule(names::GROUP, "configmapsyncs", verbs)]),
        ..ClusterRole::default()
    };
    [
        role("view", &["view", "edit", "admin"], &["get", "list", "watch"]),
        role(
            "edit",
            &["edit", "admin"],
            &["create", "delete", "deletecollection", "patch", "update"],
        ),
    ]
}

fn aggregate_to(roles: &[&str]) -> BTreeMap<String, String> {
    roles.iter().map(|role| (format!("{AGGREGATE_TO}{role}"), "true".to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aggregated_roles_grant_neither_status_nor_stamp() {
        for role in aggregated_roles("x") {
            for rule in role.rules.unwrap() {
                assert_eq!(rule.resources, Some(vec!["configmapsyncs".to_owned()]));
                assert!(!rule.verbs.contains(&names::VERB_STAMP.to_owned()), "{rule:?}");
            }
        }
    }
}
