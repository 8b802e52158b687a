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

/// The permissions for reviews.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    vec![rule("authorization.k8s.io", "subjectaccessreviews", &["create"])]
}
