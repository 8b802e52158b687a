//! The measured values of a period, and statistics over them.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::request_counts::RequestCounts;

/// The measured values of a period.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Measurement {
    /// Seconds from the response to the first request to the response to the last write.
    pub wall: f64,
    /// The number of objects.
    pub count: u32,
    /// Objects per second.
    pub per_second: f64,
    /// `per_second` as a ratio to the rate of the raw writer in the same repetition.
    pub raw_ratio: Option<f64>,
    /// The operator's requests, without those of leader election.
    pub calls: RequestCounts,
    /// CPU time, in seconds.
    pub cpu: f64,
    /// Resident memory at the end, in MiB.
    pub rss: f64,
    /// The peak of the resident memory since the start of the process, in MiB.
    pub peak: f64,
    /// Values of this part of the bench only, by name.
    pub more: BTreeMap<String, f64>,
}

// === impl Measurement ===

impl Measurement {
    /// Sets the number of objects and the duration.
    #[must_use]
    pub fn took(mut self, count: u32, wall: Duration) -> Self {
        self.count = count;
        self.wall = wall.as_secs_f64();
        self.per_second = per_second(count, wall);
        self
    }

    /// Sets the ratio to the rate of the raw writer.
    #[must_use]
    pub fn against(mut self, per_second: f64) -> Self {
        self.raw_ratio = (per_second > 0.0).then(|| self.per_second / per_second);
        self
    }
}

/// The rate of `count` objects in `wall`; zero for no duration.
pub fn per_second(count: u32, wall: Duration) -> f64 {
    if wall.is_zero() { 0.0 } else { f64::from(count) / wall.as_secs_f64() }
}

/// The median; of an even number of values, the lower middle one.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    quantile(values, 0.5)
}

/// The quantile `at`: the lowest value that a fraction `at` of the values does not exceed.
pub fn quantile(values: impl IntoIterator<Item = f64>, at: f64) -> Option<f64> {
    let mut values: Vec<_> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let count = f64::from(u32::try_from(values.len()).ok()?);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "an index")]
    let rank = (at * count).ceil() as usize;
    values.get(rank.max(1) - 1).copied()
}

/// The duration between two times; zero if one is missing, or if `to` is not later.
pub fn between(from: Option<Timestamp>, to: Option<Timestamp>) -> Duration {
    let both = from.zip(to).and_then(|(from, to)| to.duration_since(from).try_into().ok());
    both.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_quantiles_are_measured_values() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.0));
        assert_eq!(quantile((1..=100).map(f64::from), 0.99), Some(99.0));
        assert_eq!(quantile([5.0], 0.99), Some(5.0));
        assert_eq!(median([]), None);
    }

    #[test]
    fn the_ratio_compares_the_rates() {
        let measured = Measurement::default().took(100, Duration::from_secs(2)).against(100.0);
        assert_eq!((measured.per_second, measured.raw_ratio), (50.0, Some(0.5)));
    }
}
