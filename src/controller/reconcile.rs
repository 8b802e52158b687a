//! One reconcile for one sync.
//!
//! ```text
//! observe -> desired -> plan -> act -> record -> (again, until nothing is to be written)
//!                         '---> status -> report -> record
//! ```
//!
//! # Flow
//! A reconcile makes passes until a plan has no writes, and reports what the last one observed.
//! If something is left to do, the sync is requeued after the delay of its earliest retry.
//!
//! # Guarantees
//! * Level-triggered: no step knows why the reconcile was requested.
//! * Nothing is written without a [`Lead`].
//!
//! # Assumptions
//! * The three lists are complete.
//! * One reconcile runs per sync at a time.

mod error;

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use tracing::Instrument as _;
use tracing::Span;

use crate::api::ConfigMapSyncStatus;
use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::Reader;
use crate::controller::act::Writer;
use crate::controller::act::act;
use crate::controller::observe::Observation;
use crate::controller::observe::View;
use crate::controller::observe::observe;
use crate::controller::queue::Queue;
use crate::controller::reconcile::error::Error;
use crate::controller::record::record_failed_patch;
use crate::controller::record::record_outcome;
use crate::controller::record::record_reads;
use crate::controller::report::Reporter;
use crate::controller::report::report;
use crate::controller::state::State;
use crate::controller::sync_patch::SyncPatch;
use crate::decide::Observed;
use crate::decide::Plan;
use crate::decide::desired;
use crate::decide::observed::ObservedSync;
use crate::decide::observed::Version;
use crate::decide::plan;
use crate::decide::plan::FinalizerStep;
use crate::decide::status;
use crate::decide::status::LastWrite;
use crate::decide::status::Settled;
use crate::decide::status::summary;
use crate::election::Lead;
use crate::metrics::Metrics;
use crate::metrics::ReconcileResult;
use crate::names;
use crate::telemetry;
use crate::telemetry::trace_id;

/// For the finalizer, the copies, the old copies, a conflict, and one pass without writes.
const MAX_PASSES: usize = 5;
/// The status reports Progressing before more writes than this, not counting retries.
const MANY_WRITES: usize = 50;
/// How long to wait for the watch to deliver a newer version of the sync.
const WATCH_LAG: Duration = Duration::from_secs(5);

/// Reconciles syncs.
pub struct Reconciler {
    pub lead: Lead,
    pub cache: Arc<Cache>,
    pub reader: Arc<Reader>,
    pub writer: Arc<Writer>,
    pub reporter: Reporter,
    pub state: Arc<State>,
    pub queue: Arc<Queue>,
    pub metrics: Arc<Metrics>,
}

/// The end of a reconcile that did not fail.
#[derive(Clone, Copy, Debug)]
struct Ended {
    result: ReconcileResult,
    /// The delay until the next reconcile, unless an event comes first.
    requeue_after: Option<Duration>,
}

/// Reconciles the sync `name`, and requeues it if necessary.
pub async fn reconcile(reconciler: &Reconciler, name: NamespacedName) {
    if let Some(delay) = reconciler.measured(&name).await {
        reconciler.queue.push_later(name, delay);
    }
}

// === impl Ended ===

impl Ended {
    const fn success(requeue_after: Option<Duration>) -> Self {
        Self { result: ReconcileResult::Success, requeue_after }
    }
}

// === impl Reconciler ===

impl Reconciler {
    /// Runs a reconcile in its span, and counts it. Returns the delay until the next one.
    async fn measured(&self, name: &NamespacedName) -> Option<Duration> {
        // Before anything is read: a later request must lead to another reconcile.
        let queued = self.queue.pop(name);
        let sync = self.cache.sync(name)?;
        let uid = sync.version.uid.clone();
        self.metrics.reconciles.started(queued);
        let began = Instant::now();
        let span = tracing::info_span!(
            parent: None,
            telemetry::RECONCILE_SPAN,
            sync = %sync.name,
            uid = sync.version.uid,
            generation = sync.generation,
            queue_delay_ms = u64::try_from(queued.as_millis()).unwrap_or(u64::MAX),
            outcome = tracing::field::Empty,
            reason = tracing::field::Empty,
        );
        let ended = self.run(sync, began).instrument(span.clone()).await;
        let ended = ended.unwrap_or_else(|error| self.failed(&uid, error));
        span.record("outcome", <&str>::from(ended.result));
        self.metrics.reconciles.finished(ended.result, began.elapsed());
        ended.requeue_after
    }

    /// Logs and records why the reconcile as a whole failed.
    fn failed(&self, uid: &str, error: Error) -> Ended {
        let result = ReconcileResult::Error;
        let text = error.to_string();
        let (Error::PatchFinalizer { failure, .. } | Error::PatchStatus { failure, .. }) = error
        else {
            return Ended { result, requeue_after: None };
        };
        tracing::warn!(error = text, "reconcile failed; will retry");
        record_failed_patch(&self.state.retries, uid, failure);
        Ended { result, requeue_after: self.state.retries.next_retry(uid, Instant::now()) }
    }

    /// Makes passes until there is nothing to write, and reports.
    async fn run(&self, mut sync: ObservedSync, began: Instant) -> Result<Ended, Error> {
        let uid = sync.version.uid.clone();
        if let Some(ended) = self.not_now(&sync) {
            return Ok(ended);
        }
        let mut verify = self.take_verification(&uid);
        let mut copies_written = 0;
        // Kept until the last pass: the reader shares a content only while it is in use.
        let mut contents = Vec::new();
        let mut has_reported_progress = false;
        for _ in 0..MAX_PASSES {
            let (observed, plan) = self.observe_and_plan(&sync, verify, began).await;
            verify = false;
            if !plan.has_writes() {
                return self.finish(&observed, plan, copies_written, began).await;
            }
            if !has_reported_progress && self.first_attempts(&uid, &plan) > MANY_WRITES {
                has_reported_progress = true;
                if self.report_progress(&observed, &plan, &mut sync).await? == SyncPatch::Conflict {
                    return Ok(Ended::success(Some(WATCH_LAG)));
                }
            }
            let outcome = act(&self.writer, &self.lead, &sync, &plan).await?;
            copies_written += outcome.written();
            let finalizer = outcome.finalizer.clone();
            let (queue, name) = (Arc::clone(&self.queue), sync.name.clone());
            record_outcome(&self.state, &uid, outcome, move || queue.wake([name.clone()]));
            match finalizer {
                SyncPatch::Unchanged => {}
                SyncPatch::Patched { resource_version } => {
                    if self.finalizer_patched(&mut sync, &plan, resource_version) {
                        return Ok(Ended::success(None));
                    }
                }
                SyncPatch::Conflict => return Ok(Ended::success(Some(WATCH_LAG))),
                SyncPatch::Failed(failure) => {
                    return Err(Error::PatchFinalizer { sync: sync.name, failure });
                }
            }
            contents.extend(observed.source.into_content());
        }
        let (observed, plan) = self.observe_and_plan(&sync, false, began).await;
        self.queue.push(sync.name.clone());
        self.finish(&observed, plan, copies_written, began).await
    }

    /// Ends the reconcile before the first pass if there is nothing to do, or not yet.
    fn not_now(&self, sync: &ObservedSync) -> Option<Ended> {
        let is_done = sync.deleting && !sync.has_our_finalizer();
        if is_done || self.writer.permits.is_closed() {
            return Some(Ended::success(None));
        }
        let Version { uid, resource_version } = &sync.version;
        if self.state.own_writes.is_behind(uid, resource_version, Instant::now()) {
            return Some(Ended::success(Some(WATCH_LAG)));
        }
        // The watch may have delivered the deletion meanwhile. Checked after our own writes: they
        // are forgotten with the deletion.
        if self.cache.sync_with_uid(uid).is_none() {
            return Some(Ended::success(None));
        }
        self.state.own_writes.track(uid);
        None
    }

    /// Whether this reconcile must verify the sync against live data.
    fn take_verification(&self, uid: &str) -> bool {
        let is_due = self.state.verification.take_due(uid, rand::random(), Instant::now());
        if is_due {
            self.state.retries.verifying(uid);
        }
        is_due
    }

    /// The number of writes that are not retries.
    fn first_attempts(&self, uid: &str, plan: &Plan) -> usize {
        let writes = plan.steps.iter().filter(|(_, action)| action.is_write());
        writes.filter(|(at, _)| !self.state.retries.has_failed(uid, at)).count()
    }

    async fn observe_and_plan(
        &self,
        sync: &ObservedSync,
        verify: bool,
        began: Instant,
    ) -> (Observed, Plan) {
        let uid = &sync.version.uid;
        let excerpt = self.state.excerpts.get(uid);
        let held_back = self.state.retries.held_back(uid, began);
        let view = View::new(&self.cache, &self.reader);
        let view = View { held_back, excerpt: excerpt.as_ref(), ..view };
        let span = tracing::info_span!("observe", verify);
        let Observation { observed, reads } = observe(view, sync, verify).instrument(span).await;
        record_reads(&self.state, uid, reads);
        let plan = tracing::info_span!("plan").in_scope(|| plan(&observed, &desired(&observed)));
        (observed, plan)
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
            tracing::info!(sync = %sync.name, "cleaned up");
            self.state.cleaned_up(uid, Instant::now());
            return true;
        }
        self.state.own_writes.wrote(uid, resource_version.clone(), Instant::now());
        sync.version.resource_version = resource_version;
        sync.finalizers.push(names::FINALIZER.to_owned());
        false
    }

    /// Reports Progressing before the first of many writes.
    async fn report_progress(
        &self,
        observed: &Observed,
        plan: &Plan,
        sync: &mut ObservedSync,
    ) -> Result<SyncPatch, Error> {
        let (reported, status) = self.report(observed, &Settled::of(plan.clone()), 0).await?;
        if let SyncPatch::Patched { resource_version } = &reported {
            sync.version.resource_version.clone_from(resource_version);
            sync.status = status;
        }
        Ok(reported)
    }

    /// Reports the result of the last pass.
    async fn finish(
        &self,
        observed: &Observed,
        plan: Plan,
        copies_written: usize,
        began: Instant,
    ) -> Result<Ended, Error> {
        let uid = &observed.sync.version.uid;
        let settled = Settled::of(plan);
        if self.report(observed, &settled, copies_written).await?.0 == SyncPatch::Conflict {
            return Ok(Ended::success(Some(WATCH_LAG)));
        }
        self.state.retries.reconciled(uid, |at| settled.is_left(at), began);
        let waiting = settled.retry_count();
        let result = if waiting > 0 {
            tracing::debug!(copies = waiting, "copies wait for a retry");
            ReconcileResult::RequeueAfter
        } else {
            ReconcileResult::Success
        };
        let requeue_after = self.state.retries.next_retry(uid, Instant::now());
        Ok(Ended { result, requeue_after })
    }

    /// Computes and reports the status. Returns it.
    async fn report(
        &self,
        observed: &Observed,
        settled: &Settled,
        copies_written: usize,
    ) -> Result<(SyncPatch, ConfigMapSyncStatus), Error> {
        let sync = &observed.sync;
        let desired = desired(observed);
        let summary = summary(observed, &desired, settled);
        Span::current().record("reason", summary.reason.as_str());
        let now = Time(Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default());
        let wrote = (copies_written > 0)
            .then(|| LastWrite { at: now.clone(), trace_id: trace_id(&Span::current()) });
        let status = status(observed, &desired, settled, &now, wrote.as_ref());
        let reported = report(&self.reporter, &self.lead, sync, &status, &summary).await?;
        match &reported {
            SyncPatch::Patched { resource_version } => {
                let own_writes = &self.state.own_writes;
                own_writes.wrote(&sync.version.uid, resource_version.clone(), Instant::now());
            }
            SyncPatch::Failed(failure) => {
                let (sync, summary) = (sync.name.clone(), Box::new(summary));
                return Err(Error::PatchStatus { sync, summary, failure: failure.clone() });
            }
            SyncPatch::Unchanged | SyncPatch::Conflict => {}
        }
        Ok((reported, status))
    }
}
