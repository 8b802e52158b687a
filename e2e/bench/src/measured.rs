//! What was seen of a stretch of time.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::calls::Calls;

/// What a stretch of time has cost the operator, or the raw writer.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Measured {
    /// From what began it, acknowledged, to the answer that ended it, in seconds.
    pub wall: f64,
    /// How many objects it was about.
    pub count: u32,
    /// How many of them in a second.
    pub per_second: f64,
    /// That, as a part of what the raw writer does in the same round.
    pub of_limit: Option<f64>,
    /// What was asked of the API server; leases are left out.
    pub calls: Calls,
    /// Seconds of processor time.
    pub cpu: f64,
    /// Memory afterwards, in MiB.
    pub rss: f64,
    /// The most memory since the process was started, in MiB.
    pub peak: f64,
    /// What else there is to tell of it.
    pub more: BTreeMap<String, f64>,
}

// === impl Measured ===

impl Measured {
    /// So many objects took so long.
    #[must_use]
    pub fn took(mut self, count: u32, wall: Duration) -> Self {
        self.count = count;
        self.wall = wall.as_secs_f64();
        self.per_second = per_second(count, wall);
        self
    }

    /// Compares it with what the raw writer does in a second.
    #[must_use]
    pub fn against(mut self, per_second: f64) -> Self {
        self.of_limit = (per_second > 0.0).then(|| self.per_second / per_second);
        self
    }
}

/// How many there are in a second, of `count` that took `wall`.
pub fn per_second(count: u32, wall: Duration) -> f64 {
    if wall.is_zero() { 0.0 } else { f64::from(count) / wall.as_secs_f64() }
}

/// The middle one; of an even number, the lower of both in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    quantile(values, 0.5)
}

/// The value that the part `at` of all values does not exceed.
pub fn quantile(values: impl IntoIterator<Item = f64>, at: f64) -> Option<f64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let count = f64::from(u32::try_from(values.len()).ok()?);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let rank = (at * count).ceil() as usize;
    values.get(rank.max(1) - 1).copied()
}

/// From one moment to a later one; nothing if it is not later.
pub fn between(from: Option<Timestamp>, to: Option<Timestamp>) -> Duration {
    let both = from.zip(to).and_then(|(from, to)| to.duration_since(from).try_into().ok());
    both.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quantiles_are_values_that_were_seen() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.0));
        assert_eq!(quantile((1..=100).map(f64::from), 0.99), Some(99.0));
        assert_eq!(quantile([5.0], 0.99), Some(5.0));
        assert_eq!(median([]), None);
    }

    #[test]
    fn a_ratio_is_what_was_done_by_what_can_be_done() {
        let measured = Measured::default().took(100, Duration::from_secs(2)).against(100.0);
        assert_eq!((measured.per_second, measured.of_limit), (50.0, Some(0.5)));
    }
}
