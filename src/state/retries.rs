//! Decides when the failed reads and writes of one sync are retried.
//!
//! The current time is an argument. If the state is lost, retries are early, but no write is wrong.

mod contention;
mod failed_attempt;

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

pub use failed_attempt::FailedAttempt;

use crate::api::namespaced_name::NamespacedName;
use crate::backoff::Backoff;
use crate::decide::ContentHash;
use crate::decide::Failure;
use crate::decide::contention::OurLastWrite;
use crate::decide::contention::Purpose;
use crate::decide::contention::Response;
use crate::decide::contention::contended_copy;
use crate::decide::contention::contended_finalizer;
use crate::decide::contention::is_change_of_others;
use crate::decide::observed::Attempted;
use crate::decide::observed::PendingRetry;
use crate::decide::reason::Reason;
use crate::decide::reason::Retry;
use crate::kubernetes::error::ApiFailure;
use crate::state::retries::contention::Contention;
use crate::state::retries::contention::WINDOW;

/// When a write is retried that was rejected because its namespace is missing or being deleted, if no
/// watch reports a change of the namespace.
const NAMESPACE_LAG: Duration = Duration::from_secs(30);

/// What is read or written. Each subject has a backoff of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A read of this source.
    Source(NamespacedName),
    /// Reads of namespaces that the selector may select.
    Namespaces,
    /// A patch of the finalizer of the sync.
    Finalizer,
    /// A patch of the status of the sync.
    Status,
    /// A read or write of this copy.
    Destination(NamespacedName),
}

/// A write of a copy that the API server did not reject.
#[derive(Clone, Debug)]
pub struct AnsweredWrite {
    pub purpose: Purpose,
    pub response: Response,
    pub at: Instant,
    /// The uid of the destination namespace: changes in an earlier namespace of the same name do not
    /// count.
    pub namespace_uid: Option<String>,
}

/// The failed attempts, contention and writes in flight of one sync.
#[derive(Clone, Debug, Default)]
pub struct Retries {
    failing: HashMap<Subject, Failing>,
    changes: HashMap<NamespacedName, Changes>,
    in_flight: HashMap<NamespacedName, Unanswered>,
    /// How often another client has undone a patch of the finalizer or of the status.
    undone: HashMap<Subject, Contention>,
}

/// A write without a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unanswered {
    /// It was sent, and may still take effect.
    Sent,
    /// It was not sent: its namespace is slow.
    Waiting,
}

/// The reads and writes of one sync that must wait, as of one point in time.
#[derive(Clone, Copy, Debug)]
pub struct HeldBack<'a> {
    by: Option<(&'a Retries, Instant)>,
}

/// The last failure of a subject, and when it is retried.
#[derive(Clone, Debug)]
struct Failing {
    backoff: Backoff,
    /// Failures in a row.
    count: u32,
    /// The time of the next attempt; `None`: after a change of a watched object.
    until: Option<Instant>,
    namespace_uid: Option<String>,
    held: PendingRetry,
}

/// Who changed a copy lately.
#[derive(Clone, Debug)]
struct Changes {
    namespace_uid: Option<String>,
    our_last_write: Option<(OurLastWrite, Instant)>,
    /// Hash of the content that the last write was to make, whatever the response.
    attempted_hash: Option<ContentHash>,
    of_others: Option<Contention>,
}

// === impl Retries ===

impl Retries {
    /// Records a failure of `subject`. The next attempt waits for the backoff delay or, if the reason
    /// is retried on change, for a change of a watched object; if it is the state of the namespace,
    /// for at most 30 seconds.
    pub fn failed(&mut self, subject: Subject, attempt: FailedAttempt) {
        let FailedAttempt { failure, at, namespace_uid, attempted } = attempt;
        let ApiFailure { failure, backoff_cap, retry_after } = failure;
        let is_destination = matches!(subject, Subject::Destination(_));
        let waits_for_change = is_destination && failure.reason.retry() == Retry::OnChange;
        let before = self.failing.remove(&subject);
        let (mut backoff, count) =
            before.map(|before| (before.backoff, before.count)).unwrap_or_default();
        let until = match failure.reason {
            // The watch may have delivered the change of the namespace before the API server that
            // rejected the write knew of it.
            Reason::NamespaceTerminating | Reason::DestinationNamespaceNotFound
                if waits_for_change =>
            {
                Some(at + NAMESPACE_LAG)
            }
            _ if waits_for_change => None,
            _ => Some(at + backoff.next_delay(backoff_cap, retry_after)),
        };
        let held = PendingRetry { failure, attempted };
        self.failing.insert(
            subject,
            Failing { backoff, count: count.saturating_add(1), until, namespace_uid, held },
        );
    }

    /// Records a success of `subject`, which resets its backoff.
    pub fn succeeded(&mut self, subject: &Subject) {
        self.failing.remove(subject);
    }

    /// Records that the finalizer or the status was patched as before at `now`, after another client
    /// had undone that.
    pub fn restored(&mut self, subject: Subject, now: Instant) {
        self.undone.entry(subject).or_insert_with(|| Contention::new(now)).changed(now);
    }

    /// Records the response to a write of the copy `at`.
    pub fn answered(&mut self, at: &NamespacedName, write: AnsweredWrite) {
        let AnsweredWrite { purpose, response, at: now, namespace_uid } = write;
        if response == Response::Written {
            self.failing.remove(&Subject::Destination(at.clone()));
        }
        let before = self.changes.remove(at).filter(|it| it.namespace_uid == namespace_uid);
        let Changes { our_last_write: last, mut of_others, .. } = before.unwrap_or(Changes {
            namespace_uid: None,
            our_last_write: None,
            attempted_hash: None,
            of_others: None,
        });
        if is_change_of_others(last.as_ref().map(|(last, _)| last), &purpose, response) {
            of_others.get_or_insert_with(|| Contention::new(now)).changed(now);
        }
        let attempted_hash = purpose.content_hash().cloned();
        let our_last_write = match (response, purpose) {
            (Response::Written, Purpose::Copy { wanted, .. }) => {
                Some((OurLastWrite::Copied(wanted), now))
            }
            (Response::Written, Purpose::Retire) => Some((OurLastWrite::Retired, now)),
            (Response::AlreadyExists | Response::Conflict, _) => last,
        };
        let changes = Changes { namespace_uid, our_last_write, attempted_hash, of_others };
        self.changes.insert(at.clone(), changes);
    }

    /// Records that a write of the copy `at` was sent. No other write of the copy is sent until the
    /// response arrives.
    pub fn write_in_flight(&mut self, at: &NamespacedName) {
        self.in_flight.insert(at.clone(), Unanswered::Sent);
    }

    /// Records that a write of the copy `at` waits, since its namespace is slow. It is planned again
    /// when the wait ends.
    pub fn write_waits(&mut self, at: &NamespacedName) {
        self.in_flight.insert(at.clone(), Unanswered::Waiting);
    }

    /// Records that no write of the copy `at` is in flight or waits any more.
    pub fn write_ended(&mut self, at: &NamespacedName) {
        self.in_flight.remove(at);
    }

    /// Records the last pass of a reconcile that started at `began`. `needs_write` returns whether a
    /// destination still needs a write. Forgets what was due and needs no further attempt, and what
    /// waits for a change although its destination needs no write.
    pub fn settled(&mut self, began: Instant, needs_write: impl Fn(&NamespacedName) -> bool) {
        let Self { failing, changes, in_flight, undone } = self;
        failing.retain(|subject, failing| match subject {
            // It is reported after the last pass.
            Subject::Status => true,
            Subject::Destination(at) if in_flight.contains_key(at) || needs_write(at) => true,
            _ => failing.until.is_some_and(|until| until > began),
        });
        // Whether the response to a write in flight counts depends on what was written before.
        let is_written = |at: &NamespacedName| needs_write(at) || in_flight.contains_key(at);
        changes.retain(|at, changes| changes.is_worth_keeping(is_written(at), began));
        undone.retain(|_, contention| !contention.is_over(began));
    }

    /// Records that a verification against live data starts: failures that wait for a change are
    /// retried.
    pub fn verifying(&mut self) {
        self.failing.retain(|_, failing| failing.until.is_some());
    }

    /// The reads and writes that must wait at `now`.
    pub const fn held_back(&self, now: Instant) -> HeldBack<'_> {
        HeldBack { by: Some((self, now)) }
    }

    /// How many attempts on the copy `at` have failed in a row.
    pub fn failures_at(&self, at: &NamespacedName) -> u32 {
        self.failing.get(&Subject::Destination(at.clone())).map_or(0, |failing| failing.count)
    }

    /// The delay at `now` until the earliest retry that a reconcile started at `began` had to hold
    /// back; `None` if nothing waits for a delay. What was due at `began` does not count: it was
    /// attempted, or something else must come first.
    pub fn next_retry(&self, began: Instant, now: Instant) -> Option<Duration> {
        let is_in_flight = |subject: &Subject| match subject {
            Subject::Destination(at) => self.in_flight.contains_key(at),
            _ => false,
        };
        let failing = self.failing.iter().filter(|(subject, _)| !is_in_flight(subject));
        let failing = failing.filter_map(|(_, failing)| failing.until);
        let contended = self.changes.iter().filter(|(at, _)| !self.in_flight.contains_key(*at));
        let contended =
            contended.filter_map(|(_, changes)| changes.of_others.as_ref()?.until(began));
        let undone = self.undone.values().filter_map(|contention| contention.until(began));
        let next = failing.filter(|until| *until > began).chain(contended).chain(undone).min()?;
        Some(next.saturating_duration_since(now))
    }

    /// Whether nothing is failing, contended or in flight.
    pub fn is_empty(&self) -> bool {
        self.failing.is_empty()
            && self.changes.is_empty()
            && self.in_flight.is_empty()
            && self.undone.is_empty()
    }
}

// === impl Changes ===

impl Changes {
    /// Whether the next change can still be judged by this. While a copy is in order, what the last
    /// reconcile wanted says what our last write was, unless that was a deletion.
    fn is_worth_keeping(&self, needs_write: bool, now: Instant) -> bool {
        let is_contended = self.of_others.as_ref().is_some_and(|it| !it.is_over(now));
        is_contended
            || self.our_last_write.as_ref().is_some_and(|(last, at)| {
                needs_write
                    || (*last == OurLastWrite::Retired
                        && now.saturating_duration_since(*at) < WINDOW)
            })
    }
}

// === impl HeldBack ===

impl<'a> HeldBack<'a> {
    /// No read or write must wait.
    pub const fn nothing() -> Self {
        Self { by: None }
    }

    /// Why a read of the source `name` for this `generation` must wait. With another spec, the
    /// permissions of another ServiceAccount may count.
    pub fn source(&self, name: &NamespacedName, generation: Option<i64>) -> Option<Failure> {
        let PendingRetry { failure, attempted } =
            &self.waiting(&Subject::Source(name.clone()))?.held;
        let applies = failure.reason != Reason::NotPermitted || attempted.generation == generation;
        applies.then(|| failure.clone())
    }

    /// Why reads of namespaces that the selector may select must wait.
    pub fn namespaces(&self) -> Option<Failure> {
        self.waiting(&Subject::Namespaces).map(|it| it.held.failure.clone())
    }

    /// Why a patch of the finalizer must wait: the last one failed, or another client keeps removing
    /// the finalizer (`Contended`).
    pub fn finalizer(&self) -> Option<Failure> {
        let failing = self.waiting(&Subject::Finalizer).map(|it| it.held.failure.clone());
        failing.or_else(|| self.is_undone(&Subject::Finalizer).then(contended_finalizer))
    }

    /// Whether a patch of the status must wait: the last one failed, or another client keeps undoing
    /// it.
    pub fn status(&self) -> bool {
        self.waiting(&Subject::Status).is_some() || self.is_undone(&Subject::Status)
    }

    /// Why a write of the copy `at`, in the namespace with this uid, must wait. While a retry is in
    /// flight, this is why the attempt before it failed.
    pub fn destination(
        &self,
        at: &NamespacedName,
        namespace_uid: Option<&str>,
    ) -> Option<PendingRetry> {
        let (retries, now) = self.by?;
        let unanswered = retries.in_flight.get(at).copied();
        let is_in_flight = unanswered.is_some();
        let failing = retries.failing.get(&Subject::Destination(at.clone()));
        let failing = failing
            .filter(|failing| failing.namespace_uid.as_deref() == namespace_uid)
            .filter(|failing| is_in_flight || failing.is_waiting(now))
            .map(|failing| failing.held.clone())
            // It applies to one content only, but nothing is written while a write is in flight.
            .filter(|held| !is_in_flight || held.failure.reason != Reason::TooLarge);
        let is_contended = || {
            let changes = retries.changes.get(at)?;
            let contention = changes.of_others.as_ref()?;
            let applies = changes.namespace_uid.as_deref() == namespace_uid;
            let waits = contention.until(now).is_some() || (is_in_flight && contention.backs_off());
            (applies && waits).then(|| contended_copy(at, changes.attempted_hash.clone()))
        };
        let held = failing.or_else(is_contended).or_else(|| unanswered.map(|it| it.pending(at)));
        // While a write is in flight, nothing else is written.
        let applies_to_all = |held| PendingRetry { attempted: Attempted::default(), ..held };
        if is_in_flight { held.map(applies_to_all) } else { held }
    }

    /// Whether a write of the copy `at` is in flight or waits.
    pub fn is_in_flight(&self, at: &NamespacedName) -> bool {
        self.by.is_some_and(|(retries, _)| retries.in_flight.contains_key(at))
    }

    /// Whether any write of the sync was sent and has no response.
    pub fn has_writes_in_flight(&self) -> bool {
        self.by.is_some_and(|(retries, _)| {
            retries.in_flight.values().any(|it| *it == Unanswered::Sent)
        })
    }

    fn is_undone(&self, subject: &Subject) -> bool {
        let undone = self.by.and_then(|(retries, now)| retries.undone.get(subject)?.until(now));
        undone.is_some()
    }

    fn waiting(&self, subject: &Subject) -> Option<&'a Failing> {
        let (retries, now) = self.by?;
        retries.failing.get(subject).filter(|failing| failing.is_waiting(now))
    }
}

// === impl Failing ===

impl Failing {
    fn is_waiting(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

// === impl Unanswered ===

impl Unanswered {
    fn pending(self, at: &NamespacedName) -> PendingRetry {
        let message = match self {
            Self::Sent => format!("{at} waits for the response to its last write"),
            Self::Waiting => format!(
                "{at} waits for other writes in namespace {}, which responds slowly: check the \
                 webhooks for ConfigMaps",
                at.namespace
            ),
        };
        PendingRetry {
            failure: Failure::new(Reason::Progressing, message),
            attempted: Attempted::default(),
        }
    }
}

#[cfg(test)]
mod tests;
