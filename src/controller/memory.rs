//! What a process remembers of a sync between rounds: failures that wait for a retry, the version
//! that it wrote last, and when it is due for a look at live data.
//!
//! Losing all of it costs reads and early retries, never a wrong write. The time is an argument.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use crate::backoff::Backoff;
use crate::controller::error::Refusal;
use crate::decide::Failure;
use crate::names::NamespacedName;

/// What failed: a destination, or, with `None`, the sync as a whole.
pub type Subject = Option<NamespacedName>;

/// How long a watch may take to show what we wrote.
const CATCH_UP: Duration = Duration::from_secs(30);

/// What a process remembers of syncs, by uid.
#[derive(Debug)]
pub struct Memory {
    resync_period: Duration,
    syncs: Mutex<HashMap<String, Remembered>>,
}

#[derive(Debug, Default)]
struct Remembered {
    failing: HashMap<Subject, Failing>,
    wrote: Option<(String, Instant)>,
    verification: Option<Instant>,
}

#[derive(Debug)]
struct Failing {
    backoff: Backoff,
    until: Instant,
    failure: Failure,
}

// === impl Memory ===

impl Memory {
    /// Remembers nothing yet. Every `resync_period` a sync is due for a look at live data.
    #[must_use]
    pub fn new(resync_period: Duration) -> Self {
        Self { resync_period, syncs: Mutex::default() }
    }

    /// Counts one more failure of `subject`, which is not tried again until its delay has passed.
    pub fn failed(&self, sync_uid: &str, subject: Subject, refusal: Refusal, now: Instant) {
        let mut syncs = self.lock();
        let failing = &mut syncs.entry(sync_uid.to_owned()).or_default().failing;
        let entry = failing.entry(subject).or_insert_with(|| Failing {
            backoff: Backoff::default(),
            until: now,
            failure: refusal.failure.clone(),
        });
        let delay = entry.backoff.next_delay(refusal.cap, refusal.retry_after);
        entry.until = now + delay;
        entry.failure = refusal.failure;
    }

    /// `subject` is in order: its failures are forgotten.
    pub fn succeeded(&self, sync_uid: &str, subject: &Subject) {
        if let Some(remembered) = self.lock().get_mut(sync_uid) {
            remembered.failing.remove(subject);
        }
    }

    /// The last failure of `subject`, while it is too early for another attempt.
    #[must_use]
    pub fn held(&self, sync_uid: &str, subject: &Subject, now: Instant) -> Option<Failure> {
        let syncs = self.lock();
        let failing = syncs.get(sync_uid)?.failing.get(subject)?;
        (failing.until > now).then(|| failing.failure.clone())
    }

    /// A round has ended: a failure whose delay had passed was tried again in it, if there still
    /// was anything to try, and is forgotten.
    pub fn settled(&self, sync_uid: &str, now: Instant) {
        if let Some(remembered) = self.lock().get_mut(sync_uid) {
            remembered.failing.retain(|_, failing| failing.until > now);
        }
    }

    /// The sync itself was written and is now at this resourceVersion.
    pub fn wrote(&self, sync_uid: &str, resource_version: String, now: Instant) {
        self.lock().entry(sync_uid.to_owned()).or_default().wrote = Some((resource_version, now));
    }

    /// Whether `resource_version` is older than what we wrote a moment ago: the watch has yet to
    /// catch up. After that moment what the watch shows is believed, whatever its number: storage
    /// may have been restored to an earlier state.
    #[must_use]
    pub fn is_behind(&self, sync_uid: &str, resource_version: &str, now: Instant) -> bool {
        let syncs = self.lock();
        let wrote = syncs.get(sync_uid).and_then(|remembered| remembered.wrote.as_ref());
        let recent = wrote.filter(|(_, at)| now.saturating_duration_since(*at) < CATCH_UP);
        let wrote = recent.and_then(|(wrote, _)| wrote.parse::<u128>().ok());
        wrote.zip(resource_version.parse::<u128>().ok()).is_some_and(|(wrote, seen)| seen < wrote)
    }

    /// Whether the sync is due for a look at live data, in which case the next one is set. The
    /// first is no sooner than half a period from now, and syncs are spread out by `spread`, a
    /// number from 0 to 1.
    pub fn verification_is_due(&self, sync_uid: &str, spread: f64, now: Instant) -> bool {
        let mut syncs = self.lock();
        let remembered = syncs.entry(sync_uid.to_owned()).or_default();
        let is_due = remembered.verification.is_some_and(|due| due <= now);
        if is_due || remembered.verification.is_none() {
            let wait = self.resync_period.mul_f64(0.5 + spread.clamp(0.0, 1.0));
            remembered.verification = Some(now + wait);
        }
        is_due
    }

    /// How long until the sync has to be looked at again, if no event comes.
    #[must_use]
    pub fn next_look(&self, sync_uid: &str, now: Instant) -> Duration {
        let syncs = self.lock();
        let Some(remembered) = syncs.get(sync_uid) else { return self.resync_period };
        let retries = remembered.failing.values().map(|failing| failing.until);
        let next = retries.chain(remembered.verification).min();
        next.map_or(self.resync_period, |next| next.saturating_duration_since(now))
    }

    /// The sync is gone, or another one has taken its name.
    pub fn forget(&self, sync_uid: &str) {
        self.lock().remove(sync_uid);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Remembered>> {
        self.syncs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backoff::CAP_REFUSED;
    use crate::names::Reason;

    const HOUR: Duration = Duration::from_hours(1);

    fn refusal() -> Refusal {
        let failure = Failure::new(Reason::Forbidden, "no");
        Refusal { failure, cap: CAP_REFUSED, retry_after: None }
    }

    fn place() -> NamespacedName {
        NamespacedName::new("app", "shared")
    }

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_failure_holds_until_its_delay_has_passed() {
        let (memory, now) = (Memory::new(HOUR), Instant::now());
        memory.failed("s", Some(place()), refusal(), now);
        assert!(memory.held("s", &Some(place()), now).is_some());
        assert!(memory.next_look("s", now) < SECOND * 2);
        assert_eq!(memory.held("s", &Some(place()), now + SECOND * 2), None);
    }

    #[test]
    fn failures_in_a_row_wait_longer_until_one_success() {
        let (memory, now) = (Memory::new(HOUR), Instant::now());
        for _ in 0..6 {
            memory.failed("s", Some(place()), refusal(), now);
        }
        assert!(memory.next_look("s", now) > SECOND * 20);
        memory.succeeded("s", &Some(place()));
        memory.failed("s", Some(place()), refusal(), now);
        assert!(memory.next_look("s", now) < SECOND * 2);
    }

    #[test]
    fn one_destination_does_not_hold_another() {
        let (memory, now) = (Memory::new(HOUR), Instant::now());
        memory.failed("s", Some(place()), refusal(), now);
        assert_eq!(memory.held("s", &Some(NamespacedName::new("app", "other")), now), None);
        assert_eq!(memory.held("t", &Some(place()), now), None);
    }

    #[test]
    fn a_failure_that_was_not_tried_again_is_forgotten_with_the_round() {
        let (memory, now) = (Memory::new(HOUR), Instant::now());
        memory.failed("s", Some(place()), refusal(), now);
        memory.settled("s", now + SECOND * 2);
        assert_eq!(memory.next_look("s", now + SECOND * 2), HOUR);
    }

    #[test]
    fn the_first_verification_comes_no_sooner_than_half_a_period() {
        let (memory, now) = (Memory::new(HOUR), Instant::now());
        assert!(!memory.verification_is_due("s", 0.0, now));
        assert!(!memory.verification_is_due("s", 0.0, now + SECOND * 1799));
        assert!(memory.verification_is_due("s", 0.0, now + HOUR / 2 + SECOND));
        assert!(!memory.verification_is_due("s", 0.0, now + HOUR / 2 + SECOND), "once");
    }

    #[test]
    fn a_watch_that_has_yet_to_show_our_own_write_is_behind() {
        let memory = Memory::new(HOUR);
        let now = Instant::now();
        memory.wrote("s", "12".into(), now);
        assert!(memory.is_behind("s", "9", now));
        assert!(!memory.is_behind("s", "12", now));
        assert!(!memory.is_behind("t", "9", now));
        assert!(!memory.is_behind("s", "9", now + CATCH_UP), "storage was restored");
    }
}
