//! Tells people what came of a round: the status, and an Event when its reason changes.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Resource as _;
use kube::runtime::events::Event;
use kube::runtime::events::EventType;
use tracing::Instrument as _;

use crate::access::rule;
use crate::api::ConfigMapSync;
use crate::api::ConfigMapSyncStatus;
use crate::controller::Context;
use crate::controller::error::Error;
use crate::decide::Failure;
use crate::decide::observed::ObservedSync;
use crate::decide::reason::Reason;
use crate::decide::status::is_worth_writing;
use crate::decide::status::ready_reason;
use crate::election::Lead;
use crate::kubernetes::error::CallError;
use crate::kubernetes::error::classify;
use crate::kubernetes::requests;
use crate::names;

/// What came of reporting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reported {
    /// Nothing had changed: nothing was written.
    NoNews,
    /// The sync is now at this resourceVersion.
    Written(String),
    /// The sync is not as it was seen: its watch will show it.
    Stale,
}

/// Writes `status` if it says anything new, and an Event if its reason has changed.
///
/// # Errors
/// We no longer lead, or the status could not be patched. An Event that could not be recorded is
/// no error: it is logged, and blocks nothing.
pub async fn report(
    context: &Context,
    lead: &Lead,
    sync: &ObservedSync,
    status: &ConfigMapSyncStatus,
    verdict: &Failure,
) -> Result<Reported, Error> {
    if !is_worth_writing(&sync.status, status) {
        return Ok(Reported::NoNews);
    }
    lead.remaining()?;
    let span = tracing::info_span!("report", reason = %verdict.reason);
    let reported = patch_status(context, sync, status, verdict).instrument(span.clone()).await?;
    let is_transition = ready_reason(&sync.status) != Some(verdict.reason.as_str());
    if is_transition && matches!(reported, Reported::Written(_)) {
        context.metrics.reconciles.count_transition(verdict.reason);
        record_event(context, lead, sync, verdict).instrument(span).await;
    }
    Ok(reported)
}

async fn patch_status(
    context: &Context,
    sync: &ObservedSync,
    status: &ConfigMapSyncStatus,
    verdict: &Failure,
) -> Result<Reported, Error> {
    let name = &sync.name;
    let refused =
        |error: &kube::Error| match classify(&format!("patch ConfigMapSync {name}"), error) {
            CallError::Conflict => Ok(Reported::Stale),
            CallError::NotLeading(error) => Err(error.into()),
            CallError::Failed(refusal) | CallError::Fenced(refusal) => {
                let (sync, verdict) = (name.clone(), Box::new(verdict.clone()));
                Err(Error::PatchStatus { sync, verdict, refusal })
            }
        };
    let status = match serde_json::to_value(status) {
        Ok(status) => status,
        Err(error) => return refused(&kube::Error::SerdeError(error)),
    };
    let url = ConfigMapSync::url_path(&(), Some(&name.namespace));
    let patch = requests::replace_status(&sync.version, &status);
    let request = match requests::patch_status(&url, &name.name, patch) {
        Ok(request) => request,
        Err(error) => return refused(&error),
    };
    match context.client.request::<requests::MetadataOnly>(request).await {
        Ok(patched) => Ok(Reported::Written(patched.metadata.resource_version.unwrap_or_default())),
        Err(error) => refused(&error),
    }
}

async fn record_event(context: &Context, lead: &Lead, sync: &ObservedSync, verdict: &Failure) {
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
    if lead.remaining().is_ok() {
        context.events.publish(event, regarding).await;
    }
}

fn event_type(reason: Reason) -> EventType {
    match reason {
        Reason::Synced | Reason::Progressing | Reason::Suspended | Reason::Deleting => {
            EventType::Normal
        }
        _ => EventType::Warning,
    }
}

/// What reporting needs: the status.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    vec![rule(names::GROUP, "configmapsyncs/status", &["patch"])]
}
