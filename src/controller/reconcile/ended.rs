//! The end of a reconcile.

use std::time::Duration;

use crate::metrics::ReconcileResult;

/// The end of a reconcile.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub result: ReconcileResult,
    /// The delay until the next reconcile, unless an event comes first.
    pub requeue_after: Option<Duration>,
}

// === impl Ended ===

impl Ended {
    /// The end of a reconcile that left nothing to be retried.
    pub const fn success(requeue_after: Option<Duration>) -> Self {
        Self { result: ReconcileResult::Success, requeue_after }
    }
}
