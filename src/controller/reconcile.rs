//! One reconcile for one sync.
//!
//! ```text
//! observe -> decide -> act -> record -> (again, until nothing is to be written)
//!               '---> status -> report -> record
//! ```
//!
//! # Flow
//! A reconcile makes passes until a plan has no writes, and reports what the last one observed.
//! Before the end, it reports only that many writes are in progress, and writes meanwhile.
//! If something is left to do, the sync is requeued after the delay of its earliest retry.
//!
//! # Guarantees
//! * Level-triggered: no step knows why the reconcile was requested.
//! * Nothing is written without a [`Lead`].
//!
//! # Assumptions
//! * The three lists are complete, and one reconcile runs per sync at a time.

mod ended;
mod error;
mod known_sync;
mod root_span;

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use futures::future::OptionFuture;
use futures::future::join;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use tracing::Instrument as _;
use tracing::Span;

use crate::api::ConfigMapSyncStatus;
use crate::api::namespaced_name::NamespacedName;
use crate::backoff::INITIAL_DELAY;
use crate::cache::Cache;
use crate::cache::Reader;
use crate::controller::act::Writer;
use crate::controller::act::act;
use crate::controller::observe::Observation;
use crate::controller::observe::View;
use crate::controller::observe::observe;
use crate::controller::queue::Queue;
use crate::controller::queue::Trigger;
use crate::controller::reconcile::ended::Ended;
use crate::controller::reconcile::error::Error;
use crate::controller::reconcile::known_sync::known_sync;
use crate::controller::reconcile::root_span::Root;
use crate::controller::record::Pass;
use crate::controller::record::record;
use crate::controller::report::Reporter;
use crate::controller::report::report;
use crate::decide::Decision;
use crate::decide::Desired;
use crate::decide::Failure;
use crate::decide::Observed;
use crate::decide::Plan;
use crate::decide::contention::Wanted;
use crate::decide::observed::ObservedSync;
use crate::decide::observed::Version;
use crate::decide::plan::FinalizerStep;
use crate::decide::reason::Reason;
use crate::decide::status;
use crate::decide::status::Settled;
use crate::decide::status::fingerprint;
use crate::decide::status::reports;
use crate::decide::status::summary;
use crate::election::Lead;
use crate::kubernetes::error::NotLeading;
use crate::kubernetes::sync_patch::SyncPatch;
use crate::metrics::Metrics;
use crate::metrics::ReconcileResult;
use crate::names;
use crate::reviews::Reviewer;
use crate::state::State;
use crate::state::retries::Retries;
use crate::telemetry::spans::SpanReference;
use crate::telemetry::trace_id;

/// For the finalizer, the copies, the old copies, a conflict, and one pass without writes.
const MAX_PASSES: usize = 5;
/// The status reports Progressing during more writes than this, not counting retries.
const MANY_WRITES: usize = 50;
/// The delay of the next reconcile if the last pass of this one still had something to write.
const PAUSE: Duration = INITIAL_DELAY;

/// Reconciles syncs.
pub struct Reconciler {
    pub lead: Lead,
    pub cache: Arc<Cache>,
    pub reader: Arc<Reader>,
    pub reviewer: Reviewer,
    pub writer: Arc<Writer>,
    pub reporter: Reporter,
    pub state: Arc<State>,
    pub queue: Arc<Queue>,
    pub metrics: Arc<Metrics>,
}

/// A computed status, and what became of it.
struct Report {
    /// `None` if its backoff lasts.
    patch: Option<SyncPatch>,
    status: ConfigMapSyncStatus,
    summary: Failure,
}

/// Reconciles the sync `name`, and requeues it if necessary.
pub async fn reconcile(reconciler: &Reconciler, name: NamespacedName) {
    if let Some(delay) = reconciler.measured(&name).await {
        reconciler.queue.push_later(name, delay);
    }
}

// === impl Reconciler ===

impl Reconciler {
    /// Runs a reconcile in its span, and counts it. Returns the delay until the next one.
    async fn measured(&self, name: &NamespacedName) -> Option<Duration> {
        // Before anything is read: a later request must lead to another reconcile.
        let waiting = self.queue.pop(name);
        let (sync, _memory) = known_sync(&self.reader, &self.queue, name).await?;
        let uid = sync.version.uid.clone();
        // Read before the passes: the last one may still have to wait for late writes that end during it.
        let late_writes = self.lead.late_writes().filter(|_| sync.deleting);
        let late_writes_end = late_writes.map(|remaining| Instant::now() + remaining);
        let running = self.metrics.reconciles.started(waiting.since.elapsed());
        let began = running.began();
        if let Some(at) = waiting.source_changed {
            self.state.source_changed(&uid, at);
        }
        let root = Root::begin(&self.state, &sync, &waiting);
        let mut written = 0;
        let ended = self.run(sync, began, &mut written).instrument(root.span.clone()).await;
        let failed = |error| root.span.in_scope(|| self.failed(&uid, began, &error));
        let ended = ended.unwrap_or_else(failed);
        running.finished(ended.result, root.end(&self.state, &uid, written, ended));
        let late_writes = late_writes_end.map(|end| end.saturating_duration_since(Instant::now()));
        [ended.requeue_after, late_writes].into_iter().flatten().min()
    }

    /// Logs why the reconcile as a whole failed.
    fn failed(&self, uid: &str, began: Instant, error: &Error) -> Ended {
        root_span::record_error(error);
        if matches!(error, Error::NotLeading(_)) {
            return Ended::failed(None);
        }
        tracing::warn!(error = error.to_string(), "reconcile failed; will retry");
        Ended::failed(self.state.next_retry(uid, began, Instant::now()))
    }

    /// Makes passes until there is nothing to write, and reports. Counts the copies `written`.
    async fn run(
        &self,
        mut sync: ObservedSync,
        began: Instant,
        written: &mut usize,
    ) -> Result<Ended, Error> {
        let uid = sync.version.uid.clone();
        if let Some(ended) = self.not_now(&sync) {
            return Ok(ended);
        }
        let mut verify = self.take_verification(&sync);
        // Kept until the last pass: the reader shares a content only while it is in use.
        let mut contents = Vec::new();
        let mut has_reported_progress = false;
        for _ in 0..MAX_PASSES {
            let observation = self.observe(&sync, verify, began).await?;
            verify = false;
            if !observation.decision.plan.has_writes() {
                return self.finish(observation, began).await;
            }
            let Observation { observed, reads, decision } = *observation;
            let plan = &decision.plan;
            let mut pass = Pass::of(reads);
            let is_long = !has_reported_progress && self.first_attempts(&uid, plan) > MANY_WRITES;
            has_reported_progress |= is_long;
            let progress = is_long.then(|| {
                let settled = Settled::of(plan.clone());
                let (observed, desired) = (&observed, &decision.desired);
                Box::pin(async move { self.report(observed, desired, &settled, began).await })
            });
            let history = self.state.history(&uid);
            let acting = act(&self.writer, &self.lead, &sync, plan, &history, &pass.reads.consents);
            // Neither waits for the other.
            let (outcome, progress) = join(acting, OptionFuture::from(progress)).await;
            pass.outcome = outcome?;
            pass.reported = progress.transpose()?.and_then(|report| report.applied_to(&mut sync));
            *written += pass.outcome.written();
            let finalizer = pass.outcome.finalizer.clone();
            self.record(&sync, pass);
            match finalizer {
                SyncPatch::Unchanged => {}
                SyncPatch::Patched { resource_version } => {
                    if self.finalizer_patched(&mut sync, plan, resource_version) {
                        return Ok(Ended::success(None));
                    }
                }
                SyncPatch::Conflict => return Ok(Ended::outdated()),
                SyncPatch::Failed(failure) => {
                    let observation = self.observe(&sync, false, began).await?;
                    self.finish(observation, began).await?;
                    return Err(Error::PatchFinalizer { sync: sync.name, failure });
                }
            }
            contents.extend(observed.source.into_small_content());
        }
        let observation = self.observe(&sync, false, began).await?;
        let ended = self.finish(observation, began).await?;
        let requeue_after = ended.requeue_after.map_or(PAUSE, |delay| delay.min(PAUSE));
        Ok(Ended { requeue_after: Some(requeue_after), ..ended })
    }

    /// Records one pass, for later passes and reconciles.
    fn record(&self, sync: &ObservedSync, pass: Pass) {
        let (queue, name) = (Arc::clone(&self.queue), sync.name.clone());
        let trigger = Trigger::LateAnswer(SpanReference::current());
        let wake = move || queue.wake([name.clone()], &trigger);
        let trace_id = trace_id(&Span::current());
        record(&self.state, &sync.version.uid, pass, trace_id, wake);
    }

    /// Ends the reconcile before the first pass if there is nothing to do, or not yet.
    fn not_now(&self, sync: &ObservedSync) -> Option<Ended> {
        let is_done = sync.deleting && !sync.has_our_finalizer();
        if is_done || self.writer.permits.is_closed() {
            return Some(Ended::success(None));
        }
        let Version { uid, resource_version } = &sync.version;
        let now = Instant::now();
        if self.state.read(uid, |state| state.own_writes.is_behind(resource_version, now)) {
            return Some(Ended::outdated());
        }
        self.state.track(uid);
        // The watch may have delivered the deletion meanwhile. Checked after our own writes and
        // after tracking: both end with the deletion.
        if self.cache.sync_with_uid(uid).is_none() {
            self.state.forget(uid);
            return Some(Ended::success(None));
        }
        None
    }

    /// Whether this reconcile must verify the sync against live data. The first one must, if an
    /// earlier leader found its copies changed: that need not show in their metadata.
    fn take_verification(&self, sync: &ObservedSync) -> bool {
        let uid = &sync.version.uid;
        let is_suspect = reports(&sync.status, Reason::Contended);
        let is_due = self.state.take_verification(uid, is_suspect, rand::random(), Instant::now());
        if is_due {
            self.state.update_retries(uid, Retries::verifying);
        }
        is_due
    }

    /// The number of writes that are not retries.
    fn first_attempts(&self, uid: &str, plan: &Plan) -> usize {
        let writes = plan.steps.iter().filter(|(_, action)| action.is_write());
        let is_first = |retries: &Retries, at| retries.failures_at(at) == 0;
        self.state
            .read_retries(uid, |retries| writes.filter(|(at, _)| is_first(retries, at)).count())
    }

    /// Fails if this process is stopping: reads are cancelled.
    async fn observe(
        &self,
        sync: &ObservedSync,
        verify: bool,
        began: Instant,
    ) -> Result<Box<Observation>, NotLeading> {
        let uid = &sync.version.uid;
        let excerpt = self.state.read(uid, |state| state.excerpt.clone());
        let retries = self.state.retries(uid);
        let view = View::new(&self.cache, &self.reader, &self.reviewer);
        let view = View {
            held_back: retries.held_back(began),
            excerpt: excerpt.as_deref(),
            has_late_writes: self.lead.late_writes().is_some(),
            ..view
        };
        let observing = Box::pin(observe(view, sync, verify));
        self.writer.reads.unless_cancelled(observing).await.map(Box::new)
    }

    /// Applies our own patch of the finalizer to `sync` before the watch delivers it. Returns
    /// whether the cleanup is complete.
    fn finalizer_patched(
        &self,
        sync: &mut ObservedSync,
        plan: &Plan,
        resource_version: String,
    ) -> bool {
        let uid = &sync.version.uid;
        if plan.finalizer == FinalizerStep::Remove {
            root_span::record_cleaned_up();
            tracing::info!(sync = %sync.name, "cleaned up");
            self.state.cleaned_up(uid, Instant::now());
            return true;
        }
        self.wrote_sync(uid, &resource_version);
        sync.version.resource_version = resource_version;
        sync.finalizers.push(names::FINALIZER.to_owned());
        false
    }

    fn wrote_sync(&self, uid: &str, resource_version: &str) {
        self.state.update(uid, |state| state.own_writes.wrote(resource_version, Instant::now()));
    }

    /// Reports the result of the last pass, and records it.
    async fn finish(&self, observation: Box<Observation>, began: Instant) -> Result<Ended, Error> {
        let Observation { observed, reads, decision: Decision { desired, plan, .. } } =
            *observation;
        let uid = &observed.sync.version.uid;
        let wanted = Wanted::of(&observed.sync, &plan);
        let settled = Settled::of(plan);
        let Report { patch, summary, status } =
            self.report(&observed, &desired, &settled, began).await?;
        root_span::record_report(&observed, &settled, &summary, patch.as_ref());
        self.state.found(uid, summary.reason);
        self.record(&observed.sync, Pass { reported: patch.clone(), ..Pass::of(reads) });
        let is_hold = matches!(desired, Desired::Hold(_));
        let needs_write = |at: &NamespacedName| is_hold || settled.is_left(at);
        self.state.settled(uid, began, wanted, needs_write);
        if settled.retry_count() == 0 && !observed.writes_in_flight {
            let propagated = self.state.take_propagation(uid);
            if let Some(duration) = propagated.filter(|_| matches!(desired, Desired::Copies(_))) {
                self.metrics.copies.propagated(duration, status.last_trace_id);
            }
        }
        match patch {
            Some(SyncPatch::Conflict) => return Ok(Ended::outdated()),
            Some(SyncPatch::Failed(failure)) => {
                let (sync, summary) = (observed.sync.name.clone(), Box::new(summary));
                return Err(Error::PatchStatus { sync, summary, failure });
            }
            Some(SyncPatch::Unchanged | SyncPatch::Patched { .. }) | None => {}
        }
        let ended = Ended::success(self.state.next_retry(uid, began, Instant::now()));
        let waiting = settled.retry_count();
        if waiting > 0 {
            tracing::debug!(writes = waiting, "writes wait for a retry");
            return Ok(Ended { result: ReconcileResult::RequeueAfter, ..ended });
        }
        Ok(ended)
    }

    /// Computes the status, and reports it unless its last patch failed and the next one must wait.
    async fn report(
        &self,
        observed: &Observed,
        desired: &Desired,
        settled: &Settled,
        began: Instant,
    ) -> Result<Report, NotLeading> {
        let sync = &observed.sync;
        let uid = &sync.version.uid;
        let summary = summary(observed, desired, settled);
        let now = Time(Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default());
        let last_write = self.state.read(uid, |state| state.unreported_write.clone());
        let trace_id =
            self.state.failure_trace(uid, &summary).or_else(|| trace_id(&Span::current()));
        let last_write = last_write.as_deref();
        let status = status(observed, desired, settled, &now, last_write, trace_id.as_deref());
        if self.state.read_retries(uid, |retries| retries.held_back(began).status()) {
            return Ok(Report { patch: None, status, summary });
        }
        let patch = report(&self.reporter, &self.lead, sync, &status, &summary).await?;
        if let SyncPatch::Patched { resource_version } = &patch {
            self.wrote_sync(uid, resource_version);
            self.state.reported(uid, fingerprint(&status), Instant::now());
        }
        if matches!(patch, SyncPatch::Patched { .. } | SyncPatch::Unchanged) {
            self.state.status_says(uid, last_write);
        } else if let Some(trace_id) = trace_id {
            self.state.keep_failure(uid, &summary, trace_id);
        }
        Ok(Report { patch: Some(patch), status, summary })
    }
}

// === impl Report ===

impl Report {
    /// The patch, applied to `sync` before the watch delivers it.
    fn applied_to(self, sync: &mut ObservedSync) -> Option<SyncPatch> {
        if let Some(SyncPatch::Patched { resource_version }) = &self.patch {
            sync.version.resource_version.clone_from(resource_version);
            sync.status = self.status;
        }
        self.patch
    }
}
