//! The state of each sync between reconciles, for one term.

use std::time::Duration;
use std::time::Instant;

use crate::controller::excerpts::Excerpts;
use crate::controller::own_writes::OwnWrites;
use crate::controller::retries::Retries;
use crate::controller::verification::VerificationSchedule;

/// The state of each sync, by uid.
#[derive(Debug)]
pub struct State {
    pub retries: Retries,
    pub own_writes: OwnWrites,
    pub excerpts: Excerpts,
    pub verification: VerificationSchedule,
}

// === impl State ===

impl State {
    /// An empty state; each sync will be verified once per `resync_period`.
    pub fn new(resync_period: Duration) -> Self {
        Self {
            retries: Retries::default(),
            own_writes: OwnWrites::default(),
            excerpts: Excerpts::default(),
            verification: VerificationSchedule::new(resync_period),
        }
    }

    /// Forgets a sync that no longer exists.
    pub fn forget(&self, sync_uid: &str) {
        self.own_writes.forget(sync_uid);
        self.forget_work(sync_uid);
    }

    /// Records the removal of our finalizer, and forgets everything else.
    pub fn cleaned_up(&self, sync_uid: &str, now: Instant) {
        self.own_writes.cleaned_up(sync_uid, now);
        self.forget_work(sync_uid);
    }

    fn forget_work(&self, sync_uid: &str) {
        self.retries.forget(sync_uid);
        self.excerpts.forget(sync_uid);
        self.verification.forget(sync_uid);
    }
}
