//! Asks the API server what the ServiceAccounts of `ConfigMapSyncs` are allowed to do.
//!
//! # Guarantees
//! * No write starts on an answer that was asked for more than a minute before.
//! * A failed review is never a permission.
//! * Concurrent callers with the same question share one review.
//! * An answer about a namespace does not apply to a later namespace of the same name.

mod answers;
mod consents;
mod reviewer;

use k8s_openapi::api::rbac::v1::PolicyRule;

pub use consents::Consents;
pub use reviewer::Reviewer;

use crate::access::rule;

const GROUP: &str = "authorization.k8s.io";

/// The permissions for reviews, if the operator works in the whole cluster.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    vec![rule(GROUP, "subjectaccessreviews", &["create"])]
}

/// The permissions for reviews in each namespace of an operator that is limited to some.
#[must_use]
pub fn access_in_scope() -> Vec<PolicyRule> {
    vec![rule(GROUP, "localsubjectaccessreviews", &["create"])]
}
