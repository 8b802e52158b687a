//! Notices that somebody else keeps changing a copy. The time is an argument.

use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use crate::backoff::Backoff;
use crate::backoff::CAP_REFUSED;

/// More changes than this within [`WINDOW`] are a fight.
const MAX_CHANGES: usize = 5;
const WINDOW: Duration = Duration::from_mins(1);

/// How often somebody else has changed one copy, and how long we leave it to them.
///
/// Once they have changed it more than 5 times in a minute, repairs wait for each other by
/// backoff, although each of them succeeds. That is forgotten after a quiet stretch as long as the
/// longest wait.
#[derive(Debug)]
pub struct Contention {
    changes: VecDeque<Instant>,
    backoff: Option<Backoff>,
    until: Instant,
}

// === impl Contention ===

impl Contention {
    /// Nothing has happened before `now`.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self { changes: VecDeque::new(), backoff: None, until: now }
    }

    /// Somebody else had changed the copy, and it was repaired now.
    pub fn changed(&mut self, now: Instant) {
        if self.is_over(now) {
            *self = Self::new(now);
        }
        self.changes.retain(|at| now.saturating_duration_since(*at) < WINDOW);
        if self.backoff.is_none() {
            self.changes.push_back(now);
        }
        if self.changes.len() > MAX_CHANGES {
            self.backoff = Some(Backoff::default());
            self.changes = VecDeque::new();
        }
        self.until = match &mut self.backoff {
            Some(backoff) => now + backoff.next_delay(CAP_REFUSED, None),
            None => now,
        };
    }

    /// Until when the copy is left alone, if it is.
    #[must_use]
    pub fn until(&self, now: Instant) -> Option<Instant> {
        (self.until > now).then_some(self.until)
    }

    /// Whether it has been quiet for long enough.
    #[must_use]
    pub fn is_over(&self, now: Instant) -> bool {
        let quiet = if self.backoff.is_some() { CAP_REFUSED } else { WINDOW };
        now.saturating_duration_since(self.until) > quiet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Repairs at once whatever is changed at once, for so many changes.
    fn fight(changes: u32) -> (Contention, Instant) {
        let mut now = Instant::now();
        let mut contention = Contention::new(now);
        for _ in 0..changes {
            now = contention.until(now).unwrap_or(now) + SECOND;
            contention.changed(now);
        }
        (contention, now)
    }

    #[test]
    fn five_changes_in_a_minute_are_repaired_at_once() {
        let (contention, now) = fight(5);
        assert_eq!(contention.until(now), None);
    }

    #[test]
    fn from_the_sixth_on_each_waits_longer() {
        let (contention, now) = fight(6);
        let first = contention.until(now).unwrap() - now;
        let (contention, now) = fight(10);
        let later = contention.until(now).unwrap() - now;
        assert!(first < SECOND * 2 && later > SECOND * 8, "{first:?} {later:?}");
    }

    #[test]
    fn it_never_waits_longer_than_the_cap_and_never_begins_anew_while_it_goes_on() {
        let (contention, now) = fight(100);
        let wait = contention.until(now).unwrap() - now;
        assert!(wait > CAP_REFUSED / 2 && wait <= CAP_REFUSED, "{wait:?}");
    }

    #[test]
    fn changes_that_are_far_apart_are_no_fight() {
        let mut now = Instant::now();
        let mut contention = Contention::new(now);
        for _ in 0..100 {
            now += SECOND * 15;
            contention.changed(now);
            assert_eq!(contention.until(now), None);
        }
    }

    #[test]
    fn a_quiet_stretch_as_long_as_the_cap_ends_it() {
        let (mut contention, now) = fight(20);
        let end = contention.until(now).unwrap();
        assert!(!contention.is_over(end + CAP_REFUSED));
        assert!(contention.is_over(end + CAP_REFUSED + SECOND));
        contention.changed(end + CAP_REFUSED + SECOND);
        assert_eq!(contention.until(end + CAP_REFUSED + SECOND), None);
    }
}
