//! The command line of the demo.

use std::path::Path;
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
    /// Serve the pages of Jaeger from this folder: a build of jaeger-ui, with its index.html. Without it,
    /// Jaeger has a query API and no pages.
    #[arg(long, value_name = "DIR", conflicts_with = "kubeconfig", value_parser = folder_of_pages)]
    pub jaeger_ui: Option<PathBuf>,
    /// Write the output, with its colors, to this SVG file as well.
    #[arg(long, value_name = "FILE", requires = "once")]
    pub recording: Option<PathBuf>,
}

/// The absolute path of a folder with the built pages of Jaeger.
fn folder_of_pages(folder: &str) -> Result<PathBuf, String> {
    let index = Path::new(folder).join("index.html");
    if !index.is_file() {
        return Err(format!(
            "{} does not exist: build jaeger-ui, and name the folder of its index.html",
            index.display()
        ));
    }
    std::path::absolute(folder).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_folder_without_a_page_is_refused() {
        let error = folder_of_pages("/nowhere").unwrap_err();
        assert!(error.contains("/nowhere/index.html does not exist"), "{error}");
    }
}
