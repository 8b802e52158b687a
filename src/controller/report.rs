//! The last step: writes the status, and an Event when its reason changes.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use kube::Resource as _;
use kube::runtime::events::Event;
use kube::runtime::events::EventType;
use tracing::Instrument as _;

use crate::access::rule;
use crate::api::ConfigMapSync;
use crate::api::ConfigMapSyncStatus;
use crate::decide::Failure;
use crate::decide::observed::ObservedSync;
use crate::decide::reason::Reason;
use crate::decide::status::is_worth_writing;
use crate::decide::status::ready_reason;
use crate::election::Lead;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::CallError;
use crate::kubernetes::error::NotLeading;
use crate::kubernetes::error::classify;
use crate::kubernetes::events::Events;
use crate::kubernetes::requests;
use crate::metrics::Metrics;
use crate::names;

/// Writes statuses and Events.
pub struct Reporter {
    /// Sends the patches of the status.
    pub client: Client,
    /// Sends the Events.
    pub events: Arc<Events>,
    /// Counts the changes of the reason.
    pub metrics: Arc<Metrics>,
}

/// What came of a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reported {
    /// Nothing had changed, and nothing was written.
    Unchanged,
    /// The status was written.
    Written {
        /// The resulting resourceVersion of the sync.
        resource_version: String,
    },
    /// The sync was not as observed: observe again.
    Conflict,
    /// The API server rejected the patch, or did not respond.
    Failed(ApiFailure),
}

/// Writes `status` if it differs from the one observed, and an Event if its reason does.
///
/// An Event that cannot be written is logged and dropped.
///
/// # Errors
/// This process no longer leads.
pub async fn report(
    reporter: &Reporter,
    lead: &Lead,
    sync: &ObservedSync,
    status: &ConfigMapSyncStatus,
    verdict: &Failure,
) -> Result<Reported, NotLeading> {
    if !is_worth_writing(&sync.status, status) {
        return Ok(Reported::Unchanged);
    }
    lead.remaining()?;
    let span = tracing::info_span!("report", reason = %verdict.reason);
    let outcome = patch_status(&reporter.client, sync, status).instrument(span.clone()).await?;
    let is_transition = ready_reason(&sync.status) != Some(verdict.reason.as_str());
    if is_transition && matches!(outcome, Reported::Written { .. }) {
        reporter.metrics.reconciles.count_transition(verdict.reason);
        if lead.remaining().is_ok() {
            let (event, regarding) = event(sync, verdict);
            reporter.events.publish(event, regarding).instrument(span).await;
        }
    }
    Ok(outcome)
}

async fn patch_status(
    client: &Client,
    sync: &ObservedSync,
    status: &ConfigMapSyncStatus,
) -> Result<Reported, NotLeading> {
    let name = &sync.name;
    let failed = |error: &kube::Error| match classify(&format!("patch ConfigMapSync {name}"), error)
    {
        CallError::Conflict => Ok(Reported::Conflict),
        CallError::NotLeading(error) => Err(error),
        CallError::Failed(failure) | CallError::Fenced(failure) => Ok(Reported::Failed(failure)),
    };
    let status = match serde_json::to_value(status) {
        Ok(status) => status,
        Err(error) => return failed(&kube::Error::SerdeError(error)),
    };
    let url = ConfigMapSync::url_path(&(), Some(&name.namespace));
    let patch = requests::replace_status(&sync.version, &status);
    let request = match requests::patch_status(&url, &name.name, patch) {
        Ok(request) => request,
        Err(error) => return failed(&error),
    };
    match client.request::<requests::MetadataOnly>(request).await {
        Ok(patched) => {
            let resource_version = patched.metadata.resource_version.unwrap_or_default();
            Ok(Reported::Written { resource_version })
        }
        Err(error) => failed(&error),
    }
}

fn event(sync: &ObservedSync, verdict: &Failure) -> (Event, ObjectReference) {
    let regarding = ObjectReference {
        api_version: Some(ConfigMapSync::api_version(&()).into_owned()),
        kind: Some(ConfigMapSync::kind(&()).into_owned()),
        namespace: Some(sync.name.namespace.clone()),
        name: Some(sync.name.name.clone()),
        uid: Some(sync.version.uid.clone()),
        ..ObjectReference::default()
    };
    let event = Event {
        type_: event_type(verdict.reason),
        reason: verdict.reason.as_str().to_owned(),
        note: Some(verdict.message.clone()),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    (event, regarding)
}

fn event_type(reason: Reason) -> EventType {
    match reason {
        Reason::Synced | Reason::Progressing | Reason::Suspended | Reason::Deleting => {
            EventType::Normal
        }
        _ => EventType::Warning,
    }
}

/// Permissions for patches of the status.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    vec![rule(names::GROUP, "configmapsyncs/status", &["patch"])]
}
