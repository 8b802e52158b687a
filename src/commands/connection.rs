//! The connection of a command to its cluster.

use kube::Client;

use crate::args::Cluster;
use crate::commands::error::Error;
use crate::kubernetes::config;

/// A client for the cluster that `flags` name, and the default namespace of the context.
///
/// # Errors
/// The configuration is missing or unusable. No request is sent.
pub async fn connect(flags: &Cluster) -> Result<(Client, String), Error> {
    let config = config::config(flags.kubeconfig.as_deref(), flags.context.as_deref()).await?;
    let namespace = config.default_namespace.clone();
    Ok((Client::try_from(config).map_err(Error::Client)?, namespace))
}
