//! Detects that another client keeps changing a copy. The time is an argument.

use std::collections::VecDeque;
use std::time::Duration;
use std::time::Instant;

use crate::backoff::Backoff;
use crate::backoff::CAP_REFUSED;

/// More changes than this within [`WINDOW`] count as contention.
const MAX_CHANGES: usize = 5;
/// Changes are counted over this period.
pub const WINDOW: Duration = Duration::from_mins(1);

/// How often another client has changed one copy, and how long its repair waits.
///
/// After more than 5 changes in a minute, repairs back off, although each of them succeeds. The
/// contention is over after a quiet period as long as the longest delay.
#[derive(Clone, Debug)]
pub struct Contention {
    changes: VecDeque<Instant>,
    backoff: Option<Backoff>,
    until: Instant,
}

// === impl Contention ===

impl Contention {
    /// No change before `now`.
    pub fn new(now: Instant) -> Self {
        Self { changes: VecDeque::new(), backoff: None, until: now }
    }

    /// Records a change by another client, repaired at `now`.
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

    /// When the next repair may be made; `None`: now.
    pub fn until(&self, now: Instant) -> Option<Instant> {
        // Before there are too many changes, no repair waits, not even in the reconcile in which the
        // last one was made, which started before it.
        (self.backoff.is_some() && self.until > now).then_some(self.until)
    }

    /// Whether repairs back off, because there were too many changes.
    pub const fn backs_off(&self) -> bool {
        self.backoff.is_some()
    }

    /// Whether the copy has been quiet for long enough to forget its changes.
    pub fn is_over(&self, now: Instant) -> bool {
        let quiet = if self.backoff.is_some() { CAP_REFUSED } else { WINDOW };
        now.saturating_duration_since(self.until) > quiet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Makes `changes` changes, each one second after the repair of the one before was allowed.
    fn contend(changes: u32) -> (Contention, Instant) {
        let mut now = Instant::now();
        let mut contention = Contention::new(now);
        for _ in 0..changes {
            now = contention.until(now).unwrap_or(now) + SECOND;
            contention.changed(now);
        }
        (contention, now)
    }

    #[test]
    fn five_changes_a_minute_are_repaired_without_delay() {
        let (contention, now) = contend(5);
        assert_eq!(contention.until(now), None);
    }

    #[test]
    fn the_reconcile_that_met_a_conflict_may_repair_again() {
        let began = Instant::now();
        let mut contention = Contention::new(began);
        contention.changed(began + SECOND);
        assert_eq!(contention.until(began), None);
    }

    #[test]
    fn delays_grow_from_the_sixth_change_on() {
        let (contention, now) = contend(6);
        let first = contention.until(now).unwrap() - now;
        let (contention, now) = contend(10);
        let later = contention.until(now).unwrap() - now;
        assert!(first < SECOND * 2 && later > SECOND * 8, "{first:?} {later:?}");
    }

    #[test]
    fn delays_stay_at_the_cap_while_contention_lasts() {
        let (contention, now) = contend(100);
        let wait = contention.until(now).unwrap() - now;
        assert!(wait > CAP_REFUSED / 2 && wait <= CAP_REFUSED, "{wait:?}");
    }

    #[test]
    fn rare_changes_are_no_contention() {
        let mut now = Instant::now();
        let mut contention = Contention::new(now);
        for _ in 0..100 {
            now += SECOND * 15;
            contention.changed(now);
            assert_eq!(contention.until(now), None);
        }
    }

    #[test]
    fn a_quiet_period_as_long_as_the_cap_ends_contention() {
        let (mut contention, now) = contend(20);
        let end = contention.until(now).unwrap();
        assert!(!contention.is_over(end + CAP_REFUSED));
        assert!(contention.is_over(end + CAP_REFUSED + SECOND));
        contention.changed(end + CAP_REFUSED + SECOND);
        assert_eq!(contention.until(end + CAP_REFUSED + SECOND), None);
    }
}
