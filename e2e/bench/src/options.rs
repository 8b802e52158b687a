//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use k8s_openapi::jiff::SignedDuration;
use testbed::control_plane::Recorded;

use crate::collector::Traces;
use crate::part::Part;
use crate::scale_sizes::ScaleSizes;

/// Measures the operator against a real API server, started for the run and removed afterwards.
#[derive(Clone, Debug, Parser)]
#[command(name = "bench", bin_name = "cargo bench-e2e --")]
pub struct Options {
    /// Measure only these parts.
    #[arg(long, value_enum, value_delimiter = ',', value_name = "NAME")]
    pub only: Vec<Part>,
    /// Multiply all sizes by this factor, for a quick run. Bounds are checked at 1 only.
    #[arg(long, default_value_t = 1.0, value_parser = scale)]
    pub scale: f64,
    /// How many times the comparisons with the raw writer are repeated. The median is reported.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(1..))]
    pub rounds: u8,
    /// The length of the idle period.
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub idle: Duration,
    /// How long a source is edited ten times a second.
    #[arg(long, default_value = "5m", value_parser = duration)]
    pub churn: Duration,
    /// Write the results as JSON to this file. Default: a new file below target/bench.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Draw the measured values that there is a figure for, as SVG files in this folder.
    #[arg(long, value_name = "DIR")]
    pub plots: Option<PathBuf>,
    /// Sizes of the part scale.
    #[command(flatten)]
    pub sizes: ScaleSizes,
    /// Trace each reconcile, and start this collector to receive the traces.
    #[arg(long, value_enum, value_name = "COLLECTOR")]
    pub traces: Option<Traces>,
    /// The operator's binary. Default: build this checkout.
    #[arg(long, value_name = "FILE")]
    pub operator: Option<PathBuf>,
}

// === impl Options ===

impl Options {
    /// `size` times the scale, at least 4.
    #[must_use]
    pub fn scaled(&self, size: u32) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size")]
        let scaled = (f64::from(size) * self.scale).round() as u32;
        scaled.max(4)
    }

    /// Whether the sizes are those that the bounds apply to.
    #[must_use]
    pub fn is_full_scale(&self) -> bool {
        self.scale >= 1.0 && self.sizes.are_default()
    }

    /// The selected parts that need an audit log of this level.
    #[must_use]
    pub(crate) fn parts_on(&self, recorded: Recorded) -> Vec<Part> {
        let is_selected = |part: &Part| match self.only.as_slice() {
            [] => part.is_default(),
            only => only.contains(part),
        };
        let parts = Part::ALL.into_iter().filter(is_selected);
        parts.filter(|part| part.recorded() == recorded).collect()
    }
}

fn scale(text: &str) -> Result<f64, String> {
    let scale: f64 = text.parse().map_err(|_| format!("{text:?} is not a number"))?;
    if scale.is_finite() && 0.0 < scale && scale <= 1.0 {
        Ok(scale)
    } else {
        Err("the scale must be greater than 0 and at most 1".to_owned())
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let error = || format!("{text:?} is not a duration, such as 30s or 5m");
    let signed: SignedDuration = text.parse().map_err(|_| error())?;
    Duration::try_from(signed).map_err(|_| error())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn arguments_are_well_formed() {
        Options::command().debug_assert();
    }

    #[test]
    fn parts_are_selected_and_sizes_scaled() {
        let words = ["bench", "--only", "limit,memory", "--scale", "0.1"];
        let options = Options::try_parse_from(words).unwrap();
        assert_eq!(options.parts_on(Recorded::Counted), [Part::Memory]);
        let all = Options::try_parse_from(["bench"]).unwrap();
        assert!(!all.parts_on(Recorded::Counted).contains(&Part::Scale), "it takes too long");
        assert_eq!(options.scaled(1_000), 100);
        assert_eq!(options.scaled(1), 4);
        assert!(!options.is_full_scale());
    }
}
