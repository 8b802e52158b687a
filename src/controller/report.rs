//! The step that writes the status, and an Event when its reason changes.

use std::sync::Arc;

use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use tracing::Instrument as _;

use crate::access::rule;
use crate::api::ConfigMapSyncStatus;
use crate::decide::Failure;
use crate::decide::observed::ObservedSync;
use crate::decide::reason::Reason;
use crate::decide::status::is_worth_writing;
use crate::decide::status::ready_reason;
use crate::election::Lead;
use crate::kubernetes::calls;
use crate::kubernetes::error::NotLeading;
use crate::kubernetes::events::Events;
use crate::kubernetes::events::event_of;
use crate::kubernetes::sync_patch::SyncPatch;
use crate::metrics::Metrics;
use crate::names;
use crate::telemetry::trace_id;

/// Writes statuses and Events.
pub struct Reporter {
    pub client: Client,
    pub events: Arc<Events>,
    pub metrics: Arc<Metrics>,
}

/// Writes `status` if it differs from the observed one, and an Event if its reason differs. There is
/// no Event for Progressing, which another reason follows soon. Does not wait for the Event. Fails if
/// this process no longer leads.
pub async fn report(
    reporter: &Reporter,
    lead: &Lead,
    sync: &ObservedSync,
    status: &ConfigMapSyncStatus,
    summary: &Failure,
) -> Result<SyncPatch, NotLeading> {
    if !is_worth_writing(&sync.status, status) {
        return Ok(SyncPatch::Unchanged);
    }
    lead.remaining()?;
    let span = tracing::info_span!("report", reason = %summary.reason);
    let patch = calls::patch_status(&reporter.client, &sync.name, &sync.version, status);
    let response = patch.instrument(span.clone()).await;
    let outcome = SyncPatch::of(&reporter.client, sync, response);
    let outcome = outcome.instrument(span.clone()).await?;
    outcome.mark(&span);
    let is_transition = ready_reason(&sync.status) != Some(summary.reason.as_str());
    if is_transition && matches!(outcome, SyncPatch::Patched { .. }) {
        reporter.metrics.reconciles.count_transition(summary.reason);
        if summary.reason != Reason::Progressing {
            let ((event, regarding), lead) = (event_of(sync, summary), lead.clone());
            let may_send = move || lead.remaining().is_ok();
            let found = status.last_failure_trace_id.clone();
            span.in_scope(|| {
                let trace_id = found.or_else(|| trace_id(&span));
                reporter.events.publish(event, regarding, trace_id, may_send);
            });
        }
    }
    Ok(outcome)
}

/// Permissions for patches of the status.
pub fn access() -> Vec<PolicyRule> {
    vec![rule(names::GROUP, "configmapsyncs/status", &["patch"])]
}
