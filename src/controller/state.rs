//! What is remembered of each sync between reconciles, for one term.

use std::time::Duration;
use std::time::Instant;

use crate::controller::excerpts::Excerpts;
use crate::controller::own_writes::OwnWrites;
use crate::controller::retries::Retries;
use crate::controller::verification::VerificationSchedule;

/// What is remembered of each sync, by uid.
#[derive(Debug)]
pub struct State {
    /// What failed, and when it is tried again.
    pub retries: Retries,
    /// Which version of the sync we wrote last.
    pub own_writes: OwnWrites,
    /// What is copied of its source.
    pub excerpts: Excerpts,
    /// When it is verified against live data.
    pub verification: VerificationSchedule,
}

// === impl State ===

impl State {
    /// Nothing is remembered yet; each sync will be verified once per `resync_period`.
    #[must_use]
    pub fn new(resync_period: Duration) -> Self {
        Self {
            retries: Retries::default(),
            own_writes: OwnWrites::default(),
            excerpts: Excerpts::default(),
            verification: VerificationSchedule::new(resync_period),
        }
    }

    /// Forgets a sync that was deleted, or replaced by another one of the same name.
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
