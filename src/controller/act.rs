//! The step that writes copies and finalizers.
//!
//! # Guarantees
//! * Nothing is written without a live [`Lead`].
//! * Each write is conditional on the version that it was decided on.
//! * One failing destination does not stop the others: [`Outcome`] has a result for each.
//! * Nothing is recorded for retries: the caller does that.

mod copies;
mod write;
mod writer;

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use tracing::Instrument as _;

pub use copies::DestinationOutcome;
pub use copies::Late;
pub use write::Answered;
pub use write::Write;
pub use write::WriteResult;
pub use writer::Writer;

use crate::access::rule;
use crate::api::namespaced_name::NamespacedName;
use crate::controller::act::copies::send_all;
use crate::decide::Action;
use crate::decide::Plan;
use crate::decide::contention::purpose;
use crate::decide::observed::ObservedSync;
use crate::decide::plan::FinalizerStep;
use crate::election::Lead;
use crate::kubernetes::calls;
use crate::kubernetes::error::NotLeading;
use crate::kubernetes::requests;
use crate::kubernetes::sync_patch::SyncPatch;
use crate::names;
use crate::reviews::Consents;
use crate::state::History;

/// What happened when a plan was carried out.
pub struct Outcome {
    /// What happened at each destination that was to be written.
    pub results: BTreeMap<NamespacedName, DestinationOutcome>,
    /// If it failed or conflicted, no copy was written.
    pub finalizer: SyncPatch,
    /// The writes in flight, and those that wait for a permit.
    pub late: Late,
}

/// Carries out `plan`: first the finalizer, then, if that succeeded, the copies. `history` is what
/// earlier reconciles left, `consents` what the plan rests on.
///
/// Fails if this process no longer leads, or is stopping.
pub async fn act(
    writer: &Arc<Writer>,
    lead: &Lead,
    sync: &ObservedSync,
    plan: &Plan,
    history: &History,
    consents: &Consents,
) -> Result<Outcome, NotLeading> {
    let finalizer = patch_finalizer(&writer.client, lead, sync, &plan.finalizer).await?;
    let (results, late) = match finalizer {
        SyncPatch::Unchanged | SyncPatch::Patched { .. } => {
            let steps = plan.steps.iter().filter(|(_, action)| action.is_write());
            let write = |at: &NamespacedName, action: &Action| {
                let purpose = purpose(sync, plan, action, history.last_wanted.as_ref());
                let attempt = history.retries.failures_at(at) + 1;
                let sync = sync.name.to_string();
                let latest_start = consents.latest_start(at, action);
                let (at, action) = (at.clone(), action.clone());
                Write { sync, at, action, purpose, attempt, latest_start }
            };
            send_all(writer, lead, sync, steps, write).await?
        }
        SyncPatch::Conflict | SyncPatch::Failed(_) => (BTreeMap::new(), Late::default()),
    };
    Ok(Outcome { results, finalizer, late })
}

// === impl Outcome ===

impl Outcome {
    /// The number of copies that were written.
    pub fn written(&self) -> usize {
        let is_written = |it: &&DestinationOutcome| match it {
            DestinationOutcome::Answered(answered) => answered.result.is_written(),
            DestinationOutcome::InFlight | DestinationOutcome::Waiting => false,
        };
        self.results.values().filter(is_written).count()
    }

    /// The outcome of a plan without writes.
    #[must_use]
    pub fn nothing() -> Self {
        Self { results: BTreeMap::new(), finalizer: SyncPatch::Unchanged, late: Late::default() }
    }
}

async fn patch_finalizer(
    client: &Client,
    lead: &Lead,
    sync: &ObservedSync,
    step: &FinalizerStep,
) -> Result<SyncPatch, NotLeading> {
    let patch = match step {
        FinalizerStep::Keep | FinalizerStep::Wait(_) => return Ok(SyncPatch::Unchanged),
        FinalizerStep::Add => requests::add_finalizer(&sync.version, &sync.finalizers),
        FinalizerStep::Remove => requests::remove_finalizer(&sync.version, &sync.finalizers),
    };
    lead.remaining()?;
    let name = &sync.name;
    let span = tracing::info_span!("patch finalizer", sync = %name, ?step);
    let patched = calls::patch_finalizers(client, name, patch).instrument(span.clone()).await;
    let outcome = SyncPatch::of(client, sync, patched).instrument(span.clone()).await?;
    outcome.mark(&span);
    Ok(outcome)
}

/// Permissions for writes of copies, of their markers, and of the finalizer.
pub fn access() -> Vec<PolicyRule> {
    vec![
        rule("", "configmaps", &["create", "delete", "patch"]),
        rule(names::GROUP, "configmapsyncs", &["patch", names::VERB_STAMP]),
    ]
}
