//! What the cluster's own roles `view`, `edit` and `admin` gain: the use of our kind.

use std::collections::BTreeMap;

use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::access::rule;
use crate::names;

/// Labels by which a role becomes part of `<role>` have this in front of its name.
const AGGREGATE_TO: &str = "rbac.authorization.k8s.io/aggregate-to-";

/// Two roles, called after `name`. Who may view a namespace sees its `ConfigMapSync`s; who may edit
/// it writes them, within what they may do to ConfigMaps themselves. Nobody writes a status, and
/// nobody gains the right to put our marks on a `ConfigMap`.
pub(super) fn aggregated_roles(name: &str) -> [ClusterRole; 2] {
    let role = |suffix: &str, parts_of: &[&str], verbs: &[&str]| ClusterRole {
        metadata: ObjectMeta {
            name: Some(format!("{name}-{suffix}")),
            labels: Some(aggregate_to(parts_of)),
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
    fn they_are_about_the_kind_alone_and_never_about_its_status() {
        for role in aggregated_roles("x") {
            for rule in role.rules.unwrap() {
                assert_eq!(rule.resources, Some(vec!["configmapsyncs".to_owned()]));
                assert!(!rule.verbs.contains(&names::VERB_STAMP.to_owned()), "{rule:?}");
            }
        }
    }
}
