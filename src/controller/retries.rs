//! Decides when failed reads and writes are retried.
//!
//! The state is kept per destination, and per sync for its source, finalizer and status. The current
//! time is an argument. If the state is lost, retries are early, but no write is wrong.

mod contention;

use std::collections::HashMap;
use std::collections::HashSet;
use std::time::Duration;
use std::time::Instant;

use parking_lot::Mutex;

use crate::api::namespaced_name::NamespacedName;
use crate::backoff::Backoff;
use crate::controller::retries::contention::Contention;
use crate::decide::ContentHash;
use crate::decide::Failure;
use crate::decide::observed::PendingRetry;
use crate::decide::reason::Reason;
use crate::decide::reason::Retry;
use crate::kubernetes::error::ApiFailure;

/// The object that is read or written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The sync itself: a read of its source, or a patch of its finalizer or status.
    Sync,
    /// A copy.
    Destination(NamespacedName),
}

/// A failed read or write.
#[derive(Clone, Debug)]
pub struct FailedAttempt {
    pub failure: ApiFailure,
    pub at: Instant,
    /// The uid of the destination namespace: the failure does not apply to a later namespace of the
    /// same name.
    pub namespace_uid: Option<String>,
    /// The hash of the desired content.
    pub content_hash: Option<ContentHash>,
}

/// Failed attempts, contention and writes in flight, by uid of the sync.
#[derive(Debug, Default)]
pub struct Retries {
    syncs: Mutex<HashMap<Box<str>, Box<SyncRetries>>>,
}

/// The reads and writes of one sync that must wait, as of one point in time.
#[derive(Clone, Copy, Debug)]
pub struct HeldBack<'a> {
    by: Option<(&'a Retries, &'a str, Instant)>,
}

/// The state of one sync. Exists only while a read or write is failing, contended or in flight.
#[derive(Debug, Default)]
struct SyncRetries {
    failing: HashMap<Subject, Failing>,
    /// With the uid of the destination namespace.
    contended: HashMap<NamespacedName, (Option<String>, Contention)>,
    in_flight: HashSet<NamespacedName>,
}

/// The last failure of a subject, and when it is retried.
#[derive(Debug)]
struct Failing {
    backoff: Backoff,
    /// The time of the next attempt; `None`: after a change of a watched object.
    until: Option<Instant>,
    namespace_uid: Option<String>,
    held: PendingRetry,
}

// === impl FailedAttempt ===

impl FailedAttempt {
    /// A read, or a patch of the sync itself, that failed now.
    pub fn now(failure: ApiFailure, namespace_uid: Option<String>) -> Self {
        Self { failure, at: Instant::now(), namespace_uid, content_hash: None }
    }
}

// === impl Retries ===

impl Retries {
    /// Records a failure of `subject`. The next attempt waits for the backoff delay or, if the reason
    /// is retried on change, for a change of a watched object.
    pub fn failed(&self, sync_uid: &str, subject: Subject, attempt: FailedAttempt) {
        let FailedAttempt { failure, at, namespace_uid, content_hash } = attempt;
        let ApiFailure { failure, backoff_cap, retry_after } = failure;
        let is_destination = matches!(subject, Subject::Destination(_));
        let waits_for_change = is_destination && failure.reason.retry() == Retry::OnChange;
        let held = PendingRetry { failure, content_hash };
        self.update(sync_uid, |sync| {
            let before = sync.failing.remove(&subject);
            let mut backoff = before.map(|before| before.backoff).unwrap_or_default();
            let until =
                (!waits_for_change).then(|| at + backoff.next_delay(backoff_cap, retry_after));
            sync.failing.insert(subject, Failing { backoff, until, namespace_uid, held });
        });
    }

    /// Records a success of `subject`, which resets its failures.
    pub fn succeeded(&self, sync_uid: &str, subject: &Subject) {
        self.settle(sync_uid, |sync| {
            sync.failing.remove(subject);
        });
    }

    /// Records that another client changed the copy `at`. Changes in an earlier namespace of the
    /// same name do not count.
    pub fn changed_by_others(
        &self,
        sync_uid: &str,
        at: &NamespacedName,
        namespace_uid: Option<String>,
        now: Instant,
    ) {
        self.update(sync_uid, |sync| {
            let before = sync.contended.remove(at).filter(|(uid, _)| *uid == namespace_uid);
            let mut contention = before.map_or_else(|| Contention::new(now), |(_, before)| before);
            contention.changed(now);
            sync.contended.insert(at.clone(), (namespace_uid, contention));
        });
    }

    /// Records that a write of the copy `at` was sent. No other write of the copy is sent until the
    /// response arrives.
    pub fn write_in_flight(&self, sync_uid: &str, at: &NamespacedName) {
        self.update(sync_uid, |sync| {
            sync.in_flight.insert(at.clone());
        });
    }

    /// Records that no write of the copy `at` is in flight any more.
    pub fn write_ended(&self, sync_uid: &str, at: &NamespacedName) {
        self.settle(sync_uid, |sync| {
            sync.in_flight.remove(at);
        });
    }

    /// Records the end of a reconcile that started at `began`. `needs_write` returns whether a
    /// destination still needs a write. Forgets two kinds of failures: those whose delay was over at
    /// `began` (they were retried, or are obsolete), and those that wait for a change although their
    /// destination needs no write.
    pub fn reconciled(
        &self,
        sync_uid: &str,
        needs_write: impl Fn(&NamespacedName) -> bool,
        began: Instant,
    ) {
        self.settle(sync_uid, |sync| {
            sync.failing.retain(|subject, failing| match (failing.until, subject) {
                (Some(until), _) => until > began,
                (None, Subject::Destination(at)) => needs_write(at),
                (None, Subject::Sync) => false,
            });
            sync.contended.retain(|_, (_, contention)| !contention.is_over(began));
        });
    }

    /// Records that a verification against live data starts: failures that wait for a change are
    /// retried.
    pub fn verifying(&self, sync_uid: &str) {
        self.settle(sync_uid, |sync| sync.failing.retain(|_, failing| failing.until.is_some()));
    }

    /// Forgets a sync that no longer exists.
    pub fn forget(&self, sync_uid: &str) {
        self.syncs.lock().remove(sync_uid);
    }

    /// The reads and writes that must wait at `now`.
    pub const fn held_back<'a>(&'a self, sync_uid: &'a str, now: Instant) -> HeldBack<'a> {
        HeldBack { by: Some((self, sync_uid, now)) }
    }

    /// Whether the last attempt on the copy `at` failed, so that the next one is a retry.
    pub fn has_failed(&self, sync_uid: &str, at: &NamespacedName) -> bool {
        let syncs = self.syncs.lock();
        let subject = Subject::Destination(at.clone());
        syncs.get(sync_uid).is_some_and(|sync| sync.failing.contains_key(&subject))
    }

    /// The delay until the earliest retry of the sync; `None` if nothing waits for a delay.
    pub fn next_retry(&self, sync_uid: &str, now: Instant) -> Option<Duration> {
        let syncs = self.syncs.lock();
        let sync = syncs.get(sync_uid)?;
        let failing = sync.failing.values().filter_map(|failing| failing.until);
        let contended = sync.contended.values();
        let contended = contended.filter_map(|(_, contention)| contention.until(now));
        let next = failing.chain(contended).min()?;
        Some(next.saturating_duration_since(now))
    }

    fn update(&self, sync_uid: &str, update: impl FnOnce(&mut SyncRetries)) {
        update(self.syncs.lock().entry(sync_uid.into()).or_default());
    }

    /// Applies `settle`, and removes the entry of the sync if it is empty.
    fn settle(&self, sync_uid: &str, settle: impl FnOnce(&mut SyncRetries)) {
        let mut syncs = self.syncs.lock();
        let Some(sync) = syncs.get_mut(sync_uid) else { return };
        settle(sync);
        if sync.failing.is_empty() && sync.contended.is_empty() && sync.in_flight.is_empty() {
            syncs.remove(sync_uid);
        }
    }
}

// === impl HeldBack ===

impl HeldBack<'_> {
    /// No read or write must wait.
    pub const fn nothing() -> Self {
        Self { by: None }
    }

    /// Why a read of the source must wait.
    pub fn source(&self) -> Option<Failure> {
        self.sync(|sync, now| {
            let failing = sync.failing.get(&Subject::Sync)?;
            failing.is_waiting(now).then(|| failing.held.failure.clone())
        })
    }

    /// Why a write of the copy `at`, in the namespace with this uid, must wait.
    pub fn destination(
        &self,
        at: &NamespacedName,
        namespace_uid: Option<&str>,
    ) -> Option<PendingRetry> {
        self.sync(|sync, now| sync.held_at(at, namespace_uid, now))
    }

    /// Whether a write of the copy `at` is in flight.
    pub fn is_in_flight(&self, at: &NamespacedName) -> bool {
        self.sync(|sync, _| sync.in_flight.contains(at).then_some(())).is_some()
    }

    /// Whether any write of the sync is in flight.
    pub fn has_writes_in_flight(&self) -> bool {
        self.sync(|sync, _| (!sync.in_flight.is_empty()).then_some(())).is_some()
    }

    fn sync<T>(&self, get: impl FnOnce(&SyncRetries, Instant) -> Option<T>) -> Option<T> {
        let (retries, sync_uid, now) = self.by?;
        get(retries.syncs.lock().get(sync_uid)?, now)
    }
}

// === impl SyncRetries ===

impl SyncRetries {
    fn held_at(
        &self,
        at: &NamespacedName,
        namespace_uid: Option<&str>,
        now: Instant,
    ) -> Option<PendingRetry> {
        if self.in_flight.contains(at) {
            return Some(PendingRetry { failure: in_flight(at), content_hash: None });
        }
        let failing = self
            .failing
            .get(&Subject::Destination(at.clone()))
            .filter(|failing| failing.is_waiting(now))
            .filter(|failing| failing.namespace_uid.as_deref() == namespace_uid);
        if let Some(failing) = failing {
            return Some(failing.held.clone());
        }
        let (contended_uid, contention) = self.contended.get(at)?;
        let is_contended =
            contended_uid.as_deref() == namespace_uid && contention.until(now).is_some();
        is_contended.then(|| PendingRetry { failure: contended(at), content_hash: None })
    }
}

// === impl Failing ===

impl Failing {
    fn is_waiting(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

fn in_flight(at: &NamespacedName) -> Failure {
    let message = format!("{at} waits for the response to its last write");
    Failure::new(Reason::Progressing, message)
}

fn contended(at: &NamespacedName) -> Failure {
    let message = format!(
        "another client keeps changing {at}: find it in managedFields and stop it, or set \
         spec.suspend"
    );
    Failure::new(Reason::Contended, message)
}

#[cfg(test)]
mod tests;
