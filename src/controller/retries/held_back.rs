//! What must wait for its backoff, or for the response to a write.

use std::time::Instant;

use crate::api::namespaced_name::NamespacedName;
use crate::controller::retries::Failing;
use crate::controller::retries::Retries;
use crate::controller::retries::Subject;
use crate::decide::Failure;
use crate::decide::observed::PendingRetry;
use crate::decide::reason::Reason;

/// The reads and writes of one sync that must wait, as of one point in time.
#[derive(Clone, Copy, Debug)]
pub struct HeldBack<'a> {
    by: Option<(&'a Retries, Instant)>,
}

// === impl HeldBack ===

impl<'a> HeldBack<'a> {
    /// No read or write must wait.
    pub const fn nothing() -> Self {
        Self { by: None }
    }

    pub(super) const fn by(retries: &'a Retries, now: Instant) -> Self {
        Self { by: Some((retries, now)) }
    }

    /// Why a read of the source `name` must wait.
    pub fn source(&self, name: &NamespacedName) -> Option<Failure> {
        let failing = self.waiting(&Subject::Source(name.clone()))?;
        Some(failing.held.failure.clone())
    }

    /// Whether a patch of the finalizer must wait.
    pub fn finalizer(&self) -> bool {
        self.waiting(&Subject::Finalizer).is_some()
    }

    /// Whether a patch of the status must wait.
    pub fn status(&self) -> bool {
        self.waiting(&Subject::Status).is_some()
    }

    /// Why a write of the copy `at`, in the namespace with this uid, must wait. While a retry is in
    /// flight, this is why the attempt before it failed.
    pub fn destination(
        &self,
        at: &NamespacedName,
        namespace_uid: Option<&str>,
    ) -> Option<PendingRetry> {
        let (retries, now) = self.by?;
        let is_in_flight = retries.in_flight.contains(at);
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
            (applies && waits).then(|| contended(at))
        };
        failing
            .or_else(is_contended)
            .or_else(|| is_in_flight.then(|| without_response(at)))
    }

    /// Whether a write of the copy `at` is in flight.
    pub fn is_in_flight(&self, at: &NamespacedName) -> bool {
        self.by.is_some_and(|(retries, _)| retries.in_flight.contains(at))
    }

    /// Whether any write of the sync is in flight.
    pub fn has_writes_in_flight(&self) -> bool {
        self.by.is_some_and(|(retries, _)| !retries.in_flight.is_empty())
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

fn without_response(at: &NamespacedName) -> PendingRetry {
    let message = format!("{at} waits for the response to its last write");
    PendingRetry { failure: Failure::new(Reason::Progressing, message), content_hash: None }
}

fn contended(at: &NamespacedName) -> PendingRetry {
    let message = format!(
        "another client keeps changing {at}: find it in managedFields and stop it, or set \
         spec.suspend"
    );
    PendingRetry { failure: Failure::new(Reason::Contended, message), content_hash: None }
}
