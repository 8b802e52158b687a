//! The flags of the demo.

use std::path::PathBuf;

use clap::Parser;

/// Shows ConfigMapSync at work on a real cluster that is made for it and gone afterwards.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "demo", bin_name = "cargo demo --")]
pub struct Options {
    /// End after the last step, instead of keeping the cluster until Ctrl-C.
    #[arg(long)]
    pub once: bool,
    /// Use the cluster of this kubeconfig, and make none. Needs neither root nor Debian.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// The operator's image in that cluster. Without it, the chart's own, as if it were published
    /// or loaded onto the nodes.
    #[arg(long, value_name = "REF", requires = "kubeconfig")]
    pub image: Option<String>,
}
