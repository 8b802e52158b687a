//! Sweeps up what `ConfigMapSyncs` that are no more have left behind.
//!
//! Looks every minute, and soon after a sync has died with copies left. Candidates come out of the
//! cache, so that a look costs nothing; only what is due is looked at live: the kind, which
//! must be established, the sync, and the copy itself. `decide` says what becomes of it, twice:
//! before those looks, and after. Nothing is swept while a list is incomplete.

mod brake;
mod deaths;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use futures::StreamExt as _;
use futures::stream;
use tokio::time::sleep;
use tokio::time::timeout;
use tracing::Instrument as _;

pub use deaths::Sweeper;

use crate::api::namespaced_name::NamespacedName;
use crate::controller::Context;
use crate::controller::act::Errand;
use crate::controller::act::permit;
use crate::controller::act::write;
use crate::controller::collect::brake::tell;
use crate::controller::memory::Attempt;
use crate::decide::orphans::CollectionMode;
use crate::decide::orphans::CollectionPlan;
use crate::decide::orphans::KeepReason;
use crate::decide::orphans::ObservedOrphans;
use crate::decide::orphans::OrphanCandidate;
use crate::decide::orphans::OrphanStep;
use crate::decide::orphans::plan_collection;
use crate::orphans::Owners;
use crate::orphans::candidates;
use crate::orphans::ensure_established;
use crate::orphans::read_owners;
use crate::orphans::refresh_candidates;
use crate::telemetry;

/// How long to wait after a sync has died: one that is replaced may be there again in a moment.
const SETTLE: Duration = Duration::from_secs(5);
/// How long until another attempt at what should not have to wait for the next look.
const RETRY: Duration = Duration::from_secs(15);

/// What is remembered from sweep to sweep, for one term.
#[derive(Default)]
struct Term {
    /// When each orphan was first seen, by the uids of copy and sync.
    sighted: HashMap<(String, String), Instant>,
    /// Whether the brake holds.
    is_held: bool,
    /// What was said last to stand in the way.
    complaint: Option<String>,
}

/// Sweeps until the controller stops.
pub(super) async fn run(context: Arc<Context>) {
    let mut term = Term::default();
    while !context.is_stopping() {
        if !context.startup.is_complete() {
            tokio::select! {
                () = context.startup.wait_until_complete() => {}
                () = context.sweeper.woken() => {}
            }
            continue;
        }
        let pause = look(&context, &mut term).await;
        tokio::select! {
            () = sleep(pause) => {}
            () = context.sweeper.woken() => {
                if !context.is_stopping() {
                    // Woken once more, it goes on at once: what comes is to be dealt with anyway.
                    let _ = timeout(SETTLE, context.sweeper.woken()).await;
                }
            }
        }
    }
}

/// One look. How long until the next.
async fn look(context: &Context, term: &mut Term) -> Duration {
    let period = context.settings.sweep_period;
    let now = Instant::now();
    let orphans = gather(context, term, &Owners::default(), now);
    term.forget_all_but(&orphans.candidates, context);
    context.sweeper.forget_old(&orphans.candidates, now);
    let verdict = plan_collection(&orphans);
    tell(context, verdict.brake, &mut term.is_held).await;
    if verdict.unconfirmed().next().is_none() {
        return verdict.next_due().map_or(period, |due| due.min(period));
    }
    let span = tracing::info_span!(
        parent: None,
        telemetry::ORPHAN_COLLECTION_SPAN,
        orphans = orphans.candidates.len(),
        due = verdict.unconfirmed().count(),
    );
    let verdict = act(context, term, &orphans, &verdict).instrument(span).await;
    let is_urgent = |(at, step): (&NamespacedName, &OrphanStep)| {
        let undone =
            matches!(step, OrphanStep::Keep(KeepReason::OwnerUnknown(_) | KeepReason::Failed(_)));
        undone && orphans.candidates.get(at).is_some_and(|candidate| candidate.seen_alive)
    };
    let is_urgent = verdict.steps.iter().any(is_urgent);
    let pause = if is_urgent { period.min(RETRY) } else { period };
    verdict.next_due().map_or(pause, |due| due.min(pause))
}

/// Asks for what is due, decides again, and does it.
async fn act(
    context: &Context,
    term: &mut Term,
    orphans: &ObservedOrphans,
    verdict: &CollectionPlan,
) -> CollectionPlan {
    if let Err(why) = ensure_established(&context.client).await {
        term.complain(Some(&why));
        return verdict.clone();
    }
    let due: BTreeMap<_, _> = verdict
        .unconfirmed()
        .filter_map(|at| Some((at.clone(), orphans.candidates.get(at)?.clone())))
        .collect();
    for (at, refusal) in refresh_candidates(&context.reader, &due).await {
        let sync_uid = &due[at].markers.sync_uid;
        let attempt = Attempt::on(at, &context.cache, None);
        context.memory.failed(sync_uid, attempt, refusal, Instant::now());
    }
    let owners = read_owners(&context.client, &context.cache, due.values()).await;
    let verdict = plan_collection(&gather(context, term, &owners, Instant::now()));
    let unknown = verdict.steps.values().find_map(|step| match step {
        OrphanStep::Keep(KeepReason::OwnerUnknown(why)) => Some(why.as_str()),
        _ => None,
    });
    term.complain(unknown);
    carry_out(context, &due, &verdict).await;
    verdict
}

async fn carry_out(
    context: &Context,
    due: &BTreeMap<NamespacedName, OrphanCandidate>,
    verdict: &CollectionPlan,
) {
    let writes: Vec<_> = verdict
        .steps
        .iter()
        .filter_map(|(at, step)| {
            let (action, candidate) = (step.action()?, due.get(at)?);
            Some(async move {
                let verb = action.verb();
                let sync_uid = candidate.markers.sync_uid.clone();
                let errand = Errand { sync_uid, content_hash: None, is_repair: false };
                // No longer leading is the end of the process, and so of this task.
                let Ok(_permit) = permit(context).await else { return };
                let written = write(context, &context.lead, &errand, at, &action).await;
                if written == Ok(true) {
                    context.metrics.copies.count_collected(verb);
                    let sync = candidate.markers.sync.as_deref().unwrap_or_default();
                    tracing::info!(destination = %at, sync, action = verb, "orphan swept");
                }
            })
        })
        .collect();
    let concurrent = context.settings.max_concurrent_writes;
    stream::iter(writes).buffer_unordered(concurrent).collect::<()>().await;
}

/// The orphans as the cache and this term know them.
fn gather(context: &Context, term: &mut Term, owners: &Owners, now: Instant) -> ObservedOrphans {
    let mut candidates = candidates(&context.cache, owners);
    for (at, candidate) in &mut candidates {
        let sync_uid = &candidate.markers.sync_uid;
        let key = (candidate.version.uid.clone(), sync_uid.clone());
        let sighted = *term.sighted.entry(key).or_insert(now);
        candidate.known_for = now.saturating_duration_since(sighted);
        candidate.seen_alive = context.sweeper.left_behind(&context.cache, at);
        let namespace_uid = context.cache.namespace(&at.namespace).1;
        let held = context.memory.held_at(sync_uid, at, namespace_uid.as_deref(), now);
        candidate.pending_retry = held.map(|held| held.failure);
    }
    ObservedOrphans {
        candidates,
        marked_copies: context.cache.marked_copies(),
        mode: CollectionMode::Automatic(context.settings.orphan_grace),
    }
}

// === impl Term ===

impl Term {
    /// Says what stands in the way, once until it changes.
    fn complain(&mut self, why: Option<&str>) {
        if let Some(why) = why
            && self.complaint.as_deref() != Some(why)
        {
            tracing::warn!(error = why, "orphans are not swept; looking again");
        }
        self.complaint = why.map(ToOwned::to_owned);
    }

    /// Forgets what is no orphan any more, and what was remembered of its sync.
    fn forget_all_but(
        &mut self,
        orphans: &BTreeMap<NamespacedName, OrphanCandidate>,
        context: &Context,
    ) {
        let uids: HashSet<_> = orphans
            .values()
            .map(|it| (it.version.uid.as_str(), it.markers.sync_uid.as_str()))
            .collect();
        let syncs: HashSet<_> = uids.iter().map(|(_, sync)| *sync).collect();
        self.sighted.retain(|(copy, sync), _| {
            let is_orphan = uids.contains(&(copy.as_str(), sync.as_str()));
            if !syncs.contains(sync.as_str()) && context.cache.sync_with_uid(sync).is_none() {
                context.memory.forget(sync);
            }
            is_orphan
        });
    }
}
