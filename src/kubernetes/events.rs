//! Events, as `kubectl describe` shows them for an object.
//!
//! kube's own recorder aggregates repeated Events: it keeps each for six minutes and searches all
//! of them for each new one. The operator sends Events on transitions only, so none repeats: each
//! is one POST, and none is kept.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as Stored;
use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::Client;
use kube::ResourceExt as _;
use kube::api::PostParams;
use kube::runtime::events::Event;
use kube::runtime::events::EventType;
use tracing::Span;

use crate::access::rule;
use crate::kubernetes::error::explain;
use crate::names;
use crate::telemetry::trace_id;

/// Longest note that the API server accepts, in bytes (`events.k8s.io/v1`).
const MAX_NOTE: usize = 1024;

/// Sends Events.
pub struct Events {
    client: Client,
    /// Name of the pod that reports.
    instance: String,
}

// === impl Events ===

impl Events {
    /// Sends Events through `client`, as the pod `instance`.
    #[must_use]
    pub const fn new(client: Client, instance: String) -> Self {
        Self { client, instance }
    }

    /// Creates `event` about the object `regarding`, in its namespace, with the id of the current
    /// trace as an annotation. An Event is best effort: one
    /// that the API server rejects is logged and dropped.
    pub async fn publish(&self, event: Event, regarding: ObjectReference) {
        let namespace = regarding.namespace.clone().unwrap_or_default();
        let api: Api<Stored> = Api::namespaced(self.client.clone(), &namespace);
        let mut stored = self.stored(event, regarding, Timestamp::now());
        let trace_id = trace_id(&Span::current());
        stored.metadata.annotations =
            trace_id.map(|id| BTreeMap::from([(names::ANNOTATION_TRACE_ID.to_owned(), id)]));
        if let Err(error) = api.create(&PostParams::default(), &stored).await {
            let error = explain(&error);
            tracing::debug!(event = stored.name_any(), error, "cannot create Event");
        }
    }

    fn stored(&self, event: Event, regarding: ObjectReference, now: Timestamp) -> Stored {
        let name = regarding.name.as_deref().unwrap_or_default();
        Stored {
            metadata: ObjectMeta {
                // As client-go names them: at most 253 characters, of which the suffix takes 17.
                name: Some(format!("{name:.236}.{:016x}", now.as_nanosecond())),
                namespace: regarding.namespace.clone(),
                ..ObjectMeta::default()
            },
            event_time: Some(MicroTime(now)),
            reporting_controller: Some(names::EVENT_CONTROLLER.to_owned()),
            reporting_instance: Some(self.instance.clone()),
            action: Some(event.action),
            reason: Some(event.reason),
            regarding: Some(regarding),
            note: event.note.map(|note| cut(&note).to_owned()),
            type_: Some(match event.type_ {
                EventType::Normal => "Normal".to_owned(),
                EventType::Warning => "Warning".to_owned(),
            }),
            ..Stored::default()
        }
    }
}

fn cut(note: &str) -> &str {
    &note[..note.floor_char_boundary(MAX_NOTE)]
}

/// Permissions for creating Events.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    vec![rule("events.k8s.io", "events", &["create"])]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "é".repeat(MAX_NOTE);
        assert_eq!(cut(&long).len(), MAX_NOTE);
        let odd = format!("a{long}");
        assert_eq!(cut(&odd).len(), MAX_NOTE - 1);
    }
}
