//! A failed read, write or review.

use std::time::Instant;

use crate::decide::observed::Attempted;
use crate::decide::observed::PendingRetry;
use crate::kubernetes::error::ApiFailure;

/// A failed read or write.
#[derive(Clone, Debug)]
pub struct FailedAttempt {
    pub failure: ApiFailure,
    pub at: Instant,
    /// The uid of the destination namespace: the failure does not apply to a later namespace of the
    /// same name.
    pub namespace_uid: Option<String>,
    pub attempted: Attempted,
}

// === impl FailedAttempt ===

impl FailedAttempt {
    /// A read, or a patch of the sync itself, that failed now.
    pub fn now(failure: ApiFailure, namespace_uid: Option<String>) -> Self {
        Self { failure, at: Instant::now(), namespace_uid, attempted: Attempted::default() }
    }

    /// A review of permissions for this `generation` that failed now, or denied them.
    pub fn review(
        failure: ApiFailure,
        generation: Option<i64>,
        namespace_uid: Option<String>,
    ) -> Self {
        let attempted = Attempted { generation, is_review: true, ..Attempted::default() };
        Self { attempted, ..Self::now(failure, namespace_uid) }
    }

    /// Why the next attempt must wait.
    #[must_use]
    pub fn pending(&self) -> PendingRetry {
        PendingRetry { failure: self.failure.failure.clone(), attempted: self.attempted.clone() }
    }
}
