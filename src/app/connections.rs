//! The connections of the process: one for the Lease, one for calls, one for watches.
//!
//! They are separate so that a renewal never waits behind a write, and because their timeouts
//! differ.

use std::path::Path;
use std::sync::Arc;

use crate::controller;
use crate::election;
use crate::election::write_gate::WriteGate;
use crate::kubernetes::clients;
use crate::kubernetes::config;
use crate::metrics::Metrics;

/// The connections of the process.
pub struct Connections {
    /// For the Lease.
    pub election: election::Clients,
    /// For everything else.
    pub controller: controller::Clients,
}

/// The cluster's address or credentials could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no configuration, or none that can be used.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// A client could not be built from it.
    #[error("the cluster's address or credentials cannot be used")]
    Build(#[source] kube::Error),
}

/// Builds the clients for the cluster that `kubeconfig` describes, or, without it, the environment.
/// Requests are counted in `metrics`. Writes pass `gate`, those to the Lease excepted.
///
/// # Errors
/// The configuration is missing or broken. No request is sent: an unreachable API server is no
/// error.
pub async fn connect(
    kubeconfig: Option<&Path>,
    metrics: &Arc<Metrics>,
    gate: &WriteGate,
) -> Result<Connections, Error> {
    let config = config::config(kubeconfig, None).await?;
    let builder = |timeout| clients::builder(&config, timeout, metrics).map_err(Error::Build);
    let lease = builder(clients::LEASE_TIMEOUT)?.build();
    let calls = builder(clients::CALL_TIMEOUT)?.with_layer(gate).build();
    let watches = builder(clients::WATCH_TIMEOUT)?.with_layer(gate).build();
    Ok(Connections {
        election: election::Clients { lease, watches: watches.clone() },
        controller: controller::Clients { calls, watches },
    })
}
