//! The command line.

use clap::Parser;

/// Runs the operator under random faults and edits, then checks every guarantee.
#[derive(Clone, Debug, Parser)]
#[command(name = "chaos", bin_name = "cargo run --locked --bin chaos --")]
pub struct Options {
    /// How long faults and edits occur. The checks afterwards take some minutes more.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub minutes: u32,
    /// How many `ConfigMapSyncs`.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..=2000))]
    pub syncs: u32,
    /// The seed of the faults and edits, to repeat a run. Default: a random one, which is printed.
    #[arg(long)]
    pub seed: Option<u64>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn arguments_are_well_formed() {
        Options::command().debug_assert();
    }
}
