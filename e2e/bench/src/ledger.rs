//! What was measured, and what of it was promised.

use std::time::Duration;

use serde::Serialize;

use crate::measured::Measured;
use crate::measured::median;
use crate::options::Options;
use crate::write_limit::Limit;

/// All that the bench tells in the end.
#[derive(Debug, Serialize)]
pub struct Ledger {
    /// The size of everything, as a part of what promises speak of.
    pub scale: f64,
    /// Whether promises are judged.
    pub judged: bool,
    /// How often compared measurements were repeated.
    pub rounds: u8,
    /// Seconds that all of it took.
    pub seconds: f64,
    /// How fast the raw writer was.
    pub limits: Vec<Limit>,
    /// What was measured.
    pub rows: Vec<Row>,
    /// What was promised.
    pub bounds: Vec<Bound>,
    /// What else there is to say.
    pub notes: Vec<String>,
}

/// Something that was measured, once or in rounds.
#[derive(Debug, Serialize)]
pub struct Row {
    /// What.
    pub what: String,
    /// Each time.
    pub rounds: Vec<Measured>,
}

/// Something that was promised, and what it turned out to be.
#[derive(Debug, Serialize)]
pub struct Bound {
    /// What.
    pub what: String,
    /// What it is.
    pub value: f64,
    /// Which side of the limit is the good one.
    pub relation: Relation,
    /// The limit.
    pub limit: f64,
    /// Whether the promise is kept.
    pub kept: bool,
}

/// Which side of a limit is the good one. The limit itself is good, except for `Below`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Relation {
    /// Not less.
    AtLeast,
    /// Not more.
    AtMost,
    /// Less.
    Below,
    /// Neither less nor more.
    Exactly,
}

// === impl Ledger ===

impl Ledger {
    /// An empty one.
    pub fn new(options: &Options) -> Self {
        Self {
            scale: options.scale,
            judged: options.is_full_scale(),
            rounds: options.rounds,
            seconds: 0.0,
            limits: Vec::new(),
            rows: Vec::new(),
            bounds: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Something was measured once.
    pub fn row(&mut self, what: impl Into<String>, measured: Measured) {
        self.rows(what, vec![measured]);
    }

    /// Something was measured in rounds.
    pub fn rows(&mut self, what: impl Into<String>, rounds: Vec<Measured>) {
        self.rows.push(Row { what: what.into(), rounds });
    }

    /// Something was promised. No value, no promise kept.
    pub fn bound(
        &mut self,
        what: impl Into<String>,
        value: Option<f64>,
        relation: Relation,
        limit: f64,
    ) {
        let value = value.unwrap_or(f64::NAN);
        let kept = relation.holds(value, limit);
        self.bounds.push(Bound { what: what.into(), value, relation, limit, kept });
    }

    /// Something else that a reader should know.
    pub fn note(&mut self, text: impl Into<String>) {
        self.notes.push(text.into());
    }

    /// All of it took so long.
    pub const fn took(&mut self, time: Duration) {
        self.seconds = time.as_secs_f64();
    }

    /// Whether every promise that was judged is kept.
    pub fn is_kept(&self) -> bool {
        !self.judged || self.bounds.iter().all(|bound| bound.kept)
    }
}

// === impl Row ===

impl Row {
    /// The median of one number over all rounds.
    pub fn median(&self, number: impl Fn(&Measured) -> Option<f64>) -> Option<f64> {
        median(self.rounds.iter().filter_map(number))
    }
}

// === impl Relation ===

impl Relation {
    /// The sign that stands between value and limit.
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

    fn ledger(scale: &str, value: Option<f64>) -> Ledger {
        let mut ledger = Ledger::new(&Options::parse_from(["bench", "--scale", scale]));
        ledger.bound("of the limit", value, Relation::AtLeast, 0.7);
        ledger
    }

    #[test]
    fn a_broken_promise_counts_at_full_scale_alone() {
        assert!(ledger("1", Some(0.7)).is_kept());
        assert!(!ledger("1", Some(0.69)).is_kept());
        assert!(ledger("0.5", Some(0.1)).is_kept());
    }

    #[test]
    fn what_was_not_measured_is_not_kept() {
        assert!(!ledger("1", None).is_kept());
        for relation in [Relation::AtMost, Relation::Below, Relation::Exactly] {
            assert!(!relation.holds(f64::NAN, 1.0));
        }
    }
}
