//! Delays between the attempts of a watch.

use std::time::Duration;

use kube::runtime::utils::Backoff;
use kube::runtime::utils::ResetTimerBackoff;

/// Delay after the first error, before jitter (as in client-go's reflector).
const INITIAL_DELAY: Duration = Duration::from_millis(800);
/// Longest delay, before jitter.
const MAX_DELAY: Duration = Duration::from_secs(30);
/// How long the API server may take to answer an attempt.
const MAX_ATTEMPT: Duration = Duration::from_secs(20);
/// An error that comes so long after the last one starts at the first delay again.
const RESET_AFTER: Duration = Duration::from_mins(2);

/// Doubles the delay with each error in a row, and adds up to as much again at random.
#[derive(Debug)]
struct WatchBackoff {
    delay: Duration,
}

/// The delays between the attempts of one watch.
#[must_use]
pub fn watch_backoff() -> impl Backoff {
    ResetTimerBackoff::new(WatchBackoff::default(), RESET_AFTER)
}

/// The time within which a watch with `errors` in a row reports the next one if its next attempt
/// fails, too.
#[must_use]
pub fn time_to_next_error(errors: u32) -> Duration {
    let delay = INITIAL_DELAY.saturating_mul(2_u32.saturating_pow(errors)).min(MAX_DELAY);
    delay * 2 + MAX_ATTEMPT
}

// === impl WatchBackoff ===

impl Default for WatchBackoff {
    fn default() -> Self {
        Self { delay: INITIAL_DELAY }
    }
}

impl Iterator for WatchBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let delay = self.delay;
        self.delay = (delay * 2).min(MAX_DELAY);
        Some(delay + delay.mul_f64(rand::random::<f64>()))
    }
}

impl Backoff for WatchBackoff {
    fn reset(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest() {
        let mut backoff = WatchBackoff::default();
        for ideal in [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30.0, 30.0] {
            let delay = backoff.next().unwrap().as_secs_f64();
            assert!((ideal..=ideal * 2.001).contains(&delay), "{delay} after {ideal}");
        }
        backoff.reset();
        assert!(backoff.next().unwrap() <= INITIAL_DELAY * 2);
    }

    #[test]
    fn the_next_error_is_expected_after_every_possible_delay() {
        let mut backoff = WatchBackoff::default();
        for errors in 1..20 {
            let delay = backoff.next().unwrap();
            assert!(delay + MAX_ATTEMPT <= time_to_next_error(errors));
        }
    }
}
