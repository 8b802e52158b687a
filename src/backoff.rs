//! Exponential backoff with jitter: how long to wait after the n-th failure in a row.
//!
//! Knows nothing of what failed. The crate `backoff` is unmaintained, though not vulnerable; it
//! is used here and nowhere else, so that it can be replaced in one place.

pub mod watch;

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff as _;

/// Delay after the first failure, before jitter.
pub const INITIAL_DELAY: Duration = Duration::from_secs(1);
/// Longest delay for what the server suffers from: connection, timeout, 429, 5xx.
pub const CAP_UNAVAILABLE: Duration = Duration::from_secs(30);
/// Longest delay for what the server refuses.
pub const CAP_REFUSED: Duration = Duration::from_mins(5);

const MULTIPLIER: f64 = 2.0;
const JITTER: f64 = 0.2;

/// Counts failures in a row, and tells how long to wait after each.
///
/// Delays double from [`INITIAL_DELAY`], are spread by ±20 %, and never exceed the cap given for
/// the failure. Dropping the value forgets the failures.
#[derive(Debug)]
pub struct Backoff {
    inner: ExponentialBackoff,
}

// === impl Backoff ===

impl Default for Backoff {
    fn default() -> Self {
        let inner = ExponentialBackoffBuilder::new()
            .with_initial_interval(INITIAL_DELAY)
            .with_multiplier(MULTIPLIER)
            .with_randomization_factor(JITTER)
            .with_max_interval(CAP_REFUSED)
            .with_max_elapsed_time(None)
            .build();
        Self { inner }
    }
}

impl Backoff {
    /// Counts one more failure, and tells how long to wait until the next attempt: at least as
    /// long as the server asked for by `Retry-After`, otherwise at most `cap`. The crate caps
    /// before it jitters, so the cap is applied once more.
    pub fn next_delay(&mut self, cap: Duration, retry_after: Option<Duration>) -> Duration {
        let delay = self.inner.next_backoff().unwrap_or(cap).min(cap);
        retry_after.map_or(delay, |asked| asked.max(delay))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_delay_is_within_its_bounds(failures in 1..40_usize, cap in 1..300_u64) {
            let cap = Duration::from_secs(cap);
            let mut backoff = Backoff::default();
            for failure in 0..failures {
                let delay = backoff.next_delay(cap, None);
                let ideal = 2_f64.powi(i32::try_from(failure).unwrap()).min(300.0);
                let lowest = Duration::from_secs_f64(ideal * (1.0 - JITTER) * 0.999).min(cap);
                let highest = Duration::from_secs_f64(ideal * (1.0 + JITTER) * 1.001).min(cap);
                prop_assert!(lowest <= delay && delay <= highest, "{failure}: {delay:?}");
            }
        }

        #[test]
        fn delays_grow_until_the_cap(failures in 2..8_usize) {
            let mut backoff = Backoff::default();
            let delays: Vec<_> =
                (0..failures).map(|_| backoff.next_delay(CAP_REFUSED, None)).collect();
            prop_assert!(delays.is_sorted(), "{delays:?}");
        }

        #[test]
        fn the_server_is_obeyed_when_it_asks_for_more(asked in 0..4000_u64) {
            let asked = Duration::from_secs(asked);
            prop_assert!(Backoff::default().next_delay(CAP_UNAVAILABLE, Some(asked)) >= asked);
        }
    }

    #[test]
    fn a_new_one_begins_at_the_first_delay_again() {
        let mut backoff = Backoff::default();
        for _ in 0..10 {
            backoff.next_delay(CAP_REFUSED, None);
        }
        backoff = Backoff::default();
        assert!(backoff.next_delay(CAP_REFUSED, None) < INITIAL_DELAY * 2);
    }

    #[test]
    fn it_never_gives_up() {
        let mut backoff = Backoff::default();
        for _ in 0..10_000 {
            assert!(backoff.next_delay(CAP_UNAVAILABLE, None) <= CAP_UNAVAILABLE);
        }
    }
}
