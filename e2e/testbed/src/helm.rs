//! The chart, installed by Helm as anybody would.

use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use tokio::process::Command;

use crate::command;
use crate::image;
use crate::repository;
use crate::tools::Set;
use crate::tools::Tools;

/// The name of the release, and of the namespace it is installed into.
pub const RELEASE: &str = "configmapsync";

/// The values of the chart that make it use the image `reference`.
#[must_use]
pub fn image_values(reference: &str) -> Vec<(&'static str, String)> {
    let (name, digest) = reference.split_once('@').unwrap_or((reference, ""));
    let (repository, tag) = image::split(name);
    let mut values = vec![("image.repository", repository.to_owned())];
    values.extend(tag.map(|tag| ("image.tag", tag.to_owned())));
    if !digest.is_empty() {
        values.push(("image.digest", digest.to_owned()));
    }
    values
}

/// A major version of Helm.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// Helm 3, which merges on the client.
    V3,
    /// Helm 4, which applies on the server.
    V4,
}

/// Helm, for one cluster.
#[derive(Clone, Debug)]
pub struct Helm {
    program: PathBuf,
    kubeconfig: PathBuf,
    /// Helm's own files: not those of the person who runs this.
    home: PathBuf,
}

impl Version {
    /// Every tested version.
    pub const ALL: [Self; 2] = [Self::V3, Self::V4];

    /// The tools with its program.
    #[must_use]
    pub const fn set(self) -> Set {
        match self {
            Self::V3 => Set::Helm,
            Self::V4 => Set::Helm4,
        }
    }

    /// The name of its program.
    #[must_use]
    pub const fn program(self) -> &'static str {
        match self {
            Self::V3 => "helm",
            Self::V4 => "helm4",
        }
    }
}

impl Helm {
    /// Helm of this version among `tools`, for the cluster of `kubeconfig`, with its own files below
    /// `home`.
    pub fn new(tools: &Tools, version: Version, kubeconfig: &Path, home: &Path) -> Result<Self> {
        let program = tools.path(version.program())?.to_owned();
        let [kubeconfig, home] = [kubeconfig, home].map(Path::to_owned);
        Ok(Self { program, kubeconfig, home })
    }

    /// Installs the repository's chart, or upgrades it, with these values: `("otlp.endpoint", "")`.
    ///
    /// Does not wait for pods: what goes wrong with them is better seen on the pods.
    pub async fn install(&self, values: &[(&str, String)]) -> Result<()> {
        self.install_as(RELEASE, values).await
    }

    /// As [`Helm::install`], under this name and in the namespace of this name.
    pub async fn install_as(&self, release: &str, values: &[(&str, String)]) -> Result<()> {
        let mut helm = self.command();
        helm.args(["upgrade", "--install", release]).arg(repository::root().join("chart"));
        helm.args(["--namespace", release, "--create-namespace"]);
        for (name, value) in values {
            // Helm reads commas as the beginning of another value.
            helm.args(["--set", &format!("{name}={}", value.replace(',', "\\,"))]);
        }
        command::run(&mut helm).await.context("installing the chart")?;
        Ok(())
    }

    /// Uninstalls the release, and waits until what it installed is gone.
    pub async fn uninstall(&self) -> Result<()> {
        let mut helm = self.command();
        helm.args(["uninstall", RELEASE, "--namespace", RELEASE, "--wait"]);
        command::run(&mut helm).await.context("uninstalling the chart")?;
        Ok(())
    }

    /// Makes the release what it was at its first revision, as after an uninstallation that failed.
    pub async fn go_back(&self) -> Result<()> {
        let mut helm = self.command();
        helm.args(["rollback", RELEASE, "1", "--namespace", RELEASE]);
        command::run(&mut helm).await.context("rolling the chart back")?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_becomes_values_of_the_chart() {
        let values = |reference| {
            let values = image_values(reference).into_iter();
            values.map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(values("a/b:c"), "image.repository=a/b image.tag=c");
        assert_eq!(values("host:5000/b"), "image.repository=host:5000/b");
        assert_eq!(values("b@sha256:0"), "image.repository=b image.digest=sha256:0");
    }
}
