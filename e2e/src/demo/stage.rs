//! What the demo is played on: a cluster of our own, or a borrowed one.

mod borrowed;
mod own;

use std::path::PathBuf;

use anyhow::Result;
use kube::Client;

use crate::cluster::Cluster;
use crate::demo::Options;
use crate::demo::screen::Screen;
use crate::demo::stage::own::Files;
use crate::helm::Helm;
use crate::jaeger::Jaeger;
use crate::run_folder::RunFolder;

/// A cluster, and what is installed into it.
pub struct Stage {
    /// May do everything.
    pub client: Client,
    /// Installs the chart.
    pub helm: Helm,
    /// The values of the chart that say which image, and where traces go.
    pub values: Vec<(&'static str, String)>,
    /// Whoever has this file may do everything.
    pub kubeconfig: PathBuf,
    /// Takes the traces; in a borrowed cluster there is none.
    pub jaeger: Option<Jaeger>,
    /// The cluster, if it is our own.
    pub cluster: Option<Cluster>,
    // Removed last.
    _files: Option<Files>,
    _folder: RunFolder,
}

impl Stage {
    /// Gets everything ready, up to where the operator can be installed.
    pub async fn prepare(screen: &Screen, options: &Options) -> Result<Self> {
        match &options.kubeconfig {
            None => own::prepare(screen, !options.once).await,
            Some(file) => borrowed::prepare(screen, file, options.image.as_deref()).await,
        }
    }

    /// Leaves: nothing of our own cluster, and of ours nothing in a borrowed one but the CRD.
    pub async fn leave(self, screen: &Screen) -> Result<()> {
        match &self.cluster {
            None => borrowed::leave(screen, &self.client, &self.helm).await,
            Some(_) => own::leave(screen, self).await,
        }
    }
}
