//! Orphan collection: removes the copies that deleted syncs have left behind.
//!
//! Runs periodically, and soon after the deletion of a sync that left copies behind. Candidates
//! come from the cache, without requests. Before a candidate is removed, three live reads must
//! confirm it: of the CRD, which must be established, of the sync, and of the copy. `decide` is
//! called before and after them. Nothing is collected while a list is incomplete.

mod batches;
mod brake;
mod term;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use kube::Client;
use tokio::time::sleep;
use tokio::time::timeout;
use tracing::Instrument as _;
use tracing::Span;

pub use brake::BrakeReport;

use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::Reader;
use crate::controller::act::Write;
use crate::controller::act::Writer;
use crate::controller::collect::batches::batches;
use crate::controller::collect::term::Term;
use crate::controller::observe::Reads;
use crate::controller::record::record_reads;
use crate::controller::record::record_write;
use crate::controller::startup::Startup;
use crate::decide::Failure;
use crate::decide::contention::Purpose;
use crate::decide::orphans::Census;
use crate::decide::orphans::CollectionMode;
use crate::decide::orphans::CollectionPlan;
use crate::decide::orphans::KeepReason;
use crate::decide::orphans::ObservedOrphans;
use crate::decide::orphans::OrphanCandidate;
use crate::decide::orphans::OrphanStep;
use crate::decide::orphans::plan_collection;
use crate::decide::reason::Reason;
use crate::election::Lead;
use crate::kubernetes::error::NotLeading;
use crate::metrics::Metrics;
use crate::orphans::DeletedSyncs;
use crate::orphans::Owners;
use crate::orphans::candidates_of;
use crate::orphans::ensure_established;
use crate::orphans::read_owners;
use crate::orphans::refresh_candidates;
use crate::state::State;
use crate::state::retries::FailedAttempt;
use crate::telemetry;
use crate::telemetry::spans::SpanReference;
use crate::telemetry::spans::fail;
use crate::telemetry::spans::number;

/// Delay after the deletion of a sync: one that is being replaced is created again shortly.
const SETTLE: Duration = Duration::from_secs(5);
/// Delay before the next attempt if orphans of a sync seen alive could not be collected.
const RETRY: Duration = Duration::from_secs(15);

/// Collects orphans.
pub struct Collector {
    pub lead: Lead,
    pub client: Client,
    pub cache: Arc<Cache>,
    pub reader: Arc<Reader>,
    pub writer: Arc<Writer>,
    pub state: Arc<State>,
    pub deleted_syncs: Arc<DeletedSyncs>,
    pub startup: Arc<Startup>,
    pub brake: BrakeReport,
    pub period: Duration,
    /// How long an orphan is kept whose sync was never seen alive.
    pub grace: Duration,
    pub metrics: Arc<Metrics>,
}

/// One collection of all orphans.
struct Round {
    /// The syncs whose orphans are decided on at a time.
    batches: Vec<Vec<String>>,
    /// What was counted of each batch last.
    censuses: Vec<Census>,
    /// The number of marked copies at the beginning: what is collected does not lower the limit of the
    /// brake.
    marked_copies: usize,
    /// What first kept orphans from being collected.
    obstacle: Option<String>,
}

/// Collects orphans until the process stops.
pub async fn run(collector: Collector) {
    let Collector { startup, deleted_syncs, writer, .. } = &collector;
    let mut term = Term::default();
    while !writer.permits.is_closed() {
        if !startup.is_complete() {
            tokio::select! {
                () = startup.wait_until_complete() => {}
                () = deleted_syncs.collection_requested() => {}
            }
            continue;
        }
        let pause = collector.collect(&mut term).await;
        tokio::select! {
            () = sleep(pause) => {}
            () = deleted_syncs.collection_requested() => {
                if !writer.permits.is_closed() {
                    // A second request ends the wait.
                    let _ = timeout(SETTLE, deleted_syncs.collection_requested()).await;
                }
            }
        }
    }
}

// === impl Round ===

impl Round {
    /// The census of all batches.
    fn census(&self) -> Census {
        self.censuses.iter().copied().fold(Census::default(), Census::merge)
    }
}

// === impl Collector ===

impl Collector {
    /// Collects once. Returns the delay until the next collection.
    async fn collect(&self, term: &mut Term) -> Duration {
        if let Some(pause) = self.lead.late_writes() {
            return pause;
        }
        let now = Instant::now();
        let dead = self.cache.dead_syncs();
        self.forget_all_but(term, &dead);
        self.deleted_syncs.forget_old(&dead, now);
        let mut round = self.begin_round(term, dead, now);
        let brake = round.census().brake(round.marked_copies);
        self.brake.report(&self.lead, brake, &mut term.is_held);
        let mut is_urgent = false;
        for index in 0..round.batches.len() {
            match self.collect_batch(term, &mut round, index).await {
                Some(is_batch_urgent) => is_urgent |= is_batch_urgent,
                None => break,
            }
        }
        term.log_obstacle(round.obstacle.as_deref());
        let pause = if is_urgent { self.period.min(RETRY) } else { self.period };
        round.census().next_due.map_or(pause, |due| due.min(pause))
    }

    /// Counts the orphans of the syncs `dead`, in batches.
    fn begin_round(&self, term: &mut Term, dead: Vec<String>, now: Instant) -> Round {
        let counted = dead.into_iter().map(|it| (self.cache.count_copies_of(&it), it));
        let batches = batches(counted);
        let censuses = batches.iter().map(|batch| self.take_census(term, batch, now)).collect();
        let marked_copies = self.cache.marked_copies();
        Round { batches, censuses, marked_copies, obstacle: None }
    }

    /// Collects the orphans of one batch. Returns whether some of a sync seen alive could not be collected;
    /// `None` if nothing can be collected at present.
    async fn collect_batch(
        &self,
        term: &mut Term,
        round: &mut Round,
        index: usize,
    ) -> Option<bool> {
        if round.censuses[index].due == 0 {
            return Some(false);
        }
        let orphans = self.gather(term, round, index, &Owners::default());
        let plan = plan_collection(&orphans);
        if plan.unconfirmed().next().is_none() {
            return Some(false);
        }
        let span = tracing::info_span!(
            parent: None,
            telemetry::ORPHAN_COLLECTION_SPAN,
            orphans = number(orphans.candidates.len()),
            due = number(plan.unconfirmed().count()),
            syncs = orphans.sync_names(plan.unconfirmed()),
        );
        let due: BTreeMap<_, _> = plan
            .unconfirmed()
            .filter_map(|at| Some((at.clone(), orphans.candidates.get(at)?.clone())))
            .collect();
        drop((orphans, plan));
        self.collect_due(term, round, index, &due).instrument(span).await
    }

    /// Reads the candidates that are due, decides again, and carries out the plan. Returns as
    /// [`Collector::collect_batch`].
    async fn collect_due(
        &self,
        term: &mut Term,
        round: &mut Round,
        index: usize,
        due: &BTreeMap<NamespacedName, OrphanCandidate>,
    ) -> Option<bool> {
        let owners = match self.writer.reads.unless_cancelled(self.read_live(due)).await {
            Ok(Ok(owners)) => owners,
            Ok(Err(why)) => {
                fail(&Span::current(), Reason::ApiError.as_str(), &why);
                round.obstacle.get_or_insert(why);
                return None;
            }
            Err(NotLeading) => return None,
        };
        round.censuses[index] = self.take_census(term, &round.batches[index], Instant::now());
        let orphans = self.gather(term, round, index, &owners);
        let plan = plan_collection(&orphans);
        let unknown = plan.steps.values().find_map(|step| match step {
            OrphanStep::Keep(KeepReason::OwnerUnknown(why)) => Some(why.as_str()),
            _ => None,
        });
        if let Some(why) = unknown {
            fail(&Span::current(), Reason::ApiError.as_str(), why);
            round.obstacle.get_or_insert_with(|| why.to_owned());
        }
        if let Some(Failure { reason, message }) = self.carry_out(due, &plan).await {
            fail(&Span::current(), reason.as_str(), &message);
        }
        Some(plan.steps.iter().any(|(at, step)| {
            let undone = matches!(
                step,
                OrphanStep::Keep(KeepReason::OwnerUnknown(_) | KeepReason::Failed(_))
            );
            undone && orphans.candidates.get(at).is_some_and(|candidate| candidate.seen_alive)
        }))
    }

    /// Reads the candidates into the cache, and returns their syncs. Fails while the kind is not
    /// served.
    async fn read_live(
        &self,
        due: &BTreeMap<NamespacedName, OrphanCandidate>,
    ) -> Result<Owners, String> {
        ensure_established(&self.client).await.map_err(|why| why.to_string())?;
        for candidate in due.values() {
            self.state.track(&candidate.markers.sync_uid);
        }
        for (at, failure) in refresh_candidates(&self.reader, due).await {
            let namespace_uid = self.cache.namespace(&at.namespace).1;
            let failed = (at.clone(), FailedAttempt::now(failure, namespace_uid));
            let reads = Reads { failed_copies: vec![failed], ..Reads::default() };
            record_reads(&self.state, &due[at].markers.sync_uid, reads);
        }
        Ok(read_owners(&self.client, &self.cache, due.values()).await)
    }

    /// Carries out the plan. Returns why one of the writes failed, if any did.
    async fn carry_out(
        &self,
        due: &BTreeMap<NamespacedName, OrphanCandidate>,
        plan: &CollectionPlan,
    ) -> Option<Failure> {
        // More than may be in flight: one slow namespace must not delay the others of the batch. Not all at
        // once: each takes some KiB.
        let concurrent = self.writer.permits.count() * 8;
        let (mut writes, mut first) = (FuturesUnordered::new(), None);
        for (at, step) in &plan.steps {
            let Some((action, candidate)) = step.action().zip(due.get(at)) else { continue };
            let sync = candidate.markers.sync.clone().unwrap_or_default();
            let sync_uid = &candidate.markers.sync_uid;
            let failures = self.state.read_retries(sync_uid, |it| it.failures_at(at));
            let purpose = Purpose::Retire;
            let (at, attempt, latest_start) = (at.clone(), failures + 1, None);
            let write = Write { sync, at, action, purpose, attempt, latest_start };
            if writes.len() >= concurrent {
                first = first.or(writes.next().await.flatten());
            }
            writes.push(self.write(candidate, write));
        }
        writes.fold(first, async |first, failure| first.or(failure)).await
    }

    async fn write(&self, candidate: &OrphanCandidate, write: Write) -> Option<Failure> {
        let span =
            tracing::info_span!("collect orphan", sync = write.sync, destination = %write.at);
        let sent = async {
            let _permit = self.writer.permits.acquire_in(&write.at.namespace).await?;
            self.writer.write(&self.lead, &write, &SpanReference::current()).await
        };
        // Without leadership, the process ends.
        let Ok(answered) = sent.instrument(span.clone()).await else { return None };
        let Write { sync, at, action, .. } = write;
        let failure = answered.result.failure().cloned();
        if let Some(Failure { reason, message }) = &failure {
            fail(&span, reason.as_str(), message);
        }
        if answered.result.is_written() {
            let verb = action.verb();
            self.metrics.copies.count_collected(verb);
            tracing::info!(destination = %at, sync, action = verb, "orphan collected");
        }
        record_write(&self.state, &candidate.markers.sync_uid, &at, answered, None);
        failure
    }

    /// Counts the orphans of these syncs.
    fn take_census(&self, term: &mut Term, syncs: &[String], now: Instant) -> Census {
        let mut census = Census::default();
        for sync_uid in syncs {
            for (at, candidate) in &self.candidates_of(term, sync_uid, &Owners::default(), now) {
                census.count(at, candidate, self.mode());
            }
        }
        census
    }

    /// The orphans of one batch.
    fn gather(
        &self,
        term: &mut Term,
        round: &Round,
        index: usize,
        owners: &Owners,
    ) -> ObservedOrphans {
        let now = Instant::now();
        let syncs = round.batches[index].iter();
        let candidates = syncs.flat_map(|it| self.candidates_of(term, it, owners, now)).collect();
        let (census, marked_copies) = (round.census(), round.marked_copies);
        ObservedOrphans { candidates, census, marked_copies, mode: self.mode() }
    }

    /// The orphans of one sync, from the cache and from what this term knows of them.
    fn candidates_of(
        &self,
        term: &mut Term,
        sync_uid: &str,
        owners: &Owners,
        now: Instant,
    ) -> BTreeMap<NamespacedName, OrphanCandidate> {
        let mut candidates = candidates_of(&self.cache, sync_uid, owners);
        term.date(sync_uid, &mut candidates, now);
        for (at, candidate) in &mut candidates {
            candidate.seen_alive = self.deleted_syncs.left_behind(&self.cache, at);
            let namespace_uid = self.cache.namespace(&at.namespace).1;
            let held = self.state.read(sync_uid, |state| {
                let held_back = state.retries()?.held_back(now);
                held_back.destination(at, namespace_uid.as_deref())
            });
            candidate.pending_retry = held.map(|held| held.failure);
        }
        candidates
    }

    fn mode(&self) -> CollectionMode {
        CollectionMode::Automatic(self.grace)
    }

    /// Forgets former orphans, and the state of their syncs.
    fn forget_all_but(&self, term: &mut Term, with_orphans: &[String]) {
        for sync_uid in term.forget_all_but(with_orphans) {
            if self.cache.sync_with_uid(&sync_uid).is_none() {
                self.state.forget(&sync_uid);
            }
        }
    }
}
