//! What the demo is played on: a cluster of our own, or a borrowed one.

use std::path::PathBuf;

use kube::Client;
use testbed::cluster::Cluster;
use testbed::helm::Helm;
use testbed::jaeger::Jaeger;
use testbed::run_folder::RunFolder;

use crate::user_files::UserFiles;

/// A cluster, and what is installed into it.
pub struct Setup {
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
    /// Removed last.
    pub _files: Option<UserFiles>,
    pub _folder: RunFolder,
}
