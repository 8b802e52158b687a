//! What can be asked for.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use k8s_openapi::jiff::SignedDuration;
use testbed::control_plane::Recorded;

use crate::part::Part;

/// Measures the operator against a real API server that is started for it and gone afterwards.
#[derive(Clone, Debug, Parser)]
#[command(name = "bench", bin_name = "cargo bench-e2e --")]
pub struct Options {
    /// Only these parts.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    pub only: Vec<Part>,
    /// All sizes times this, to try things out: promises are judged at 1 alone.
    #[arg(long, default_value_t = 1.0, value_parser = scale)]
    pub scale: f64,
    /// How often what is compared with the raw writer is measured: the median counts.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    pub rounds: u8,
    /// How long nothing happens, to see what that costs.
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub idle: Duration,
    /// How long the source is edited ten times a second.
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub churn: Duration,
    /// Where the numbers go, as JSON. Default: a new file below target/bench.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Another operator than this checkout's.
    #[arg(long, value_name = "FILE")]
    pub operator: Option<PathBuf>,
}

// === impl Options ===

impl Options {
    /// `size` at the scale that was asked for; a few at least.
    #[must_use]
    pub fn scaled(&self, size: u32) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size")]
        let scaled = (f64::from(size) * self.scale).round() as u32;
        scaled.max(4)
    }

    /// Whether sizes are those that promises speak of.
    #[must_use]
    pub fn is_full_scale(&self) -> bool {
        self.scale >= 1.0
    }

    /// The parts that were asked for, of those that need requests to be recorded like this.
    #[must_use]
    pub(crate) fn parts_on(&self, recorded: Recorded) -> Vec<Part> {
        let is_asked_for = |part: &Part| self.only.is_empty() || self.only.contains(part);
        let parts = Part::ALL.into_iter().filter(is_asked_for);
        parts.filter(|part| part.recorded() == recorded).collect()
    }
}

fn scale(text: &str) -> Result<f64, String> {
    let scale: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if scale.is_finite() && 0.0 < scale && scale <= 1.0 {
        Ok(scale)
    } else {
        Err("a scale is more than 0 and at most 1".to_owned())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let complaint = || format!("{text:?} is not a duration: write for example 30s or 5m");
    let signed: SignedDuration = text.parse().map_err(|_| complaint())?;
    Duration::try_from(signed).map_err(|_| complaint())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_arguments_are_well_formed() {
        Options::command().debug_assert();
    }

    #[test]
    fn parts_are_named_and_sizes_are_scaled() {
        let words = ["bench", "--only", "limit,memory", "--scale", "0.1"];
        let options = Options::try_parse_from(words).unwrap();
        assert_eq!(options.parts_on(Recorded::Counted), [Part::Memory]);
        assert_eq!(options.scaled(1_000), 100);
        assert_eq!(options.scaled(1), 4);
        assert!(!options.is_full_scale());
    }
}
