//! The results of a run, and the bounds that they must meet.

use std::time::Duration;

use serde::Serialize;

use crate::figures::Point;
use crate::measurement::Measurement;
use crate::measurement::median;
use crate::options::Options;
use crate::raw_write_rate::RawWriteRate;

/// All results of a run.
#[derive(Debug, Serialize)]
pub struct Results {
    /// The factor by which all sizes are multiplied; bounds apply to the factor 1.
    pub scale: f64,
    /// Whether bounds are checked.
    pub judged: bool,
    /// How often measurements that are compared with the raw writer are repeated.
    pub rounds: u8,
    /// The machine and the versions.
    pub machine: String,
    /// The duration of the run, in seconds.
    pub seconds: f64,
    /// The rates of the raw writer.
    pub raw_write_rates: Vec<RawWriteRate>,
    /// The measurements.
    pub rows: Vec<Row>,
    /// The bounds, and the measured values.
    pub bounds: Vec<Bound>,
    /// The points of the figures.
    pub points: Vec<Point>,
    /// Explanations for the reader.
    pub notes: Vec<String>,
}

/// One measurement, with its repetitions.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// The values of each repetition.
    pub rounds: Vec<Measurement>,
}

/// A bound, and the measured value.
#[derive(Debug, Serialize)]
pub struct Bound {
    /// What is bounded.
    pub what: String,
    /// The measured value; NaN if it was not measured.
    pub value: f64,
    /// How the value must compare with the limit.
    pub relation: Relation,
    /// The limit.
    pub limit: f64,
    /// Whether the bound is met.
    pub kept: bool,
    /// Whether it applies to any size.
    pub at_any_size: bool,
}

/// How a value must compare with a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// `>=`.
    AtLeast,
    /// `<=`.
    AtMost,
    /// `<`.
    Below,
    /// `=`.
    Exactly,
}

// === impl Results ===

impl Results {
    /// Empty results of a run with `options`.
    pub fn new(options: &Options) -> Self {
        Self {
            scale: options.scale,
            judged: options.is_full_scale(),
            rounds: options.rounds,
            machine: String::new(),
            seconds: 0.0,
            raw_write_rates: Vec::new(),
            rows: Vec::new(),
            bounds: Vec::new(),
            points: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Adds a measurement without repetitions.
    pub fn row(&mut self, what: impl Into<String>, measured: Measurement) {
        self.rows(what, vec![measured]);
    }

    /// Adds a measurement with repetitions.
    pub fn rows(&mut self, what: impl Into<String>, rounds: Vec<Measurement>) {
        self.rows.push(Row { what: what.into(), rounds });
    }

    /// Checks a value against a bound. Without a value the bound is not met.
    pub fn bound(
        &mut self,
        what: impl Into<String>,
        value: Option<f64>,
        relation: Relation,
        limit: f64,
    ) {
        let value = value.unwrap_or(f64::NAN);
        let kept = relation.holds(value, limit);
        let at_any_size = false;
        self.bounds.push(Bound { what: what.into(), value, relation, limit, kept, at_any_size });
    }

    /// Checks a count against a bound that holds for any size, too.
    pub fn bound_at_any_size(
        &mut self,
        what: impl Into<String>,
        count: u32,
        relation: Relation,
        limit: u32,
    ) {
        self.bound(what, Some(count.into()), relation, limit.into());
        if let Some(bound) = self.bounds.last_mut() {
            bound.at_any_size = true;
        }
    }

    /// Adds points to a figure.
    pub fn points(&mut self, points: impl IntoIterator<Item = Point>) {
        self.points.extend(points);
    }

    /// Adds an explanation for the reader.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// Sets the duration of the run.
    pub const fn took(&mut self, time: Duration) {
        self.seconds = time.as_secs_f64();
    }

    /// Whether every bound is met, or bounds are not checked.
    pub fn is_kept(&self) -> bool {
        self.bounds.iter().all(|bound| bound.kept || !self.is_checked(bound))
    }

    /// Whether this run must meet `bound`.
    pub const fn is_checked(&self, bound: &Bound) -> bool {
        self.judged || bound.at_any_size
    }
}

// === impl Row ===

impl Row {
    /// The median of one number over all repetitions.
    pub fn median(&self, number: impl Fn(&Measurement) -> Option<f64>) -> Option<f64> {
        median(self.rounds.iter().filter_map(number))
    }
}

// === impl Relation ===

impl Relation {
    /// The sign between value and limit.
    pub const fn sign(self) -> &'static str {
        match self {
            Self::AtLeast => ">=",
            Self::AtMost => "<=",
            Self::Below => "<",
            Self::Exactly => "=",
        }
    }

    fn holds(self, value: f64, limit: f64) -> bool {
        match self {
            Self::AtLeast => value >= limit,
            Self::AtMost => value <= limit,
            Self::Below => value < limit,
            Self::Exactly => (value - limit).abs() < f64::EPSILON,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    fn results(scale: &str, value: Option<f64>) -> Results {
        let mut results = Results::new(&Options::parse_from(["bench", "--scale", scale]));
        results.bound("of the raw rate", value, Relation::AtLeast, 0.7);
        results
    }

    #[test]
    fn an_exceeded_bound_fails_at_full_scale_only() {
        assert!(results("1", Some(0.7)).is_kept());
        assert!(!results("1", Some(0.69)).is_kept());
        assert!(results("0.5", Some(0.1)).is_kept());
    }

    #[test]
    fn a_bound_for_any_size_fails_at_any_scale() {
        let mut results = results("0.5", None);
        assert!(results.is_kept());
        results.bound_at_any_size("writes", 1, Relation::AtMost, 0);
        assert!(!results.is_kept());
    }

    #[test]
    fn a_missing_value_meets_no_bound() {
        assert!(!results("1", None).is_kept());
        for relation in [Relation::AtMost, Relation::Below, Relation::Exactly] {
            assert!(!relation.holds(f64::NAN, 1.0));
        }
    }
}
