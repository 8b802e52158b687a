//! When something that failed is tried again.
//!
//! State per destination, and per sync for its source, its finalizer and its status. The time is
//! an argument. Losing this state costs early retries, never a wrong write.

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

/// What an attempt was for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// The sync itself: a read of its source, or a patch of its finalizer or status.
    Sync,
    /// The copy with this name.
    Destination(NamespacedName),
}

/// The circumstances of an attempt. Once they have changed, its failure no longer applies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// uid of the destination's namespace.
    pub namespace_uid: Option<String>,
    /// Hash of the content to be written.
    pub content_hash: Option<ContentHash>,
}

/// What failed, and when it is tried again, by uid of the sync.
#[derive(Debug, Default)]
pub struct Retries {
    syncs: Mutex<HashMap<Box<str>, Box<SyncRetries>>>,
}

/// The writes and reads of one sync that must wait, as of one instant.
#[derive(Clone, Copy, Debug)]
pub struct HeldBack<'a> {
    by: Option<(&'a Retries, &'a str, Instant)>,
}

/// Exists only while something is failing, contended or in flight.
#[derive(Debug, Default)]
struct SyncRetries {
    failing: HashMap<Subject, Failing>,
    /// With the uid of the namespace.
    contended: HashMap<NamespacedName, (Option<String>, Contention)>,
    in_flight: HashSet<NamespacedName>,
}

#[derive(Debug)]
struct Failing {
    backoff: Backoff,
    /// `None`: until something changes that we watch.
    until: Option<Instant>,
    namespace_uid: Option<String>,
    held: PendingRetry,
}

// === impl Retries ===

impl Retries {
    /// Records one more failure of `subject`. The next attempt waits for a delay, or, if only a
    /// change can help, for that change.
    pub fn failed(
        &self,
        sync_uid: &str,
        subject: Subject,
        attempt: Attempt,
        refusal: ApiFailure,
        now: Instant,
    ) {
        let Attempt { namespace_uid, content_hash } = attempt;
        let is_destination = matches!(subject, Subject::Destination(_));
        let needs_a_change = is_destination && refusal.failure.reason.retry() == Retry::OnChange;
        let held = PendingRetry { failure: refusal.failure, content_hash };
        self.update(sync_uid, |sync| {
            let before = sync.failing.remove(&subject);
            let mut backoff = before.map(|before| before.backoff).unwrap_or_default();
            let until = (!needs_a_change)
                .then(|| now + backoff.next_delay(refusal.backoff_cap, refusal.retry_after));
            sync.failing.insert(subject, Failing { backoff, until, namespace_uid, held });
        });
    }

    /// Records a success: the failures of `subject` are forgotten.
    pub fn succeeded(&self, sync_uid: &str, subject: &Subject) {
        self.settle(sync_uid, |sync| {
            sync.failing.remove(subject);
        });
    }

    /// Records that another client had changed the copy `at`. A namespace that was deleted and
    /// created again took its copy along, which does not count as a change.
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

    /// Records that a write of the copy `at` was sent and is not answered yet. Until it is, no
    /// other is sent.
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

    /// Records that a reconcile has ended that began at `began`. `is_left` says which copies it
    /// left undone. A failure whose delay was over is forgotten: it was tried again, if it was
    /// still wanted. So is one that waits for a change where nothing is left undone.
    pub fn reconciled(
        &self,
        sync_uid: &str,
        is_left: impl Fn(&NamespacedName) -> bool,
        began: Instant,
    ) {
        self.settle(sync_uid, |sync| {
            sync.failing.retain(|subject, failing| match (failing.until, subject) {
                (Some(until), _) => until > began,
                (None, Subject::Destination(at)) => is_left(at),
                (None, Subject::Sync) => false,
            });
            sync.contended.retain(|_, (_, contention)| !contention.is_over(began));
        });
    }

    /// Records that the sync is being verified: what waits for a change is tried again.
    pub fn verifying(&self, sync_uid: &str) {
        self.settle(sync_uid, |sync| sync.failing.retain(|_, failing| failing.until.is_some()));
    }

    /// Forgets a sync that no longer exists.
    pub fn forget(&self, sync_uid: &str) {
        self.syncs.lock().remove(sync_uid);
    }

    /// What must wait at `now`.
    #[must_use]
    pub const fn held_back<'a>(&'a self, sync_uid: &'a str, now: Instant) -> HeldBack<'a> {
        HeldBack { by: Some((self, sync_uid, now)) }
    }

    /// Whether the last attempt on the copy `at` failed, so that the next one is a retry.
    #[must_use]
    pub fn has_failed(&self, sync_uid: &str, at: &NamespacedName) -> bool {
        let syncs = self.syncs.lock();
        let subject = Subject::Destination(at.clone());
        syncs.get(sync_uid).is_some_and(|sync| sync.failing.contains_key(&subject))
    }

    /// The delay until the earliest retry of the sync; `None` if nothing waits for a delay.
    #[must_use]
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

    /// Applies `settle`, and forgets the sync if nothing of it is left.
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
    /// Nothing must wait.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { by: None }
    }

    /// The failure that holds back a read of the source.
    #[must_use]
    pub fn source(&self) -> Option<Failure> {
        self.sync(|sync, now| {
            let failing = sync.failing.get(&Subject::Sync)?;
            failing.is_waiting(now).then(|| failing.held.failure.clone())
        })
    }

    /// What holds back a write of the copy `at`. A failure in one namespace does not apply to
    /// another of the same name.
    #[must_use]
    pub fn destination(
        &self,
        at: &NamespacedName,
        namespace_uid: Option<&str>,
    ) -> Option<PendingRetry> {
        self.sync(|sync, now| sync.held_at(at, namespace_uid, now))
    }

    /// Whether a write of the copy `at` is in flight.
    #[must_use]
    pub fn is_in_flight(&self, at: &NamespacedName) -> bool {
        self.sync(|sync, _| sync.in_flight.contains(at).then_some(())).is_some()
    }

    /// Whether any write of the sync is in flight.
    #[must_use]
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
        let (of_namespace, contention) = self.contended.get(at)?;
        let is_contended =
            of_namespace.as_deref() == namespace_uid && contention.until(now).is_some();
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
    let message = format!("{at} waits for the API server to answer its last write");
    Failure::new(Reason::Progressing, message)
}

fn contended(at: &NamespacedName) -> Failure {
    let message = format!(
        "somebody else keeps changing {at}: its managedFields name who; stop them, or set \
         spec.suspend"
    );
    Failure::new(Reason::Contended, message)
}

#[cfg(test)]
mod tests;
