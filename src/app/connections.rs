//! The clients of the process: for the Lease, for other calls, and for watches.
//!
//! They are separate because their timeouts differ, and so that a renewal of the Lease never waits
//! for another call.

use std::path::Path;
use std::sync::Arc;

use crate::election;
use crate::election::write_gate::WriteGate;
use crate::kubernetes::clients;
use crate::kubernetes::clients::Clients;
use crate::kubernetes::config;
use crate::metrics::Metrics;

/// The clients of the process.
pub struct Connections {
    /// For the election.
    pub election: election::Clients,
    /// For everything else.
    pub controller: Clients,
}

/// No client could be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No usable configuration was found.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The configuration contains an address or credentials that cannot be used.
    #[error("cannot use the API server's address or credentials: correct the kubeconfig")]
    Build(#[source] kube::Error),
}

/// Builds the clients for the cluster in `kubeconfig`, or in the default configuration without
/// one. Requests are counted in `metrics`. All writes pass `gate`, except those of the election.
///
/// # Errors
/// The configuration is missing or invalid. No request is sent, so an unreachable API server is
/// not an error here.
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
        controller: Clients { calls, watches },
    })
}
