//! The end of a reconcile.

use std::time::Duration;

use crate::metrics::ReconcileResult;

/// The end of a reconcile.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub result: ReconcileResult,
    /// The delay until the next reconcile, unless an event comes first.
    pub requeue_after: Option<Duration>,
    /// Whether the sync has changed meanwhile: the next reconcile does the same again.
    pub is_outdated: bool,
}

/// How long to wait for the watch to deliver a newer version of the sync.
const WATCH_LAG: Duration = Duration::from_secs(5);

// === impl Ended ===

impl Ended {
    /// The end of a reconcile that left nothing to be retried.
    pub const fn success(requeue_after: Option<Duration>) -> Self {
        Self { result: ReconcileResult::Success, requeue_after, is_outdated: false }
    }

    /// The end of a reconcile that failed as a whole.
    pub const fn failed(requeue_after: Option<Duration>) -> Self {
        Self { result: ReconcileResult::Error, ..Self::success(requeue_after) }
    }

    /// The end of a reconcile that did not know the present version of the sync.
    pub const fn outdated() -> Self {
        Self { is_outdated: true, ..Self::success(Some(WATCH_LAG)) }
    }
}
