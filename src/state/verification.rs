//! When each sync is verified against live data, as a safety net for missed events.
//!
//! The time and the random spread are arguments.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use parking_lot::Mutex;

use crate::api::uid::Uid;

/// A verification starts late by at most this fraction (1/n) of the period.
const PRECISION: u32 = 100;
const MAX_TICK: Duration = Duration::from_secs(10);
const MIN_TICK: Duration = Duration::from_millis(100);

/// The next verification of each sync, by uid.
#[derive(Debug)]
pub struct VerificationSchedule {
    period: Duration,
    next: Mutex<HashMap<Uid, Instant>>,
}

// === impl VerificationSchedule ===

impl VerificationSchedule {
    /// An empty schedule that verifies each sync once per `period`.
    pub fn new(period: Duration) -> Self {
        Self { period, next: Mutex::default() }
    }

    /// Whether the sync is due. If so, schedules its next verification. The first one is due at once
    /// if the sync `is_suspect`, otherwise after half a period at the earliest. `spread`, from 0 to 1,
    /// distributes syncs over time.
    pub fn take_due(&self, sync_uid: &str, is_suspect: bool, spread: f64, now: Instant) -> bool {
        let (mut next, sync_uid) = (self.next.lock(), Uid::from(sync_uid));
        let scheduled = next.get(&sync_uid).copied();
        let is_due = scheduled.map_or(is_suspect, |due| due <= now);
        if is_due || scheduled.is_none() {
            let wait = self.period.mul_f64(0.5 + spread.clamp(0.0, 1.0));
            next.insert(sync_uid, now + wait);
        }
        is_due
    }

    /// The uids of the syncs that are due.
    pub fn due(&self, now: Instant) -> Vec<String> {
        let next = self.next.lock();
        next.iter().filter(|(_, due)| **due <= now).map(|(uid, _)| uid.to_string()).collect()
    }

    /// Forgets a sync that no longer exists.
    pub fn forget(&self, sync_uid: &str) {
        self.next.lock().remove(&Uid::from(sync_uid));
    }

    /// Calls `wake` with the uids of the syncs that are due, until the future is dropped.
    ///
    /// One timer for all syncs: a timer takes as much memory as the rest of the state of a sync.
    pub async fn run(&self, wake: impl Fn(Vec<String>)) {
        let tick = (self.period / PRECISION).clamp(MIN_TICK, MAX_TICK);
        let mut ticks = tokio::time::interval(tick);
        loop {
            ticks.tick().await;
            wake(self.due(Instant::now()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_verification_waits_for_half_a_period() {
        let (schedule, now) = (VerificationSchedule::new(HOUR), Instant::now());
        assert!(!schedule.take_due("s", false, 0.0, now));
        assert!(!schedule.take_due("s", false, 0.0, now + SECOND * 1799));
        assert_eq!(schedule.due(now + SECOND * 1799), Vec::<String>::new());
        assert_eq!(schedule.due(now + HOUR / 2 + SECOND), ["s"]);
        assert!(schedule.take_due("s", false, 0.0, now + HOUR / 2 + SECOND));
        assert_eq!(schedule.due(now + HOUR / 2 + SECOND), Vec::<String>::new());
        assert!(!schedule.take_due("s", false, 0.0, now + HOUR / 2 + SECOND), "taken already");
    }

    #[test]
    fn a_suspect_sync_is_verified_at_once_and_once() {
        let (schedule, now) = (VerificationSchedule::new(HOUR), Instant::now());
        assert!(schedule.take_due("s", true, 0.0, now));
        assert!(!schedule.take_due("s", true, 0.0, now));
    }
}
