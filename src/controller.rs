//! From events to reconciles: watches fill the cache and request reconciles of the syncs that
//! changed.
//!
//! Runs only in the leader, and is built anew for each term: nothing that an earlier leader
//! observed is trusted.

mod act;
mod collect;
mod observe;
mod queue;
mod reconcile;
mod record;
mod report;
mod startup;
mod trigger;
mod watch;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::mpsc::UnboundedReceiver;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use tokio::task::JoinSet;

pub use observe::View;
pub use observe::observe;

use crate::api::namespace_patterns::NamespacePatterns;
use crate::api::scope::Scope;
use crate::cache::Cache;
use crate::cache::Reader;
use crate::cache::reader;
use crate::controller::act::Writer;
use crate::controller::collect::BrakeReport;
use crate::controller::collect::Collector;
use crate::controller::queue::Queue;
use crate::controller::queue::Request;
use crate::controller::queue::Trigger;
use crate::controller::reconcile::Reconciler;
use crate::controller::reconcile::reconcile;
use crate::controller::report::Reporter;
use crate::controller::startup::Startup;
use crate::controller::startup::Stream;
use crate::controller::watch::Watcher;
use crate::decide::consent::Tenancy;
use crate::election::Lead;
use crate::election::LeaderRecord;
use crate::health::Health;
use crate::kubernetes::bodies;
use crate::kubernetes::cancellation::Cancellation;
use crate::kubernetes::clients::Clients;
use crate::kubernetes::events;
use crate::kubernetes::events::Events;
use crate::kubernetes::memory::MemoryBudget;
use crate::kubernetes::permits::Permits;
use crate::kubernetes::sync_patch;
use crate::metrics::Metrics;
use crate::orphans;
use crate::orphans::DeletedSyncs;
use crate::reviews::Reviewer;
use crate::state::State;

/// How the controller works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's own namespace, for Events.
    pub namespace: String,
    /// Name of the pod, for Events.
    pub pod_name: String,
    /// uid of the pod, for Events.
    pub pod_uid: String,
    /// The namespaces that it works in.
    pub scope: Scope,
    /// Namespaces that are never destinations.
    pub protected_namespaces: NamespacePatterns,
    /// Which ServiceAccounts the permissions of syncs are those of.
    pub tenancy: Tenancy,
    /// How often a sync is verified against live data.
    pub resync_period: Duration,
    /// How often orphans are collected.
    pub sweep_period: Duration,
    /// How long an orphan is kept whose sync was never seen alive.
    pub orphan_grace: Duration,
    /// How many writes are in flight at a time.
    pub max_concurrent_writes: usize,
}

/// Runs until `stop` resolves. Then it takes no more events, cancels reads, lets the running
/// reconciles finish the writes that they have begun, and returns.
///
/// From this call on, the process is not ready until all lists are complete.
pub fn run(
    lead: Lead,
    leader_record: Arc<LeaderRecord>,
    clients: Clients,
    settings: Settings,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = ()> + Send {
    let streams = Stream::all(&settings.scope);
    for stream in &streams {
        health.set(&stream.health_part(), Err("not listed yet".to_owned()));
    }
    async move {
        for stream in &streams {
            health.beat(&stream.health_part());
            metrics.watches.heard(stream.resource(), stream.namespace.as_deref());
        }
        let leadership = (lead, leader_record);
        let (reconciler, requests, collector, watcher) =
            parts(leadership, clients.calls.clone(), settings, Arc::clone(&health), metrics);
        let Reconciler { cache, queue, state, writer, reporter, .. } = &reconciler;

        let watcher = Arc::new(watcher);
        let mut tasks = JoinSet::new();
        for stream in streams {
            tasks.spawn(watch::run(Arc::clone(&watcher), clients.clone(), stream));
        }

        let (stopping, requested) = (Arc::clone(writer), Arc::clone(queue));
        let deleted_syncs = Arc::clone(&collector.deleted_syncs);
        tokio::spawn(async move {
            stop.await;
            stopping.permits.close();
            stopping.reads.cancel();
            requested.close();
            deleted_syncs.request_collection();
        });

        let work = async {
            let destinations = |sync: &_| cache.destination_count(sync);
            let reconcile = |sync| reconcile(&reconciler, sync);
            let work = queue::run(requests, &health, destinations, reconcile);
            tokio::join!(work, collect::run(collector));
        };
        let verify = |due: Vec<String>| {
            let syncs = due.iter().filter_map(|uid| cache.sync_with_uid(uid));
            queue.wake(syncs, &Trigger::Verification);
        };
        tokio::select! {
            () = work => {}
            () = state.verification.run(verify) => {}
        }
        // Writes that no reconcile waits for end before the process does.
        tokio::join!(writer.permits.wait_until_idle(), reporter.events.finish());
        tasks.shutdown().await;
    }
}

/// The parts of the controller that run in parallel.
fn parts(
    (lead, leader_record): (Lead, Arc<LeaderRecord>),
    client: Client,
    settings: Settings,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
) -> (Reconciler, UnboundedReceiver<Request>, Collector, Watcher) {
    let cache = Arc::new(Cache::new(settings.protected_namespaces));
    let reader = Arc::new(Reader::new(client.clone(), Arc::clone(&cache)));
    let events = Arc::new(Events::new(client.clone(), settings.pod_name.clone()));
    let state = Arc::new(State::new(settings.resync_period, Arc::clone(&metrics)));
    let (startup, deleted_syncs) =
        (Arc::new(Startup::new(&settings.scope)), Arc::<DeletedSyncs>::default());
    let (queue, requests) = Queue::new(Arc::clone(&startup), Arc::clone(&metrics));
    let queue = Arc::new(queue);
    let writer = Arc::new(Writer {
        client: client.clone(),
        cache: Arc::clone(&cache),
        reader: Arc::clone(&reader),
        leader_record,
        permits: Permits::new(settings.max_concurrent_writes),
        bodies: MemoryBudget::new(bodies::TOTAL_KIB),
        reads: Cancellation::default(),
        metrics: Arc::clone(&metrics),
    });
    let reporter = Reporter {
        client: client.clone(),
        events: Arc::clone(&events),
        metrics: Arc::clone(&metrics),
    };
    let reconciler = Reconciler {
        lead: lead.clone(),
        cache: Arc::clone(&cache),
        reader: Arc::clone(&reader),
        reviewer: Reviewer::new(client.clone(), settings.tenancy, &settings.scope),
        writer: Arc::clone(&writer),
        reporter,
        state: Arc::clone(&state),
        queue: Arc::clone(&queue),
        metrics: Arc::clone(&metrics),
    };
    let pod = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(settings.namespace),
        name: Some(settings.pod_name),
        uid: Some(settings.pod_uid),
        ..ObjectReference::default()
    };
    let collector = Collector {
        lead,
        client,
        cache: Arc::clone(&cache),
        reader,
        writer,
        state: Arc::clone(&state),
        deleted_syncs: Arc::clone(&deleted_syncs),
        startup: Arc::clone(&startup),
        brake: BrakeReport { events, pod, metrics: Arc::clone(&metrics) },
        period: settings.sweep_period,
        grace: settings.orphan_grace,
        metrics: Arc::clone(&metrics),
    };
    let scope = settings.scope;
    let watcher = Watcher { scope, cache, queue, startup, state, deleted_syncs, health, metrics };
    (reconciler, requests, collector, watcher)
}

/// Permissions of the controller, without those for reviews.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    let reads = [watch::access(), reader::access(), sync_patch::access()].concat();
    let writes = [act::access(), report::access(), events::access()].concat();
    [reads, writes, orphans::access()].concat()
}
