//! What a process remembers of a sync between rounds: failures that wait for a retry, copies that
//! somebody else keeps changing, the version that it wrote last, and when it is due for a look at
//! live data.
//!
//! Losing all of it costs reads and early retries, never a wrong write. The time is an argument.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use crate::api::SourceVersion;
use crate::api::namespaced_name::NamespacedName;
use crate::backoff::Backoff;
use crate::cache::Cache;
use crate::controller::contention::Contention;
use crate::decide::ContentHash;
use crate::decide::Failure;
use crate::decide::excerpt::Excerpt;
use crate::decide::observed::PendingRetry;
use crate::decide::reason::Reason;
use crate::decide::reason::Retry;
use crate::kubernetes::error::ApiFailure;

/// What failed: a destination, or, with `None`, the sync as a whole.
pub type Subject = Option<NamespacedName>;

/// What was tried.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempt {
    /// On what.
    pub subject: Subject,
    /// uid of the namespace that it lies in.
    pub namespace_uid: Option<String>,
    /// Hash of the content that was to be written.
    pub content_hash: Option<ContentHash>,
}

/// How long a watch may take to show what we wrote.
const CATCH_UP: Duration = Duration::from_secs(30);

/// What a process remembers of syncs, by uid.
#[derive(Debug)]
pub struct Memory {
    resync_period: Duration,
    syncs: Mutex<Remembering>,
}

type Remembering = HashMap<Box<str>, Remembered>;

#[derive(Debug, Default)]
struct Remembered {
    /// Boxed: nearly all syncs have none, nearly always.
    unsettled: Option<Box<Unsettled>>,
    excerpt: Option<Box<(SourceVersion, Option<i64>, Excerpt)>>,
    wrote: Option<(Box<str>, Instant)>,
    verification: Option<Instant>,
    cleaned_up: Option<Instant>,
}

/// What stands in the way of some of its copies, or of the sync as a whole.
#[derive(Debug, Default)]
struct Unsettled {
    failing: HashMap<Subject, Failing>,
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

// === impl Attempt ===

impl Attempt {
    /// On the copy at `at`, in the namespace that is there now.
    #[must_use]
    pub fn on(at: &NamespacedName, cache: &Cache, content_hash: Option<ContentHash>) -> Self {
        let namespace_uid = cache.namespace(&at.namespace).1;
        Self { subject: Some(at.clone()), namespace_uid, content_hash }
    }
}

// === impl Memory ===

impl Memory {
    /// Remembers nothing yet. Every `resync_period` a sync is due for a look at live data.
    #[must_use]
    pub fn new(resync_period: Duration) -> Self {
        Self { resync_period, syncs: Mutex::default() }
    }

    /// Counts one more failure of an attempt, which is not repeated until its delay has passed,
    /// or, where only a change can help, until there is one.
    pub fn failed(&self, sync_uid: &str, attempt: Attempt, refusal: ApiFailure, now: Instant) {
        let mut syncs = self.lock();
        let failing = &mut unsettled(&mut syncs, sync_uid).failing;
        let Attempt { subject, namespace_uid, content_hash } = attempt;
        let needs_a_change = subject.is_some() && refusal.failure.reason.retry() == Retry::OnChange;
        let held = PendingRetry { failure: refusal.failure, content_hash };
        let backoff = failing.remove(&subject).map(|before| before.backoff).unwrap_or_default();
        let mut after = Failing { backoff, until: None, namespace_uid, held };
        if !needs_a_change {
            let delay = after.backoff.next_delay(refusal.backoff_cap, refusal.retry_after);
            after.until = Some(now + delay);
        }
        failing.insert(subject, after);
    }

    /// `subject` is in order: its failures are forgotten.
    pub fn succeeded(&self, sync_uid: &str, subject: &Subject) {
        if let Some(remembered) = self.lock().get_mut(sync_uid) {
            remembered.settle(|unsettled| {
                unsettled.failing.remove(subject);
            });
        }
    }

    /// The last failure of the sync as a whole, while it is too early for another attempt.
    #[must_use]
    pub fn held(&self, sync_uid: &str, now: Instant) -> Option<Failure> {
        let syncs = self.lock();
        let failing = syncs.get(sync_uid)?.unsettled.as_ref()?.failing.get(&None)?;
        failing.is_waiting(now).then(|| failing.held.failure.clone())
    }

    /// Whether the last attempt on the copy at `at` has failed, so that another is a retry.
    #[must_use]
    pub fn has_failed(&self, sync_uid: &str, at: &NamespacedName) -> bool {
        let syncs = self.lock();
        let unsettled = syncs.get(sync_uid).and_then(|remembered| remembered.unsettled.as_ref());
        unsettled.is_some_and(|unsettled| unsettled.failing.contains_key(&Some(at.clone())))
    }

    /// What stands for another attempt on the copy at `at`, while it is too early for one. What
    /// was wrong with a namespace is not wrong with another of the same name.
    #[must_use]
    pub fn held_at(
        &self,
        sync_uid: &str,
        at: &NamespacedName,
        namespace_uid: Option<&str>,
        now: Instant,
    ) -> Option<PendingRetry> {
        let syncs = self.lock();
        let unsettled = syncs.get(sync_uid)?.unsettled.as_ref()?;
        if unsettled.in_flight.contains(at) {
            return Some(PendingRetry { failure: in_flight(at), content_hash: None });
        }
        let failing = unsettled
            .failing
            .get(&Some(at.clone()))
            .filter(|failing| failing.is_waiting(now))
            .filter(|failing| failing.namespace_uid.as_deref() == namespace_uid);
        if let Some(failing) = failing {
            return Some(failing.held.clone());
        }
        let (of_namespace, contention) = unsettled.contended.get(at)?;
        if of_namespace.as_deref() != namespace_uid {
            return None;
        }
        contention.until(now)?;
        Some(PendingRetry { failure: contended(at), content_hash: None })
    }

    /// A write of the copy at `at` is sent. Until it is answered there is no other.
    pub fn write_begins(&self, sync_uid: &str, at: &NamespacedName) {
        let mut syncs = self.lock();
        unsettled(&mut syncs, sync_uid).in_flight.insert(at.clone());
    }

    /// The write of the copy at `at` was answered.
    pub fn write_ends(&self, sync_uid: &str, at: &NamespacedName) {
        if let Some(remembered) = self.lock().get_mut(sync_uid) {
            remembered.settle(|unsettled| {
                unsettled.in_flight.remove(at);
            });
        }
    }

    /// Whether any write of the sync is not answered yet.
    #[must_use]
    pub fn is_writing(&self, sync_uid: &str) -> bool {
        let syncs = self.lock();
        let unsettled = syncs.get(sync_uid).and_then(|remembered| remembered.unsettled.as_ref());
        unsettled.is_some_and(|unsettled| !unsettled.in_flight.is_empty())
    }

    /// Somebody else had changed the copy at `at`. A namespace that went and came again took its
    /// copy along, which is no fight.
    pub fn changed_by_others(
        &self,
        sync_uid: &str,
        at: &NamespacedName,
        namespace_uid: Option<String>,
        now: Instant,
    ) {
        let mut syncs = self.lock();
        let contended = &mut unsettled(&mut syncs, sync_uid).contended;
        let before = contended.remove(at).filter(|(uid, _)| *uid == namespace_uid);
        let mut contention = before.map_or_else(|| Contention::new(now), |(_, before)| before);
        contention.changed(now);
        contended.insert(at.clone(), (namespace_uid, contention));
    }

    /// A round has ended, and `is_left` tells of which copies it left undone. A failure whose
    /// delay had passed was tried again in it, if there still was anything to try, and is
    /// forgotten; so is one that waits for a change, where nothing is left undone.
    pub fn settled(&self, sync_uid: &str, is_left: impl Fn(&NamespacedName) -> bool, now: Instant) {
        if let Some(remembered) = self.lock().get_mut(sync_uid) {
            remembered.settle(|unsettled| {
                unsettled.failing.retain(|subject, failing| match failing.until {
                    Some(until) => until > now,
                    None => subject.as_ref().is_some_and(&is_left),
                });
                unsettled.contended.retain(|_, (_, contention)| !contention.is_over(now));
            });
        }
    }

    /// What is copied of a source, as it was found out at this version, for a sync of this
    /// generation.
    #[must_use]
    pub fn excerpt(
        &self,
        sync_uid: &str,
        source: &SourceVersion,
        generation: Option<i64>,
    ) -> Option<Excerpt> {
        let syncs = self.lock();
        let (at, of, excerpt) = &**syncs.get(sync_uid)?.excerpt.as_ref()?;
        (at == source && *of == generation).then(|| excerpt.clone())
    }

    /// Keeps what is copied of a source.
    pub fn keep_excerpt(
        &self,
        sync_uid: &str,
        source: SourceVersion,
        generation: Option<i64>,
        excerpt: Excerpt,
    ) {
        let kept = Some(Box::new((source, generation, excerpt)));
        remembered(&mut self.lock(), sync_uid).excerpt = kept;
    }

    /// The sync itself was written and is now at this resourceVersion.
    pub fn wrote(&self, sync_uid: &str, resource_version: String, now: Instant) {
        remembered(&mut self.lock(), sync_uid).wrote = Some((resource_version.into(), now));
    }

    /// Our finalizer was taken off: all else is forgotten. A sync that the watch has shown to be
    /// gone is not remembered again.
    pub fn cleaned_up(&self, sync_uid: &str, now: Instant) {
        if let Some(remembered) = self.lock().get_mut(sync_uid) {
            *remembered = Remembered { cleaned_up: Some(now), ..Remembered::default() };
        }
    }

    /// Whether `resource_version` is older than what we wrote a moment ago, or the sync has been
    /// cleaned up since: the watch has yet to catch up. After that moment what the watch shows is believed, whatever its number: storage
    /// may have been restored to an earlier state.
    #[must_use]
    pub fn is_behind(&self, sync_uid: &str, resource_version: &str, now: Instant) -> bool {
        let syncs = self.lock();
        let Some(remembered) = syncs.get(sync_uid) else { return false };
        let is_recent = |at: Instant| now.saturating_duration_since(at) < CATCH_UP;
        if remembered.cleaned_up.is_some_and(is_recent) {
            return true;
        }
        let recent = remembered.wrote.as_ref().filter(|(_, at)| is_recent(*at));
        let wrote = recent.and_then(|(wrote, _)| wrote.parse::<u128>().ok());
        wrote.zip(resource_version.parse::<u128>().ok()).is_some_and(|(wrote, seen)| seen < wrote)
    }

    /// Whether the sync is due for a look at live data, in which case the next one is set. The
    /// first is no sooner than half a period from now, and syncs are spread out by `spread`, a
    /// number from 0 to 1.
    pub fn verification_is_due(&self, sync_uid: &str, spread: f64, now: Instant) -> bool {
        let mut syncs = self.lock();
        let remembered = remembered(&mut syncs, sync_uid);
        let is_due = remembered.verification.is_some_and(|due| due <= now);
        if is_due || remembered.verification.is_none() {
            let wait = self.resync_period.mul_f64(0.5 + spread.clamp(0.0, 1.0));
            remembered.verification = Some(now + wait);
        }
        if is_due {
            remembered.settle(|unsettled| {
                unsettled.failing.retain(|_, failing| failing.until.is_some());
            });
        }
        is_due
    }

    /// The uids of the syncs that are due for a look at live data.
    #[must_use]
    pub fn due_for_verification(&self, now: Instant) -> Vec<String> {
        let syncs = self.lock();
        let due = syncs.iter().filter(|(_, remembered)| {
            remembered.verification.is_some_and(|verification| verification <= now)
        });
        due.map(|(uid, _)| uid.to_string()).collect()
    }

    /// How long until something of the sync is to be tried again, if anything is.
    #[must_use]
    pub fn next_retry(&self, sync_uid: &str, now: Instant) -> Option<Duration> {
        let syncs = self.lock();
        let unsettled = syncs.get(sync_uid)?.unsettled.as_ref()?;
        let retries = unsettled.failing.values().filter_map(|failing| failing.until);
        let contended = unsettled.contended.values();
        let repairs = contended.filter_map(|(_, contention)| contention.until(now));
        let next = retries.chain(repairs).min()?;
        Some(next.saturating_duration_since(now))
    }

    /// The sync is gone, or another one has taken its name.
    pub fn forget(&self, sync_uid: &str) {
        self.lock().remove(sync_uid);
    }

    fn lock(&self) -> MutexGuard<'_, Remembering> {
        self.syncs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Remembered ===

impl Remembered {
    /// Takes things off what is unsettled, and forgets that there was any once all is settled.
    fn settle(&mut self, settle: impl FnOnce(&mut Unsettled)) {
        let Some(unsettled) = &mut self.unsettled else { return };
        settle(unsettled);
        let Unsettled { failing, contended, in_flight } = &**unsettled;
        if failing.is_empty() && contended.is_empty() && in_flight.is_empty() {
            self.unsettled = None;
        }
    }
}

// === impl Failing ===

impl Failing {
    fn is_waiting(&self, now: Instant) -> bool {
        self.until.is_none_or(|until| until > now)
    }
}

fn remembered<'a>(syncs: &'a mut Remembering, sync_uid: &str) -> &'a mut Remembered {
    syncs.entry(sync_uid.into()).or_default()
}

fn unsettled<'a>(syncs: &'a mut Remembering, sync_uid: &str) -> &'a mut Unsettled {
    remembered(syncs, sync_uid).unsettled.get_or_insert_default()
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
