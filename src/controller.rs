//! From events to rounds: watches fill the cache and wake syncs, each woken sync gets a round.
//!
//! Runs only while we lead, and is built anew for each term: nothing that an earlier leader saw is
//! trusted.

mod act;
pub mod collect;
mod contention;
mod error;
mod memory;
mod observe;
mod queue;
mod reconcile;
mod report;
mod resync;
mod rounds;
mod startup;
mod trigger;
mod watch;

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

pub use memory::Memory;
pub use observe::View;
pub use observe::observe;

use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::Reader;
use crate::cache::reader;
use crate::controller::collect::Sweeper;
use crate::controller::queue::Queue;
use crate::controller::reconcile::reconcile;
use crate::controller::startup::Part;
use crate::controller::startup::Startup;
use crate::election::Lead;
use crate::election::LeaderRecord;
use crate::health::Health;
use crate::kubernetes::events;
use crate::kubernetes::events::Events;
use crate::metrics::Metrics;
use crate::orphans;

/// How the controller works.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The operator's own namespace, for Events.
    pub namespace: String,
    /// Name of the pod, for Events.
    pub pod_name: String,
    /// uid of the pod, for Events.
    pub pod_uid: String,
    /// Namespaces that are never destinations.
    pub protected_namespaces: BTreeSet<String>,
    /// How often a sync is verified against live data.
    pub resync_period: Duration,
    /// How often orphans are looked for.
    pub sweep_period: Duration,
    /// How long an orphan whose sync was never seen alive is kept.
    pub orphan_grace: Duration,
    /// How many writes are in flight at a time.
    pub max_concurrent_writes: usize,
}

/// The connections that the controller uses.
#[derive(Clone)]
pub struct Clients {
    /// For reads and writes: answers are short, and waited for a short time.
    pub calls: Client,
    /// For watches, which stay silent for minutes.
    pub watches: Client,
}

/// What every part of the controller shares.
struct Context {
    lead: Lead,
    leader_record: Arc<LeaderRecord>,
    client: Client,
    settings: Settings,
    cache: Arc<Cache>,
    reader: Reader,
    memory: Memory,
    queue: Queue,
    startup: Startup,
    sweeper: Sweeper,
    write_permits: Arc<Semaphore>,
    events: Events,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    stopping: AtomicBool,
}

/// Runs until `stop` resolves; then takes no more events, lets the rounds under way finish the
/// writes that they have begun, and returns.
pub async fn run(
    lead: Lead,
    leader_record: Arc<LeaderRecord>,
    clients: Clients,
    settings: Settings,
    health: Arc<Health>,
    metrics: Arc<Metrics>,
    stop: impl Future<Output = ()> + Send + 'static,
) {
    for part in Part::ALL {
        health.set(part.health_part(), Err("not listed yet".to_owned()));
    }
    let (queue, requests) = Queue::new(Arc::clone(&metrics));
    let leadership = (lead, leader_record);
    let context = Arc::new(Context::new(leadership, &clients, settings, queue, health, metrics));

    let mut watches = JoinSet::new();
    watches.spawn(watch::syncs(Arc::clone(&context), clients.watches.clone()));
    watches.spawn(watch::config_maps(Arc::clone(&context), clients.watches.clone()));
    watches.spawn(watch::namespaces(Arc::clone(&context), clients.watches));

    let stopping = Arc::clone(&context);
    tokio::spawn(async move {
        stop.await;
        stopping.stopping.store(true, Ordering::Release);
        stopping.queue.close();
        stopping.sweeper.wake();
    });

    let work = async {
        let rounds = rounds::run(requests, |sync| reconcile(&context, sync));
        tokio::join!(rounds, collect::run(Arc::clone(&context)));
    };
    tokio::select! {
        () = work => {}
        () = resync::run(&context) => {}
    }
    // What a round did not wait for ends before the process does: then all permits are back.
    let permits = u32::try_from(context.settings.max_concurrent_writes).unwrap_or(u32::MAX);
    drop(context.write_permits.acquire_many(permits).await);
    watches.shutdown().await;
}

/// What the controller needs, cluster-wide.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    let of_rounds = [watch::access(), reader::access(), act::access(), report::access()].concat();
    [of_rounds, events::access(), orphans::access()].concat()
}

// === impl Context ===

impl Context {
    fn new(
        (lead, leader_record): (Lead, Arc<LeaderRecord>),
        clients: &Clients,
        settings: Settings,
        queue: Queue,
        health: Arc<Health>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let client = clients.calls.clone();
        let cache = Arc::new(Cache::new(settings.protected_namespaces.clone()));
        Self {
            lead,
            leader_record,
            reader: Reader::new(client.clone(), Arc::clone(&cache)),
            events: Events::new(client.clone(), settings.pod_name.clone()),
            client,
            cache,
            memory: Memory::new(settings.resync_period),
            queue,
            startup: Startup::default(),
            sweeper: Sweeper::default(),
            write_permits: Arc::new(Semaphore::new(settings.max_concurrent_writes)),
            settings,
            health,
            metrics,
            stopping: AtomicBool::new(false),
        }
    }

    /// Asks for a round of each of `syncs`, once it is known enough to run one.
    fn wake(&self, syncs: impl IntoIterator<Item = NamespacedName>) {
        if self.startup.is_complete() {
            for sync in syncs {
                self.queue.push(sync);
            }
        }
    }

    /// What a round that began then looks with.
    fn view(&self, began: Instant) -> View<'_> {
        View { cache: &self.cache, reader: &self.reader, memory: &self.memory, began }
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}
