//! Connections to the API server: one for the Lease, one for calls, one for watches.
//!
//! They are apart so that a renewal never waits behind a write, and since they may be silent for
//! very different times. kube's own retries are off: `backoff` is the only layer that retries.

mod count;
mod retry_after;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use kube::Config;
use kube::client::ClientBuilder;

use crate::app::clients::count::CountRequests;
use crate::app::clients::retry_after::KeepRetryAfter;
use crate::cluster;
use crate::controller;
use crate::election;
use crate::gate::Gate;
use crate::metrics::Metrics;
use crate::telemetry::propagation;

/// How long a call for the Lease may be silent.
const LEASE_SILENCE: Duration = Duration::from_secs(2);
/// How long any other call may be silent.
const CALL_SILENCE: Duration = Duration::from_secs(15);
/// How long a watch may be silent: a little longer than the 290 seconds after which kube's
/// watches end by themselves.
const WATCH_SILENCE: Duration = Duration::from_mins(5);

/// The connections of the process.
pub struct Clients {
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
    Config(#[from] cluster::Error),
    /// A client could not be built from it.
    #[error("the cluster's address or credentials cannot be used")]
    Build(#[source] kube::Error),
}

/// Makes the connections that `kubeconfig` describes, or, without it, the environment. What is
/// asked over them is counted in `metrics`; what is written over them passes `gate`, but for the
/// Lease.
///
/// # Errors
/// The configuration is missing or broken. Nothing is called yet: an API server that does not
/// answer is no error.
pub async fn connect(
    kubeconfig: Option<&Path>,
    metrics: &Arc<Metrics>,
    gate: &Gate,
) -> Result<Clients, Error> {
    let config = cluster::config(kubeconfig, None).await?;
    let client = |silence, gate| client(&config, silence, metrics, gate);
    let watches = client(WATCH_SILENCE, Some(gate))?;
    Ok(Clients {
        election: election::Clients {
            lease: client(LEASE_SILENCE, None)?,
            watches: watches.clone(),
        },
        controller: controller::Clients { calls: client(CALL_SILENCE, Some(gate))?, watches },
    })
}

fn client(
    config: &Config,
    silence: Duration,
    metrics: &Arc<Metrics>,
    gate: Option<&Gate>,
) -> Result<Client, Error> {
    let mut config = config.clone();
    config.default_retry = false;
    config.connect_timeout = Some(silence.min(CALL_SILENCE));
    config.read_timeout = Some(silence);
    config.write_timeout = Some(silence.min(CALL_SILENCE));
    let builder = ClientBuilder::try_from(config.clone()).map_err(Error::Build)?;
    let host = config.cluster_url.authority().map(ToString::to_string).unwrap_or_default();
    let count = CountRequests::new(host, Arc::clone(metrics));
    let builder = builder.with_layer(&KeepRetryAfter).with_layer(&count);
    let builder = builder.with_layer(&propagation::layer());
    Ok(match gate {
        Some(gate) => builder.with_layer(gate).build(),
        None => builder.build(),
    })
}
