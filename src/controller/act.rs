//! Carries a plan out: every write to copies and finalizers happens here.
//!
//! Contract: nothing is written without a live [`Lead`]; creates are POSTs, updates are JSON
//! patches that carry the resourceVersion they were decided on, deletes carry preconditions. What
//! an answer tells goes into the cache at once. One failing destination does not stop the
//! others: its failure is remembered, and shows up in what is observed next.

mod fence;
mod writes;

use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::PolicyRule;
use tokio::sync::OwnedSemaphorePermit;
use tracing::Instrument as _;

use crate::access::rule;
use crate::api::namespaced_name::NamespacedName;
use crate::cache::Origin;
use crate::controller::Context;
use crate::controller::error::Error;
use crate::controller::memory::Attempt;
use crate::decide::Action;
use crate::decide::Content;
use crate::decide::ContentHash;
use crate::decide::Plan;
use crate::decide::observed::ObservedSync;
use crate::decide::observed::Version;
use crate::decide::plan::FinalizerStep;
use crate::decide::reason::Reason;
use crate::decide::status::ready_reason;
use crate::election::Lead;
use crate::kubernetes::calls;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::CallError;
use crate::kubernetes::error::NotLeading;
use crate::kubernetes::requests;
use crate::names;

/// What came of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// How many copies were written.
    pub copies_written: usize,
    /// The sync turned out to be another than was seen: its watch will show it.
    pub sync_is_stale: bool,
    /// The resourceVersion of the sync after its finalizer was patched.
    pub sync_resource_version: Option<String>,
}

/// On whose behalf a copy is written.
#[derive(Clone, Debug)]
pub struct Errand {
    /// uid of the sync.
    pub sync_uid: String,
    /// Hash of what is to be in the copy, if anything is.
    pub content_hash: Option<ContentHash>,
    /// It does no more than an earlier round had done already: somebody else has undone that.
    pub is_repair: bool,
}

/// Carries `plan` out.
///
/// # Errors
/// We no longer lead, or the finalizer could not be patched. Failures of destinations are not
/// errors: they are remembered and observed.
pub async fn act(
    context: &Arc<Context>,
    lead: &Lead,
    sync: &ObservedSync,
    plan: &Plan,
) -> Result<Outcome, Error> {
    let mut outcome = Outcome::default();
    if plan.finalizer != FinalizerStep::Keep {
        outcome.sync_resource_version =
            patch_finalizer(context, lead, sync, plan.finalizer).await?;
        if outcome.sync_resource_version.is_none() {
            outcome.sync_is_stale = true;
            return Ok(outcome);
        }
    }
    outcome.copies_written = writes::send_all(context, lead, sync, plan).await?;
    Ok(outcome)
}

/// Adds or removes our finalizer; the new resourceVersion, or `None` if the sync is not as it
/// was seen.
async fn patch_finalizer(
    context: &Context,
    lead: &Lead,
    sync: &ObservedSync,
    step: FinalizerStep,
) -> Result<Option<String>, Error> {
    lead.remaining()?;
    let name = &sync.name;
    let patch = match step {
        FinalizerStep::Add => requests::add_finalizer(&sync.version, &sync.finalizers),
        FinalizerStep::Keep | FinalizerStep::Remove => {
            requests::remove_finalizer(&sync.version, &sync.finalizers)
        }
    };
    let span = tracing::info_span!("patch finalizer", sync = %name, ?step);
    match calls::patch_finalizers(&context.client, name, patch).instrument(span).await {
        Ok(patched) => Ok(Some(patched.resource_version.unwrap_or_default())),
        Err(CallError::Conflict) => Ok(None),
        Err(CallError::Failed(refusal) | CallError::Fenced(refusal)) => {
            Err(Error::PatchFinalizer { sync: name.clone(), refusal })
        }
        Err(CallError::NotLeading(error)) => Err(error.into()),
    }
}

/// The right to send one write more, of the few that may be in flight at a time.
///
/// # Errors
/// We are about to stop.
pub async fn permit(context: &Context) -> Result<OwnedSemaphorePermit, NotLeading> {
    let permits = Arc::clone(&context.write_permits);
    let permit = permits.acquire_owned().await.map_err(|_| NotLeading)?;
    if context.is_stopping() { Err(NotLeading) } else { Ok(permit) }
}

/// Carries one step out, under a [`permit`]. Whether a copy was written.
///
/// # Errors
/// We no longer lead.
pub async fn write(
    context: &Context,
    lead: &Lead,
    errand: &Errand,
    at: &NamespacedName,
    action: &Action,
) -> Result<bool, NotLeading> {
    let verb = action.verb();
    let span = tracing::info_span!(
        "write copy",
        otel.name = format!("{verb} copy"),
        destination = %at,
        resource_version = tracing::field::Empty,
        reason = tracing::field::Empty,
    );
    let Errand { sync_uid, content_hash, is_repair } = errand;
    let is_repair = *is_repair;
    // Before it is sent: what is refused is refused by this namespace, not by one that follows it.
    let attempt = Attempt::on(at, &context.cache, content_hash.clone());
    let result = fence::send(context, lead, at, action).instrument(span.clone()).await?;
    context.metrics.copies.count_write(verb, result.is_ok());
    match result {
        Ok(resource_version) => {
            span.record("resource_version", resource_version.unwrap_or_default());
            context.memory.succeeded(sync_uid, &Some(at.clone()));
            if is_repair {
                context.memory.changed_by_others(
                    sync_uid,
                    at,
                    attempt.namespace_uid,
                    Instant::now(),
                );
            }
            span.in_scope(|| tracing::info!(destination = %at, action = verb, "copy written"));
            Ok(true)
        }
        Err(CallError::Conflict) => {
            span.record("reason", "LookAgain");
            if !matches!(action, Action::Create(_)) {
                let namespace_uid = attempt.namespace_uid.clone();
                context.memory.changed_by_others(sync_uid, at, namespace_uid, Instant::now());
            }
            if let Err(refusal) = context.reader.refresh(at).instrument(span).await {
                context.memory.failed(sync_uid, attempt, refusal, Instant::now());
            }
            Ok(false)
        }
        Err(CallError::NotLeading(error)) => Err(error),
        Err(CallError::Failed(refusal) | CallError::Fenced(refusal)) => {
            span.record("reason", refusal.failure.reason.as_str());
            span.in_scope(|| note_refusal(at, verb, &refusal));
            context.memory.failed(sync_uid, attempt, refusal, Instant::now());
            Ok(false)
        }
    }
}

// === impl Errand ===

impl Errand {
    fn of(sync: &ObservedSync, plan: &Plan, action: &Action) -> Self {
        Self {
            sync_uid: sync.version.uid.clone(),
            content_hash: plan.content_hash.clone(),
            is_repair: is_repair(sync, plan, action),
        }
    }
}

/// Whether a write does no more than what an earlier round had done already: then somebody else
/// has undone it.
fn is_repair(sync: &ObservedSync, plan: &Plan, action: &Action) -> bool {
    let status = &sync.status;
    let was_done = status.content_hash.as_deref().map(ContentHash::from_text) == plan.content_hash
        && status.observed_generation == sync.generation
        && ready_reason(status) != Some(Reason::Progressing.as_str());
    let writes_content = !matches!(action, Action::Delete { .. } | Action::Release { .. });
    was_done && writes_content
}

fn note_refusal(at: &NamespacedName, verb: &str, refusal: &ApiFailure) {
    tracing::warn!(
        destination = %at,
        action = verb,
        reason = %refusal.failure.reason,
        error = refusal.failure.message,
        "copy not written; it is tried again"
    );
}

type Sent = Result<Option<String>, CallError>;

async fn send(
    context: &Context,
    lead: &Lead,
    at: &NamespacedName,
    action: &Action,
) -> Result<Sent, NotLeading> {
    lead.remaining()?;
    Ok(match action {
        Action::Create(copy) => post(context, at, requests::new_copy(at, copy)).await,
        Action::Update { seen, stamp, content } => {
            let request = requests::update(seen, stamp, content);
            patch(context, at, seen, request, Some(content)).await
        }
        Action::Restamp { seen, stamp } | Action::Release { seen, stamp } => {
            patch(context, at, seen, requests::restamp(seen, stamp), None).await
        }
        Action::Delete { seen } => delete(context, at, seen).await,
        Action::Replace { seen, copy } => match delete(context, at, seen).await {
            Ok(_) => {
                lead.remaining()?;
                post(context, at, requests::new_copy(at, copy)).await
            }
            refused => refused,
        },
        Action::Keep | Action::Leave(_) => Ok(None),
    })
}

async fn post(context: &Context, at: &NamespacedName, copy: ConfigMap) -> Sent {
    let created = calls::post(&context.client, at, copy).await?;
    context.cache.apply_config_map(&created, Origin::Write);
    Ok(created.resource_version)
}

async fn patch(
    context: &Context,
    at: &NamespacedName,
    seen: &Version,
    patch: json_patch::Patch,
    written: Option<&Content>,
) -> Sent {
    let patched = calls::patch(&context.client, at, patch).await?;
    context.cache.record_patch(&patched, seen, written);
    Ok(patched.resource_version)
}

async fn delete(context: &Context, at: &NamespacedName, seen: &Version) -> Sent {
    match calls::delete(&context.client, at, seen).await? {
        Some(left) => context.cache.apply_config_map(&left, Origin::Write),
        None => context.cache.remove_config_map(at, Some(&seen.uid), Origin::Write),
    };
    Ok(None)
}

/// What acting needs: writes of copies, of their markers, and of the finalizer.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    vec![
        rule("", "configmaps", &["create", "delete", "patch"]),
        rule(names::GROUP, "configmapsyncs", &["patch", names::VERB_STAMP]),
    ]
}
