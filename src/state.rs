//! The state of each sync between reconciles, for one term.
//!
//! # Guarantees
//! Nothing is kept of a sync that is gone: what is recorded after [`State::forget`] is dropped.

pub mod excerpts;
pub mod own_writes;
pub mod propagation;
pub mod retries;
pub mod verification;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use parking_lot::Mutex;

use crate::api::namespaced_name::NamespacedName;
use crate::api::uid::Uid;
use crate::decide::Failure;
use crate::decide::contention::Wanted;
use crate::decide::reason::Reason;
use crate::decide::status::LastWrite;
use crate::metrics::Metrics;
use crate::state::excerpts::KeptExcerpt;
use crate::state::own_writes::OwnWrites;
use crate::state::propagation::Propagation;
use crate::state::retries::Retries;
use crate::state::retries::Subject;
use crate::state::verification::VerificationSchedule;

/// The state of each sync, by uid.
#[derive(Debug)]
pub struct State {
    syncs: Mutex<HashMap<Uid, Box<SyncState>>>,
    pub verification: VerificationSchedule,
    metrics: Arc<Metrics>,
}

/// The state of one sync. Boxed parts are absent most of the time.
#[derive(Debug, Default)]
pub struct SyncState {
    pub own_writes: OwnWrites,
    pub excerpt: Option<Box<KeptExcerpt>>,
    /// What the last reconcile found.
    reason: Option<Reason>,
    /// What the last reconcile that wanted copies wanted them to be: while a copy is in order, this is
    /// what our last write made it equal to.
    last_wanted: Option<Wanted>,
    /// Fingerprint of the status that was patched last.
    reported: Option<u64>,
    /// The last write of a copy that took effect and is not in the status yet.
    pub unreported_write: Option<Box<LastWrite>>,
    retries: Option<Box<Retries>>,
    /// The annotation `traceparent` at the last reconcile, empty if there was none. `None` before the
    /// first one.
    pub seen_trace_parent: Option<Box<str>>,
    /// What the last reconcile found, if the status does not say it yet, and the trace where it did.
    unreported_failure: Option<Box<(Failure, String)>>,
    /// The change of the source that has not reached all copies yet.
    propagation: Option<Box<Propagation>>,
}

/// What earlier reconciles of a sync left.
#[derive(Debug)]
pub struct History {
    /// What the last one that wanted copies wanted them to be.
    pub last_wanted: Option<Wanted>,
    /// The failed attempts, as of now.
    pub retries: Retries,
}

// === impl State ===

impl State {
    /// An empty state; each sync will be verified once per `resync_period`. `metrics` count the syncs by
    /// reason.
    pub fn new(resync_period: Duration, metrics: Arc<Metrics>) -> Self {
        let verification = VerificationSchedule::new(resync_period);
        Self { syncs: Mutex::default(), verification, metrics }
    }

    /// Keeps the state of a sync from now on, until [`State::forget`].
    pub fn track(&self, sync_uid: &str) {
        self.syncs.lock().entry(Uid::from(sync_uid)).or_default();
    }

    /// Reads the state of a sync; that of an untracked one is empty.
    pub fn read<T>(&self, sync_uid: &str, read: impl FnOnce(&SyncState) -> T) -> T {
        match self.syncs.lock().get(&Uid::from(sync_uid)) {
            Some(sync) => read(sync),
            None => read(&SyncState::default()),
        }
    }

    /// Changes the state of a sync, if it is tracked.
    pub fn update(&self, sync_uid: &str, update: impl FnOnce(&mut SyncState)) {
        if let Some(sync) = self.syncs.lock().get_mut(&Uid::from(sync_uid)) {
            update(sync);
        }
    }

    /// Reads the retries of a sync.
    pub fn read_retries<T>(&self, sync_uid: &str, read: impl FnOnce(&Retries) -> T) -> T {
        self.read(sync_uid, |sync| match sync.retries() {
            Some(retries) => read(retries),
            None => read(&Retries::default()),
        })
    }

    /// A copy of the retries of a sync, as of now.
    pub fn retries(&self, sync_uid: &str) -> Retries {
        self.read_retries(sync_uid, Clone::clone)
    }

    /// Changes the retries of a sync, if it is tracked.
    pub fn update_retries(&self, sync_uid: &str, update: impl FnOnce(&mut Retries)) {
        self.update(sync_uid, |sync| {
            let mut retries = sync.retries.take().unwrap_or_default();
            update(&mut retries);
            sync.retries = (!retries.is_empty()).then_some(retries);
        });
    }

    /// Records the `reason` that a reconcile found.
    pub fn found(&self, sync_uid: &str, reason: Reason) {
        self.update(sync_uid, |sync| {
            let before = sync.reason.replace(reason);
            self.metrics.reconciles.set_reason(before, Some(reason));
        });
    }

    /// Records that the watch delivered a change of the source at `at`. An earlier change that has not
    /// reached all copies counts instead.
    pub fn source_changed(&self, sync_uid: &str, at: Instant) {
        self.update(sync_uid, |sync| {
            sync.propagation.get_or_insert_with(|| Box::new(Propagation::began(at)));
        });
    }

    /// Records that a write of a copy took effect: `reported` with the next status.
    pub fn wrote_copy(&self, sync_uid: &str, at: Instant, reported: LastWrite) {
        self.update(sync_uid, |sync| {
            sync.unreported_write = Some(Box::new(reported));
            if let Some(propagation) = &mut sync.propagation {
                propagation.wrote(at);
            }
        });
    }

    /// Records what the status says now: `last_write`, and why the sync is not ready.
    pub fn status_says(&self, sync_uid: &str, last_write: Option<&LastWrite>) {
        self.update(sync_uid, |sync| {
            sync.unreported_write.take_if(|write| Some(&**write) == last_write);
            sync.unreported_failure = None;
        });
    }

    /// Keeps the trace in which `found` was found, until the status says it.
    pub fn keep_failure(&self, sync_uid: &str, found: &Failure, trace_id: String) {
        let found = Some(Box::new((found.clone(), trace_id)));
        self.update(sync_uid, |sync| sync.unreported_failure = found);
    }

    /// The trace in which `found` was found earlier, if the status does not say it yet.
    pub fn failure_trace(&self, sync_uid: &str, found: &Failure) -> Option<String> {
        let kept = self.read(sync_uid, |sync| sync.unreported_failure.clone())?;
        let (known, trace_id) = *kept;
        (known == *found).then_some(trace_id)
    }

    /// Ends the propagation of a change of the source. Returns how long it took; `None` if there was
    /// no change, or it caused no write.
    pub fn take_propagation(&self, sync_uid: &str) -> Option<Duration> {
        let mut ended = None;
        self.update(sync_uid, |sync| ended = sync.propagation.take());
        ended?.duration()
    }

    /// What earlier reconciles of a sync left.
    pub fn history(&self, sync_uid: &str) -> History {
        self.read(sync_uid, |sync| History {
            last_wanted: sync.last_wanted.clone(),
            retries: sync.retries.as_deref().cloned().unwrap_or_default(),
        })
    }

    /// Records the last pass of a reconcile that started at `began` and `wanted` copies to be like
    /// this; see [`Retries::settled`].
    pub fn settled(
        &self,
        sync_uid: &str,
        began: Instant,
        wanted: Option<Wanted>,
        needs_write: impl Fn(&NamespacedName) -> bool,
    ) {
        self.update(sync_uid, |sync| {
            if wanted.is_some() {
                sync.last_wanted = wanted;
            }
        });
        self.update_retries(sync_uid, |retries| retries.settled(began, needs_write));
    }

    /// Records that the status with this fingerprint was patched at `now`. If the one before had the
    /// same, another client has changed it since.
    pub fn reported(&self, sync_uid: &str, fingerprint: u64, now: Instant) {
        let mut is_restored = false;
        self.update(sync_uid, |sync| {
            is_restored = sync.reported.replace(fingerprint) == Some(fingerprint);
        });
        if is_restored {
            self.update_retries(sync_uid, |retries| retries.restored(Subject::Status, now));
        }
    }

    /// The delay at `now` until the next retry; see [`Retries::next_retry`].
    pub fn next_retry(&self, sync_uid: &str, began: Instant, now: Instant) -> Option<Duration> {
        self.read(sync_uid, |sync| sync.retries.as_ref()?.next_retry(began, now))
    }

    /// Whether a tracked sync must be verified now; see [`VerificationSchedule::take_due`].
    pub fn take_verification(
        &self,
        sync_uid: &str,
        is_suspect: bool,
        spread: f64,
        now: Instant,
    ) -> bool {
        let syncs = self.syncs.lock();
        syncs.contains_key(&Uid::from(sync_uid))
            && self.verification.take_due(sync_uid, is_suspect, spread, now)
    }

    /// Forgets a sync that no longer exists.
    pub fn forget(&self, sync_uid: &str) {
        let mut syncs = self.syncs.lock();
        let gone = syncs.remove(&Uid::from(sync_uid));
        self.metrics.reconciles.set_reason(gone.and_then(|sync| sync.reason), None);
        self.verification.forget(sync_uid);
    }

    /// Records the removal of our finalizer, and forgets everything else.
    pub fn cleaned_up(&self, sync_uid: &str, now: Instant) {
        self.update(sync_uid, |sync| {
            self.metrics.reconciles.set_reason(sync.reason, None);
            *sync = SyncState::default();
            sync.own_writes.cleaned_up(now);
        });
        self.verification.forget(sync_uid);
    }
}

// === impl SyncState ===

impl SyncState {
    pub fn retries(&self) -> Option<&Retries> {
        self.retries.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::ContentHash;

    fn empty() -> State {
        State::new(Duration::from_hours(1), Arc::new(Metrics::new(&[])))
    }

    #[test]
    fn a_sync_counts_for_the_reason_found_last() {
        let (state, now) = (empty(), Instant::now());
        let counts = |reason: &str| {
            let series = format!("configmapsync_syncs{{reason=\"{reason}\"}} ");
            let text = state.metrics.exposition();
            let value = text.lines().find_map(|line| line.strip_prefix(series.as_str()));
            value.map(ToOwned::to_owned)
        };
        state.found("a", Reason::Synced);
        assert_eq!(counts("Synced").as_deref(), Some("0"), "it is not tracked");
        for sync in ["a", "b"] {
            state.track(sync);
            state.found(sync, Reason::Progressing);
            state.found(sync, Reason::Synced);
        }
        assert_eq!(counts("Progressing").as_deref(), Some("0"));
        assert_eq!(counts("Synced").as_deref(), Some("2"));
        state.found("a", Reason::Forbidden);
        state.forget("a");
        state.cleaned_up("b", now);
        state.forget("b");
        assert_eq!(counts("Synced").as_deref(), Some("0"));
        assert_eq!(counts("Forbidden").as_deref(), Some("0"));
    }

    #[test]
    fn nothing_is_kept_of_a_sync_that_is_gone() {
        let (state, now) = (empty(), Instant::now());
        let at = NamespacedName::new("app", "shared");
        state.update_retries("s", |retries| retries.write_in_flight(&at));
        assert!(state.retries("s").is_empty(), "it was never tracked");
        state.track("s");
        state.update_retries("s", |retries| retries.write_in_flight(&at));
        assert!(!state.retries("s").is_empty());
        state.forget("s");
        state.update_retries("s", |retries| retries.write_in_flight(&at));
        state.cleaned_up("s", now);
        assert!(!state.take_verification("s", false, 0.0, now));
        assert!(state.syncs.lock().is_empty());
        assert!(state.verification.due(now + Duration::from_hours(2)).is_empty());
    }

    #[test]
    fn an_unreported_failure_keeps_its_trace() {
        let (state, found) = (empty(), |message| Failure::new(Reason::Forbidden, message));
        state.track("s");
        state.keep_failure("s", &found("no"), "trace".to_owned());
        assert_eq!(state.failure_trace("s", &found("no")).as_deref(), Some("trace"));
        assert_eq!(state.failure_trace("s", &found("another")), None);
        state.status_says("s", None);
        assert_eq!(state.failure_trace("s", &found("no")), None);
    }

    #[test]
    fn a_tracked_sync_remembers_only_its_cleanup() {
        let (state, now) = (empty(), Instant::now());
        state.track("s");
        let at = NamespacedName::new("app", "shared");
        state.update_retries("s", |retries| retries.write_in_flight(&at));
        state.cleaned_up("s", now);
        assert!(state.retries("s").is_empty());
        assert!(state.read("s", |sync| sync.own_writes.is_behind("12", now)));
    }

    #[test]
    fn what_was_wanted_is_remembered_until_other_copies_are() {
        let (state, now) = (empty(), Instant::now());
        state.track("s");
        let wanted = |generation| {
            let content_hash = ContentHash::from_text("a");
            Some(Wanted { generation: Some(generation), content_hash })
        };
        assert_eq!(state.history("s").last_wanted, None);
        state.settled("s", now, wanted(1), |_| false);
        state.settled("s", now, None, |_| false);
        assert_eq!(
            state.history("s").last_wanted,
            wanted(1),
            "a reconcile that has to wait wants nothing else"
        );
        state.settled("s", now, wanted(2), |_| false);
        assert_eq!(state.history("s").last_wanted, wanted(2));
        state.forget("s");
        assert_eq!(state.history("s").last_wanted, None);
    }
}
