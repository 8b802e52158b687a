//! Orphan collection: removes the copies that deleted syncs have left behind.
//!
//! Runs every minute, and soon after a sync was deleted with copies left. Candidates come from the
//! cache, which costs no requests; only what is due is read live: the kind, which must be
//! established, the sync, and the copy itself. `decide` decides twice: before those reads, and
//! after them. Nothing is collected while a list is incomplete.

mod brake;
mod term;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use futures::StreamExt as _;
use futures::stream;
use kube::Client;
use tokio::time::sleep;
use tokio::time::timeout;
use tracing::Instrument as _;

pub use brake::BrakeReport;

use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::Reader;
use crate::controller::act::Write;
use crate::controller::act::WriteResult;
use crate::controller::act::Writer;
use crate::controller::collect::term::Term;
use crate::controller::deaths::Deaths;
use crate::controller::observe::FailedCopyRead;
use crate::controller::observe::FailedRead;
use crate::controller::record::record_failed_copy_read;
use crate::controller::record::record_write;
use crate::controller::startup::Startup;
use crate::controller::state::State;
use crate::controller::stopping::Stopping;
use crate::decide::orphans::CollectionMode;
use crate::decide::orphans::CollectionPlan;
use crate::decide::orphans::KeepReason;
use crate::decide::orphans::ObservedOrphans;
use crate::decide::orphans::OrphanCandidate;
use crate::decide::orphans::OrphanStep;
use crate::decide::orphans::plan_collection;
use crate::election::Lead;
use crate::metrics::Metrics;
use crate::orphans::Owners;
use crate::orphans::candidates;
use crate::orphans::ensure_established;
use crate::orphans::read_owners;
use crate::orphans::refresh_candidates;
use crate::telemetry;

/// How long to wait after the deletion of a sync: one that is replaced is back in a moment.
const SETTLE: Duration = Duration::from_secs(5);
/// The delay before another attempt at what should not wait for a whole period.
const RETRY: Duration = Duration::from_secs(15);

/// Collects orphans.
pub struct Collector {
    /// Permits the writes.
    pub lead: Lead,
    /// Reads the kind and the syncs.
    pub client: Client,
    /// What is known of the cluster.
    pub cache: Arc<Cache>,
    /// Reads the copies.
    pub reader: Arc<Reader>,
    /// Writes the copies.
    pub writer: Arc<Writer>,
    /// What is remembered of the owners of the copies.
    pub state: Arc<State>,
    /// The syncs that were deleted.
    pub deaths: Arc<Deaths>,
    /// Whether the lists are complete.
    pub startup: Arc<Startup>,
    /// Reports the brake.
    pub brake: BrakeReport,
    /// How often orphans are collected.
    pub period: Duration,
    /// How long an orphan is kept whose sync was never seen alive.
    pub grace: Duration,
    /// Whether to stop.
    pub stopping: Stopping,
    /// Count what was collected.
    pub metrics: Arc<Metrics>,
}

/// Collects orphans until the process stops.
pub async fn run(collector: Collector) {
    let Collector { startup, deaths, stopping, .. } = &collector;
    let mut term = Term::default();
    while !stopping.has_begun() {
        if !startup.is_complete() {
            tokio::select! {
                () = startup.wait_until_complete() => {}
                () = deaths.woken() => {}
            }
            continue;
        }
        let pause = collector.collect(&mut term).await;
        tokio::select! {
            () = sleep(pause) => {}
            () = deaths.woken() => {
                if !stopping.has_begun() {
                    // A second deletion ends the wait: the first has to be dealt with anyway.
                    let _ = timeout(SETTLE, deaths.woken()).await;
                }
            }
        }
    }
}

// === impl Collector ===

impl Collector {
    /// Collects once. Returns the delay until the next time.
    async fn collect(&self, term: &mut Term) -> Duration {
        let now = Instant::now();
        let orphans = self.gather(term, &Owners::default(), now);
        self.forget_all_but(term, &orphans.candidates);
        self.deaths.forget_old(&orphans.candidates, now);
        let verdict = plan_collection(&orphans);
        self.brake.report(&self.lead, verdict.brake, &mut term.is_held).await;
        if verdict.unconfirmed().next().is_none() {
            return verdict.next_due().map_or(self.period, |due| due.min(self.period));
        }
        let span = tracing::info_span!(
            parent: None,
            telemetry::ORPHAN_COLLECTION_SPAN,
            orphans = orphans.candidates.len(),
            due = verdict.unconfirmed().count(),
        );
        let verdict = self.collect_due(term, &orphans, &verdict).instrument(span).await;
        let is_urgent = |(at, step): (&NamespacedName, &OrphanStep)| {
            let undone = matches!(
                step,
                OrphanStep::Keep(KeepReason::OwnerUnknown(_) | KeepReason::Failed(_))
            );
            undone && orphans.candidates.get(at).is_some_and(|candidate| candidate.seen_alive)
        };
        let is_urgent = verdict.steps.iter().any(is_urgent);
        let pause = if is_urgent { self.period.min(RETRY) } else { self.period };
        verdict.next_due().map_or(pause, |due| due.min(pause))
    }

    /// Reads what is due, decides again, and carries that out.
    async fn collect_due(
        &self,
        term: &mut Term,
        orphans: &ObservedOrphans,
        verdict: &CollectionPlan,
    ) -> CollectionPlan {
        if let Err(why) = ensure_established(&self.client).await {
            term.complain(Some(&why));
            return verdict.clone();
        }
        let due: BTreeMap<_, _> = verdict
            .unconfirmed()
            .filter_map(|at| Some((at.clone(), orphans.candidates.get(at)?.clone())))
            .collect();
        for (at, failure) in refresh_candidates(&self.reader, &due).await {
            let namespace_uid = self.cache.namespace(&at.namespace).1;
            let read = FailedRead::now(failure);
            let failed = FailedCopyRead { copy: at.clone(), namespace_uid, read };
            record_failed_copy_read(&self.state.retries, &due[at].markers.sync_uid, failed);
        }
        let owners = read_owners(&self.client, &self.cache, due.values()).await;
        let verdict = plan_collection(&self.gather(term, &owners, Instant::now()));
        let unknown = verdict.steps.values().find_map(|step| match step {
            OrphanStep::Keep(KeepReason::OwnerUnknown(why)) => Some(why.as_str()),
            _ => None,
        });
        term.complain(unknown);
        self.carry_out(&due, &verdict).await;
        verdict
    }

    async fn carry_out(
        &self,
        due: &BTreeMap<NamespacedName, OrphanCandidate>,
        verdict: &CollectionPlan,
    ) {
        let writes: Vec<_> = verdict
            .steps
            .iter()
            .filter_map(|(at, step)| {
                let (action, candidate) = (step.action()?, due.get(at)?);
                let at = at.clone();
                let write = Write { at, action, content_hash: None, is_repair: false };
                Some(async move { self.write(candidate, write).await })
            })
            .collect();
        let concurrent = self.writer.permits.count();
        stream::iter(writes).buffer_unordered(concurrent).collect::<()>().await;
    }

    async fn write(&self, candidate: &OrphanCandidate, write: Write) {
        // The end of leadership is the end of the process.
        let Ok(_permit) = self.writer.permits.acquire().await else { return };
        let Ok(answered) = self.writer.write(&self.lead, &write).await else { return };
        let (at, verb) = (write.at, write.action.verb());
        if matches!(answered.result, WriteResult::Written { .. }) {
            self.metrics.copies.count_collected(verb);
            let sync = candidate.markers.sync.as_deref().unwrap_or_default();
            tracing::info!(destination = %at, sync, action = verb, "orphan swept");
        }
        record_write(&self.state.retries, &candidate.markers.sync_uid, at, answered);
    }

    /// The orphans as known from the cache and from this term.
    fn gather(&self, term: &mut Term, owners: &Owners, now: Instant) -> ObservedOrphans {
        let mut candidates = candidates(&self.cache, owners);
        for (at, candidate) in &mut candidates {
            let sync_uid = &candidate.markers.sync_uid;
            candidate.known_for = term.known_for(&candidate.version.uid, sync_uid, now);
            candidate.seen_alive = self.deaths.left_behind(&self.cache, at);
            let namespace_uid = self.cache.namespace(&at.namespace).1;
            let held_back = self.state.retries.held_back(sync_uid, now);
            let held = held_back.destination(at, namespace_uid.as_deref());
            candidate.pending_retry = held.map(|held| held.failure);
        }
        ObservedOrphans {
            candidates,
            marked_copies: self.cache.marked_copies(),
            mode: CollectionMode::Automatic(self.grace),
        }
    }

    /// Forgets what is no orphan any more, and the state of its sync.
    fn forget_all_but(&self, term: &mut Term, orphans: &BTreeMap<NamespacedName, OrphanCandidate>) {
        for sync_uid in term.forget_all_but(orphans) {
            if self.cache.sync_with_uid(&sync_uid).is_none() {
                self.state.forget(&sync_uid);
            }
        }
    }
}
