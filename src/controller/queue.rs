//! The queue between events and reconciles: one reconcile per sync at a time, and a bounded number
//! overall, shared among the namespaces of the syncs: [`turns`](crate::decide::turns) has the rule.
//!
//! kube's controller is not used because it keeps a decoded copy of every object, and its scheduler
//! because it keeps the memory of its largest burst, such as that of the start.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use futures::FutureExt as _;
use futures::Stream;
use futures::StreamExt as _;
use futures::channel::mpsc;
use futures::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::time::sleep;

use crate::api::namespaced_name::NamespacedName;
use crate::controller::startup::Startup;
use crate::decide::turns::Turns;
use crate::health::Health;
use crate::metrics::Metrics;
use crate::telemetry::spans::SpanReference;

/// Reconciles that run at a time. Writes have a lower limit of their own.
const CONCURRENT_RECONCILES: usize = 64;
/// Name in [`Health`] under which the queue reports that it moves.
const HEALTH_PART: &str = "queue";
/// How often an idle queue does so.
const BEAT_PERIOD: Duration = Duration::from_secs(5);
/// Capacity that an empty queue keeps after a burst.
const KEPT_CAPACITY: usize = 64;

/// A request to reconcile a sync.
#[derive(Debug)]
pub struct Request {
    sync: NamespacedName,
    at: Instant,
}

/// What requested a reconcile: for its trace. No step depends on it.
#[derive(Clone, Debug, Default, strum::IntoStaticStr)]
pub enum Trigger {
    /// All syncs are reconciled once all lists are complete, and after a new list of syncs.
    List,
    /// The sync was created or changed.
    #[strum(serialize = "ConfigMapSync")]
    Sync,
    /// The source of the sync has changed.
    Source,
    /// A copy, or a `ConfigMap` at its place, has changed.
    Copy,
    /// A namespace has changed.
    Namespace,
    /// Another sync, with the same destination, is gone.
    OtherSync,
    /// The sync is verified against live data.
    Verification,
    /// A write was answered that the reconcile in this span had not waited for.
    LateAnswer(SpanReference),
    /// The delay of a retry is over.
    #[default]
    Delay,
}

/// Syncs that wait for a reconcile, and why.
#[derive(Debug)]
pub struct Queue {
    sender: mpsc::UnboundedSender<Request>,
    waiting: Mutex<HashMap<NamespacedName, Waiting>>,
    startup: Arc<Startup>,
    metrics: Arc<Metrics>,
}

/// A sync that waits for a reconcile.
#[derive(Clone, Debug)]
pub struct Waiting {
    pub since: Instant,
    /// The first trigger.
    pub trigger: Trigger,
    /// Since when it waits because of a change of its source, if it does.
    pub source_changed: Option<Instant>,
}

// === impl Waiting ===

impl Waiting {
    fn since_now(trigger: Trigger) -> Self {
        Self { since: Instant::now(), trigger, source_changed: None }
    }
}

// === impl Queue ===

impl Queue {
    /// An empty queue, and the requests that come out of it.
    pub fn new(
        startup: Arc<Startup>,
        metrics: Arc<Metrics>,
    ) -> (Self, mpsc::UnboundedReceiver<Request>) {
        let (sender, receiver) = mpsc::unbounded();
        metrics.reconciles.set_most(CONCURRENT_RECONCILES);
        (Self { sender, waiting: Mutex::default(), startup, metrics }, receiver)
    }

    /// Requests a reconcile of each of `syncs`. Ignored until startup is complete, when every sync
    /// is reconciled: `syncs` are not even determined then.
    pub fn wake(&self, syncs: impl IntoIterator<Item = NamespacedName>, trigger: &Trigger) {
        if self.startup.is_complete() {
            for sync in syncs {
                self.push(sync, trigger);
            }
        }
    }

    /// Requests a reconcile of `sync`.
    pub fn push(&self, sync: NamespacedName, trigger: &Trigger) {
        let request = Request { sync: sync.clone(), at: Instant::now() };
        let mut waiting = self.waiting.lock();
        if self.sender.unbounded_send(request).is_ok() {
            let entry = waiting.entry(sync).or_insert_with(|| Waiting::since_now(trigger.clone()));
            if matches!(trigger, Trigger::Source) {
                entry.source_changed.get_or_insert_with(Instant::now);
            }
            self.metrics.reconciles.enqueued(waiting.len());
        }
    }

    /// Requests a reconcile of `sync` after `delay`, unless one is requested sooner.
    pub fn push_later(&self, sync: NamespacedName, delay: Duration) {
        let request = Request { sync, at: Instant::now() + delay };
        if self.sender.unbounded_send(request).is_ok() {
            self.metrics.reconciles.delayed();
        }
    }

    /// Removes `sync` from the waiting syncs.
    pub fn pop(&self, sync: &NamespacedName) -> Waiting {
        let mut waiting = self.waiting.lock();
        let removed = waiting.remove(sync);
        if waiting.is_empty() {
            waiting.shrink_to(KEPT_CAPACITY);
        }
        self.metrics.reconciles.set_queue_depth(waiting.len());
        removed.unwrap_or_else(|| Waiting::since_now(Trigger::default()))
    }

    /// Takes no more requests.
    pub fn close(&self) {
        self.sender.close_channel();
    }
}

/// Runs `reconcile` for each request. A request for a sync whose reconcile is running leads to
/// another one afterwards. Returns when the queue is closed and the running reconciles have ended.
/// The queue and each reconcile report their progress to `health`. `destinations` counts those of a sync.
pub async fn run<Reconcile: Future<Output = ()>>(
    requests: impl Stream<Item = Request>,
    health: &Health,
    destinations: impl Fn(&NamespacedName) -> usize,
    reconcile: impl Fn(NamespacedName) -> Reconcile,
) {
    let mut requests = std::pin::pin!(requests);
    let (began, mut turns) = (Instant::now(), Turns::new(CONCURRENT_RECONCILES));
    let mut reconciles = FuturesUnordered::new();
    'open: loop {
        health.beat(HEALTH_PART);
        let next = turns.next_request().map(|at| at.saturating_sub(began.elapsed()));
        tokio::select! {
            Some(ended) = reconciles.next() => turns.end(&ended, began.elapsed()),
            mut requested = requests.next() => loop {
                let Some(Request { sync, at }) = requested else { break 'open };
                turns.request(sync, at.saturating_duration_since(began), began.elapsed());
                // All that are ready, so that those for one sync are merged before it begins.
                let Some(next) = requests.next().now_or_never() else { break };
                requested = next;
            },
            () = sleep(next.unwrap_or(BEAT_PERIOD).min(BEAT_PERIOD)) => {}
        }
        while let Some(sync) = turns.begin(began.elapsed(), &destinations) {
            let name = format!("reconcile of {sync}");
            let reconcile = health.during(name, reconcile(sync.clone()));
            reconciles.push(async {
                reconcile.await;
                sync
            });
        }
    }
    while reconciles.next().await.is_some() {}
}

#[cfg(test)]
mod tests;
