//! The command line of the demo.

use std::path::PathBuf;

use clap::Parser;

/// Installs ConfigMapSync in a real cluster and shows what it does.
///
/// Creates a cluster on this machine and removes it at the end, unless --kubeconfig is set.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "demo", bin_name = "cargo demo --")]
pub struct Options {
    /// Exit after the last step, instead of keeping the cluster until Ctrl-C.
    #[arg(long)]
    pub once: bool,
    /// Use this existing cluster. Requires neither root nor Debian.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Image of the operator in the existing cluster. Defaults to the image of the chart, which must
    /// be published or loaded onto the nodes.
    #[arg(long, value_name = "REF", requires = "kubeconfig")]
    pub image: Option<String>,
    /// Write the output, with its colors, to this SVG file as well.
    #[arg(long, value_name = "FILE", requires = "once")]
    pub recording: Option<PathBuf>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }
}
