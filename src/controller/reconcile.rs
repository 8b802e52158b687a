//! One round for one sync.
//!
//! ```text
//! observe -> desired -> plan -> act -> (again, until nothing is asked for) -> status -> report
//! ```
//!
//! Flow: a round makes passes until a plan asks for nothing, so that what it reports is what it
//! saw afterwards. Guarantees: level-triggered, so nobody asks why it was called; one round per
//! sync at a time; nothing is written without a `Lead`. Assumption: the three lists are complete.
//! A round that leaves something undone is followed by another, after the delay that its failures
//! call for.

use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use tracing::Instrument as _;
use tracing::Span;

use crate::api::ConfigMapSyncStatus;
use crate::api::namespaced_name::NamespacedName;
use crate::controller::Context;
use crate::controller::act::Outcome;
use crate::controller::act::act;
use crate::controller::error::Error;
use crate::controller::memory::Attempt;
use crate::controller::observe::observe;
use crate::controller::report::Reported;
use crate::controller::report::report;
use crate::decide::Observed;
use crate::decide::Plan;
use crate::decide::desired;
use crate::decide::observed::ObservedSync;
use crate::decide::plan;
use crate::decide::plan::FinalizerStep;
use crate::decide::status;
use crate::decide::status::LastWrite;
use crate::decide::status::Settled;
use crate::decide::status::summary;
use crate::metrics::ReconcileResult;
use crate::names;
use crate::telemetry;
use crate::telemetry::trace_id;

/// Finalizer, copies, old copies, and one more that finds nothing to do; and one to look again.
const MAX_PASSES: usize = 5;
/// A round that is about to write more copies than this says so first. Retries are no news.
const MANY_WRITES: usize = 50;
/// How long to wait for a watch to show what we know has changed.
const WATCH_LAG: Duration = Duration::from_secs(5);

/// Runs one round, and asks for another after the delay that its failures call for.
pub async fn reconcile(context: &Arc<Context>, name: NamespacedName) {
    if let Some(delay) = measured_round(context, &name).await {
        context.queue.push_later(name, delay);
    }
}

/// Runs one round, and tells after what time to look again if no event comes.
async fn measured_round(context: &Arc<Context>, name: &NamespacedName) -> Option<Duration> {
    // First: whoever asks from here on gets another round.
    let queued = context.queue.pop(name);
    let sync = context.cache.sync(name)?;
    let uid = sync.version.uid.clone();
    context.metrics.reconciles.started(queued);
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
    let result = round(context, sync, began).instrument(span.clone()).await;
    let outcome = match &result {
        Ok(_) => ReconcileResult::Success,
        Err(Error::Copies { .. }) => ReconcileResult::RequeueAfter,
        Err(_) => ReconcileResult::Error,
    };
    span.record("outcome", <&str>::from(outcome));
    context.metrics.reconciles.finished(outcome, began.elapsed());
    result.unwrap_or_else(|error| after(&error, &uid, context))
}

/// After what time to look again, when a round has failed.
fn after(error: &Error, uid: &str, context: &Context) -> Option<Duration> {
    match error {
        Error::NotLeading(_) => return None,
        Error::Copies { .. } => tracing::debug!(%error, "the round left something undone"),
        Error::PatchFinalizer { refusal, .. } | Error::PatchStatus { refusal, .. } => {
            tracing::warn!(%error, "the round failed; it is tried again");
            let (attempt, refusal) = (Attempt::default(), refusal.clone());
            context.memory.failed(uid, attempt, refusal, Instant::now());
        }
    }
    context.memory.next_retry(uid, Instant::now())
}

async fn round(
    context: &Arc<Context>,
    mut sync: ObservedSync,
    began: Instant,
) -> Result<Option<Duration>, Error> {
    let uid = sync.version.uid.clone();
    let is_done = sync.deleting && !sync.has_our_finalizer();
    if is_done || context.is_stopping() {
        return Ok(None);
    }
    if context.memory.is_behind(&uid, &sync.version.resource_version, Instant::now()) {
        return Ok(Some(WATCH_LAG));
    }
    // Its watch may have shown so since this round looked it up. Asked after the question above:
    // what was cleaned up is forgotten only when it is known to be gone.
    if context.cache.sync_with_uid(&uid).is_none() {
        return Ok(None);
    }
    let mut verify = context.memory.verification_is_due(&uid, rand::random(), Instant::now());
    let mut copies_written = 0;
    // Held from pass to pass, so that a source that was read for one is at hand for the next.
    let mut held = Vec::new();
    let mut is_announced = false;
    for _ in 0..MAX_PASSES {
        let (observed, plan) = look(context, &sync, verify, began).await;
        verify = false;
        if !plan.has_writes() {
            return finish(context, &observed, plan, copies_written, began).await;
        }
        if !is_announced && first_attempts(context, &uid, &plan) > MANY_WRITES {
            is_announced = true;
            if announce(context, &observed, &plan, &mut sync).await? == Reported::Stale {
                return Ok(Some(WATCH_LAG));
            }
        }
        let outcome = act(context, &context.lead, &sync, &plan).await?;
        copies_written += outcome.copies_written;
        if outcome.sync_is_stale {
            return Ok(Some(WATCH_LAG));
        }
        if plan.finalizer == FinalizerStep::Remove {
            tracing::info!(sync = %sync.name, "cleaned up");
            context.memory.cleaned_up(&uid, Instant::now());
            return Ok(None);
        }
        take_over(context, &mut sync, &plan, outcome);
        held.extend(observed.source.into_content());
    }
    let (observed, plan) = look(context, &sync, false, began).await;
    context.queue.push(sync.name.clone());
    finish(context, &observed, plan, copies_written, began).await
}

/// How many writes are no retries.
fn first_attempts(context: &Context, sync_uid: &str, plan: &Plan) -> usize {
    let writes = plan.steps.iter().filter(|(_, action)| action.is_write());
    writes.filter(|(at, _)| !context.memory.has_failed(sync_uid, at)).count()
}

async fn look(
    context: &Context,
    sync: &ObservedSync,
    verify: bool,
    began: Instant,
) -> (Observed, Plan) {
    let span = tracing::info_span!("observe", verify);
    let observed = observe(context.view(began), sync, verify).instrument(span).await;
    let plan = tracing::info_span!("plan").in_scope(|| plan(&observed, &desired(&observed)));
    (observed, plan)
}

/// What we wrote to the sync ourselves is known before its watch shows it.
fn take_over(context: &Context, sync: &mut ObservedSync, plan: &Plan, outcome: Outcome) {
    if let Some(resource_version) = outcome.sync_resource_version {
        context.memory.wrote(&sync.version.uid, resource_version.clone(), Instant::now());
        sync.version.resource_version = resource_version;
        if plan.finalizer == FinalizerStep::Add {
            sync.finalizers.push(names::FINALIZER.to_owned());
        }
    }
}

/// Says that many copies are about to be written, before the first of them is.
async fn announce(
    context: &Context,
    observed: &Observed,
    plan: &Plan,
    sync: &mut ObservedSync,
) -> Result<Reported, Error> {
    let (reported, status) = tell(context, observed, &Settled::of(plan.clone()), 0).await?;
    if let Reported::Written(resource_version) = &reported {
        sync.version.resource_version.clone_from(resource_version);
        sync.status = status;
    }
    Ok(reported)
}

/// Reports what the last look saw, and tells when to look again.
async fn finish(
    context: &Context,
    observed: &Observed,
    plan: Plan,
    copies_written: usize,
    began: Instant,
) -> Result<Option<Duration>, Error> {
    let sync = &observed.sync;
    let uid = &sync.version.uid;
    let settled = Settled::of(plan);
    if tell(context, observed, &settled, copies_written).await?.0 == Reported::Stale {
        return Ok(Some(WATCH_LAG));
    }
    context.memory.settled(uid, |at| settled.is_left(at), began);
    let failed = settled.retry_count();
    if failed > 0 {
        let worst = summary(observed, &desired(observed), &settled).message;
        return Err(Error::Copies { sync: sync.name.clone(), failed, worst });
    }
    Ok(context.memory.next_retry(uid, Instant::now()))
}

/// Reports what was seen, as far as it is news.
async fn tell(
    context: &Context,
    observed: &Observed,
    settled: &Settled,
    copies_written: usize,
) -> Result<(Reported, ConfigMapSyncStatus), Error> {
    let sync = &observed.sync;
    let desired = desired(observed);
    let verdict = summary(observed, &desired, settled);
    Span::current().record("reason", verdict.reason.as_str());
    let now = Time(Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default());
    let wrote = (copies_written > 0)
        .then(|| LastWrite { at: now.clone(), trace_id: trace_id(&Span::current()) });
    let status = status(observed, &desired, settled, &now, wrote.as_ref());
    let reported = report(context, &context.lead, sync, &status, &verdict).await?;
    if let Reported::Written(resource_version) = &reported {
        context.memory.wrote(&sync.version.uid, resource_version.clone(), Instant::now());
    }
    Ok((reported, status))
}
