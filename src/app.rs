//! Start and end of the process.
//!
//! Start: telemetry, then health and metrics, then the election; a standby is ready and idle. The
//! winner publishes the leader record, settles, opens the write gate and starts the controller, in
//! this order.
//!
//! End: when leadership is lost, the process exits with an error, and starts again as a standby.
//! On SIGTERM or SIGINT it waits for the writes in flight, releases the Lease and exits with 0.

mod connections;
mod error;
mod settings;
mod signals;
mod term;
mod term_trace;

use std::sync::Arc;

use tokio::sync::watch;

pub use error::Error;

use crate::app::term::Term;
use crate::args::Run;
use crate::controller;
use crate::decide::Action;
use crate::election;
use crate::election::Election;
use crate::election::fence_probe::FenceProbe;
use crate::election::termination_message;
use crate::election::write_gate::WriteGate;
use crate::health;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::telemetry;
use crate::telemetry::Pod;
use crate::telemetry::Telemetry;

/// Runs the operator until a signal stops it.
///
/// # Errors
/// The operator could not be started, or leadership was lost. See [`Error::is_logged`].
pub async fn run(flags: Run) -> Result<(), Error> {
    flags.leader_election.check().map_err(Error::Usage)?;
    let pod = Pod { namespace: &flags.namespace, name: &flags.pod_name, uid: &flags.pod_uid };
    let telemetry = Telemetry::start(flags.log_format, &flags.log_filter, pod)?;
    let result = operate(flags).await;
    match &result {
        Ok(()) => tracing::info!("stopped"),
        Err(error) => tracing::error!("{}", telemetry::describe(error)),
    }
    telemetry.shutdown().await;
    result
}

async fn operate(flags: Run) -> Result<(), Error> {
    let metrics = Arc::new(Metrics::new(&Action::write_verbs()));
    let gate = WriteGate::default();
    let clients = connections::connect(flags.kubeconfig.as_deref(), &metrics, &gate).await?;
    let mut stop = signals::listen().map_err(Error::Signals)?;
    let health = Arc::new(Health::new(&[election::HEALTH_PART]));
    serve(&flags, &health, &metrics).await?;

    let (published, is_leading) = watch::channel(false);
    let probe = FenceProbe {
        client: clients.controller.calls.clone(),
        namespace: settings::fence_trial_namespace(&flags),
        metrics: Arc::clone(&metrics),
    };
    tokio::spawn(probe.run(is_leading));

    let settings = settings::election(&flags);
    termination_message::write(&settings.holder);
    let holder = settings.holder.to_string();
    let (for_election, for_metrics) = (Arc::clone(&health), Arc::clone(&metrics));
    let election = Arc::new(Election::new(clients.election, settings, for_election, for_metrics));
    let lead = tokio::select! {
        biased;
        () = signals::stopped(&mut stop) => return Ok(()),
        lead = election.win() => lead,
    };

    let mut stop_controller = stop.clone();
    let controller = controller::run(
        lead.clone(),
        election.leader_record(),
        clients.controller,
        settings::controller(flags),
        health,
        Arc::clone(&metrics),
        async move { signals::stopped(&mut stop_controller).await },
    );
    let term = Term { election, lead, gate, published, stop };
    term.run(&holder, &metrics, Box::pin(controller)).await
}

async fn serve(flags: &Run, health: &Arc<Health>, metrics: &Arc<Metrics>) -> Result<(), Error> {
    let address = flags.http_address;
    let listen = |source| Error::Listen { address, source };
    let listener = health::listen(address).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    tracing::info!(%address, "serving health and metrics");
    let serving =
        health::serve(listener, Arc::clone(health), Arc::clone(metrics), std::future::pending());
    tokio::spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "cannot serve health and metrics on {address} any longer");
        }
    });
    Ok(())
}
