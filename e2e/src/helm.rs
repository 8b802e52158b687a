//! The chart, installed by Helm as anybody would.

use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use tokio::process::Command;

use crate::command;
use crate::image::repository;

/// The name of the release, and of the namespace it is installed into.
pub const RELEASE: &str = "configmapsync";

/// Helm, for one cluster.
#[derive(Clone, Debug)]
pub struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
    /// Helm's own files: not those of the person who runs this.
    home: PathBuf,
}

impl Helm {
    /// Helm at `program`, for the cluster of `kubeconfig`, with its own files below `home`.
    #[must_use]
    pub fn new(program: &Path, kubeconfig: &Path, home: &Path) -> Self {
        let [program, kubeconfig, home] = [program, kubeconfig, home].map(Path::to_owned);
        Self { program, kubeconfig, home }
    }

    /// Installs the repository's chart, or upgrades it, with these values: `("otlp.endpoint", "")`.
    ///
    /// Does not wait for pods: what goes wrong with them is better seen on the pods.
    ///
    /// # Errors
    /// Helm fails: its words are in the error.
    pub async fn install(&self, values: &[(&str, String)]) -> Result<()> {
        let mut helm = self.command();
        helm.args(["upgrade", "--install", RELEASE]).arg(repository().join("chart"));
        helm.args(["--namespace", RELEASE, "--create-namespace"]);
        for (name, value) in values {
            // Helm reads commas as the beginning of another value.
            helm.args(["--set", &format!("{name}={}", value.replace(',', "\\,"))]);
        }
        command::run(&mut helm).await.context("installing the chart")?;
        Ok(())
    }

    /// Uninstalls the release, and waits until what it installed is gone.
    ///
    /// # Errors
    /// Helm fails: its words are in the error.
    pub async fn uninstall(&self) -> Result<()> {
        let mut helm = self.command();
        helm.args(["uninstall", RELEASE, "--namespace", RELEASE, "--wait"]);
        command::run(&mut helm).await.context("uninstalling the chart")?;
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command
            .env("KUBECONFIG", &self.kubeconfig)
            .env("HELM_CACHE_HOME", self.home.join("cache"))
            .env("HELM_CONFIG_HOME", self.home.join("config"))
            .env("HELM_DATA_HOME", self.home.join("data"));
        command
    }
}
