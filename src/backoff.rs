//! Exponential backoff with jitter.
//!
//! The crate `backoff` is unmaintained, though without known vulnerabilities. Only this module uses
//! it, so that it can be replaced in one place.

use std::time::Duration;

use backoff::ExponentialBackoff;
use backoff::ExponentialBackoffBuilder;
use backoff::backoff::Backoff as _;

/// Delay after the first failure, before jitter.
pub const INITIAL_DELAY: Duration = Duration::from_secs(1);
/// Maximum delay while the API server is unavailable: connection errors, timeouts, 429 and 5xx.
pub const CAP_UNAVAILABLE: Duration = Duration::from_secs(30);
/// Maximum delay for requests that the API server rejects.
pub const CAP_REFUSED: Duration = Duration::from_mins(5);

const MULTIPLIER: f64 = 2.0;
const JITTER: f64 = 0.2;

/// The delays between the attempts of one operation.
///
/// Delays start at [`INITIAL_DELAY`], double with every failure, are randomized by ±20 %, and never
/// exceed the cap of the failure. A success is recorded by dropping the value.
#[derive(Clone, Debug)]
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
    /// Records a failure and returns the delay until the next attempt: at most `cap`, but at least
    /// `retry_after`, the delay that the API server requested, up to [`CAP_REFUSED`].
    pub fn next_delay(&mut self, cap: Duration, retry_after: Option<Duration>) -> Duration {
        // The crate applies its cap before the jitter, so the cap is applied again.
        let delay = self.inner.next_backoff().unwrap_or(cap).min(cap);
        retry_after.map_or(delay, |requested| requested.min(CAP_REFUSED).max(delay))
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
        fn a_longer_retry_after_is_obeyed_up_to_the_longest_cap(requested in 0..4000_u64) {
            let requested = Duration::from_secs(requested);
            let delay = Backoff::default().next_delay(CAP_UNAVAILABLE, Some(requested));
            prop_assert!(delay >= requested.min(CAP_REFUSED), "{delay:?}");
            prop_assert!(delay <= CAP_REFUSED, "{delay:?}");
        }
    }

    #[test]
    fn a_new_backoff_starts_at_the_initial_delay() {
        let mut backoff = Backoff::default();
        for _ in 0..10 {
            backoff.next_delay(CAP_REFUSED, None);
        }
        backoff = Backoff::default();
        assert!(backoff.next_delay(CAP_REFUSED, None) < INITIAL_DELAY * 2);
    }

    #[test]
    fn the_number_of_attempts_is_unlimited() {
        let mut backoff = Backoff::default();
        for _ in 0..10_000 {
            assert!(backoff.next_delay(CAP_UNAVAILABLE, None) <= CAP_UNAVAILABLE);
        }
    }
}
