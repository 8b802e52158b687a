//! A helper to declare RBAC permissions.
//!
//! Every module declares the permissions of its API calls in a function `access`; `manifests`
//! collects them into roles.

use k8s_openapi::api::rbac::v1::PolicyRule;

/// A rule that allows `verbs` on all objects of `resource` in the API group `group`.
#[must_use]
pub fn rule(group: &str, resource: &str, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    }
}
