//! The life of the process: what starts when, and what ends it.
//!
//! Telemetry and health start first; then the election campaigns, a standby being ready and idle.
//! Whoever wins announces itself, settles, opens the gate for its writes and starts the controller,
//! in this order. Losing the Lease ends the process with a failure, so that it comes back as a
//! clean standby. A signal lets the writes under way end, then gives the Lease back, then ends the
//! process in peace.

mod connections;
mod signals;

use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tracing::Instrument as _;

use crate::args::Run;
use crate::controller;
use crate::decide::Action;
use crate::election;
use crate::election::Election;
use crate::election::HolderIdentity;
use crate::election::Lead;
use crate::election::Lost;
use crate::election::fence_probe;
use crate::election::write_gate::WriteGate;
use crate::health;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::telemetry;
use crate::telemetry::Telemetry;

/// How long rounds may go on after a signal. Shorter than a pod's usual grace period.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(20);

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The flags contradict each other.
    #[error("{0}")]
    Usage(String),
    /// Telemetry could not be started.
    #[error(transparent)]
    Telemetry(#[from] telemetry::Error),
    /// The cluster's address or credentials could not be read.
    #[error(transparent)]
    Clients(#[from] connections::Error),
    /// The address of health and metrics cannot be listened on.
    #[error("cannot listen on {address}: free it, or choose another by --http-address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Signals cannot be waited for.
    #[error("cannot wait for signals")]
    Signals(#[source] std::io::Error),
    /// Leadership was lost.
    #[error("leadership is lost: {0}; restarting as a standby")]
    Lost(Lost),
    /// The controller ended although nobody asked it to.
    #[error("the controller ended unexpectedly")]
    Controller,
}

// === impl Error ===

impl Error {
    /// Whether the log has told it already: everything that happened after the log was there.
    #[must_use]
    pub const fn is_logged(&self) -> bool {
        !matches!(self, Self::Usage(_) | Self::Telemetry(_))
    }
}

/// Runs the operator until a signal ends it.
///
/// # Errors
/// It could not be started, or leadership was lost; what happened after the log was there is in
/// the log.
pub async fn run(flags: Run) -> Result<(), Error> {
    flags.leader_election.check().map_err(Error::Usage)?;
    let telemetry = Telemetry::start(flags.log_format, &flags.log_filter)?;
    let result = operate(flags).await;
    match &result {
        Ok(()) => tracing::info!("stopped"),
        Err(error) => tracing::error!("{}", telemetry::describe(error)),
    }
    telemetry.shutdown().await;
    result
}

async fn operate(flags: Run) -> Result<(), Error> {
    let metrics = Arc::new(Metrics::new(&Action::WRITE_VERBS));
    let gate = WriteGate::default();
    let clients = connections::connect(flags.kubeconfig.as_deref(), &metrics, &gate).await?;
    let mut stop = signals::listen().map_err(Error::Signals)?;
    let health = Arc::new(Health::new(&[election::HEALTH_PART]));
    serve(&flags, &health, &metrics).await?;

    let (announced, told) = watch::channel(false);
    let trial = fence_probe::FenceProbe {
        client: clients.controller.calls.clone(),
        namespace: flags.fence_trial_namespace.clone(),
        metrics: Arc::clone(&metrics),
    };
    tokio::spawn(trial.run(told));

    let settings = election_settings(&flags);
    let holder = settings.holder.to_string();
    let (for_election, for_metrics) = (Arc::clone(&health), Arc::clone(&metrics));
    let election = Arc::new(Election::new(clients.election, settings, for_election, for_metrics));
    let lead = tokio::select! {
        biased;
        () = signals::stopped(&mut stop) => return Ok(()),
        lead = election.win() => lead,
    };
    metrics.leadership.set_leading(true);
    metrics.leadership.set_term_start(Timestamp::now().as_duration().as_secs_f64());
    let term = tracing::info_span!(
        parent: None,
        "leadership term",
        holder,
        term = tracing::field::Empty,
        outcome = tracing::field::Empty,
    );
    let controller = controller::run(
        lead.clone(),
        election.leader_record(),
        clients.controller,
        controller_settings(flags),
        health,
        Arc::clone(&metrics),
        stopped_by(stop.clone()),
    );
    let (settling, opening, granted) = (Arc::clone(&election), gate.clone(), lead.clone());
    let controller = Box::pin(async move {
        announced.send_replace(true);
        settling.settle().await;
        opening.open(granted);
        controller.await;
    });
    let result = lead_until_stopped(&election, &lead, &gate, controller, stop);
    let result = result.instrument(term.clone()).await;
    term.record("outcome", result.as_ref().map_or_else(ToString::to_string, |()| "stopped".into()));
    metrics.leadership.set_leading(false);
    result
}

/// Announces, leads, and gives the Lease back when asked to stop.
async fn lead_until_stopped(
    election: &Election,
    lead: &Lead,
    gate: &WriteGate,
    controller: impl Future<Output = ()> + Send + 'static,
    stop: watch::Receiver<bool>,
) -> Result<(), Error> {
    let released = match lead_until_drained(election, lead, gate, controller, stop).await? {
        None => election.step_down(lead).await,
        // Whoever finds the Lease released takes it that nobody writes any more.
        Some(why) => Err(why.to_owned()),
    };
    match released {
        Ok(()) => tracing::info!("the Lease is released"),
        Err(why) => tracing::warn!(why, "the Lease is not released; it expires by itself"),
    }
    Ok(())
}

/// Announces and leads, and holds the Lease all the while, until the writes under way at a stop
/// have ended. Why the Lease must not be released, if so.
async fn lead_until_drained(
    election: &Election,
    lead: &Lead,
    gate: &WriteGate,
    controller: impl Future<Output = ()> + Send + 'static,
    mut stop: watch::Receiver<bool>,
) -> Result<Option<&'static str>, Error> {
    let mut held = pin!(election.hold(lead));
    tokio::select! {
        biased;
        () = signals::stopped(&mut stop) => {
            let why = "we were not announced yet: the leader before us may not know of its end";
            return Ok(Some(why));
        }
        lost = &mut held => return Err(Error::Lost(lost)),
        term = election.publish_leader_record(lead) => {
            tracing::Span::current().record("term", term.map_err(Error::Lost)?);
        }
    }
    let mut until_lost = pin!(async {
        tokio::select! {
            lost = held => lost,
            lost = election.watch_leader_record(lead) => lost,
        }
    });
    let mut controller = tokio::spawn(controller);
    tokio::select! {
        biased;
        lost = &mut until_lost => return Err(Error::Lost(lost)),
        () = signals::stopped(&mut stop) => {}
        _ = &mut controller => return Err(Error::Controller),
    }
    tracing::info!("stopping: writes under way end first");
    tokio::select! {
        biased;
        lost = until_lost => Err(Error::Lost(lost)),
        drained = tokio::time::timeout(DRAIN_TIMEOUT, controller) => {
            let may_write = drained.is_err() || gate.has_unanswered_writes();
            Ok(may_write.then_some("a write that was not answered may still be carried out"))
        }
    }
}

async fn serve(flags: &Run, health: &Arc<Health>, metrics: &Arc<Metrics>) -> Result<(), Error> {
    let address = flags.http_address;
    let listen = |source| Error::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    tracing::info!(%address, "serving health and metrics");
    let serving =
        health::serve(listener, Arc::clone(health), Arc::clone(metrics), std::future::pending());
    tokio::spawn(async move {
        if let Err(error) = serving.await {
            tracing::error!(%error, "health and metrics are no longer served");
        }
    });
    Ok(())
}

async fn stopped_by(mut stop: watch::Receiver<bool>) {
    signals::stopped(&mut stop).await;
}

fn election_settings(flags: &Run) -> election::Settings {
    let times = &flags.leader_election;
    election::Settings {
        namespace: flags.namespace.clone(),
        lease_name: times.lease_name.clone(),
        holder: HolderIdentity::new(&flags.pod_name, &flags.pod_uid, rand::random()),
        pod_uid: flags.pod_uid.clone(),
        lease_duration: times.lease_duration,
        renew_deadline: times.renew_deadline,
        retry_period: times.retry_period,
    }
}

fn controller_settings(flags: Run) -> controller::Settings {
    let mut protected_namespaces: std::collections::BTreeSet<_> =
        flags.protected_namespaces.into_iter().filter(|name| !name.is_empty()).collect();
    protected_namespaces.insert(flags.namespace.clone());
    controller::Settings {
        namespace: flags.namespace,
        pod_name: flags.pod_name,
        pod_uid: flags.pod_uid,
        protected_namespaces,
        resync_period: flags.resync_period,
        sweep_period: flags.sweep_period,
        orphan_grace: flags.orphan_grace,
        max_concurrent_writes: usize::from(flags.max_concurrent_writes),
    }
}
