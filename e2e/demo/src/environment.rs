//! The cluster and the tools that the demo uses.

use std::path::PathBuf;

use kube::Client;
use testbed::cluster::Cluster;
use testbed::helm::Helm;
use testbed::jaeger::Jaeger;
use testbed::run_folder::RunFolder;

use crate::user_files::UserFiles;

/// A cluster that is ready for the installation of the operator.
pub struct Environment {
    /// A client with cluster-admin permissions.
    pub client: Client,
    /// Helm, for this cluster.
    pub helm: Helm,
    /// The chart values that select the image and the collector.
    pub values: Vec<(&'static str, String)>,
    /// The kubeconfig of [`Self::client`].
    pub kubeconfig: PathBuf,
    /// The collector of the traces. Absent in an existing cluster.
    pub jaeger: Option<Jaeger>,
    /// Whether Jaeger serves pages.
    pub has_pages: bool,
    /// The demo's own cluster. Absent if an existing one is used.
    pub cluster: Option<Cluster>,
    // Dropped, and thereby removed, after the cluster.
    pub _files: Option<UserFiles>,
    pub _folder: RunFolder,
}
