//! How a permission is written down.
//!
//! Permissions stand beside the calls that need them, as functions called `access`; `manifests`
//! collects them.

use k8s_openapi::api::rbac::v1::PolicyRule;

/// Leave to use `verbs` on `resource` of the API group `group`, whatever the object's name.
#[must_use]
pub fn rule(group: &str, resource: &str, verbs: &[&str]) -> PolicyRule {
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(vec![resource.to_owned()]),
        verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        ..PolicyRule::default()
    }
}
