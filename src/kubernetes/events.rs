//! Events, as `kubectl describe` shows them for an object.
//!
//! kube's own recorder aggregates repeated Events: it keeps each for six minutes and searches all
//! of them for each new one. The operator sends Events on transitions only, so none repeats: each
//! is one POST, and none is kept.
//!
//! Nothing waits for an Event. Those that are not sent yet are limited in number, and shared among
//! namespaces, so that a namespace in which Events are slow loses only Events of its own.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1::Event as Stored;
use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::Client;
use kube::Resource as _;
use kube::ResourceExt as _;
use kube::api::PostParams;
use kube::runtime::events::Event;
use kube::runtime::events::EventType;
use tracing::Instrument as _;
use tracing::Span;

use crate::access::rule;
use crate::api::ConfigMapSync;
use crate::decide::Failure;
use crate::decide::observed::ObservedSync;
use crate::decide::reason::Reason;
use crate::kubernetes::error::explain;
use crate::kubernetes::permits::Permits;
use crate::names;
use crate::telemetry;
use crate::telemetry::spans::SpanReference;

/// Longest note that the API server accepts, in bytes (`events.k8s.io/v1`).
const MAX_NOTE: usize = 1024;
/// Events in flight at a time: as many as reconciles, each of which causes at most one at its end.
const MAX_IN_FLIGHT: usize = 64;
/// Events without a response, including those that wait to be sent: some 2 KiB each.
const MAX_UNANSWERED: usize = 1024;

/// Sends Events.
pub struct Events {
    client: Client,
    /// Name of the pod that reports.
    instance: String,
    /// A permit for each Event in flight.
    in_flight: Permits,
    /// A permit for each Event without a response.
    unanswered: Permits,
}

// === impl Events ===

impl Events {
    /// Sends Events through `client`, as the pod `instance`.
    #[must_use]
    pub fn new(client: Client, instance: String) -> Self {
        let (in_flight, unanswered) = (Permits::new(MAX_IN_FLIGHT), Permits::new(MAX_UNANSWERED));
        Self { client, instance, in_flight, unanswered }
    }

    /// Creates `event` about the object `regarding`, in its namespace, with `trace_id`, the trace in
    /// which it happened, as an annotation. Does not wait for it: it is sent in a task, if `may_send` returns true
    /// then.
    ///
    /// An Event is best effort: one that the API server rejects is logged and dropped, as is one for
    /// which too many others of its namespace have no response.
    pub fn publish(
        &self,
        event: Event,
        regarding: ObjectReference,
        trace_id: Option<String>,
        may_send: impl FnOnce() -> bool + Send + 'static,
    ) {
        let namespace = regarding.namespace.clone().unwrap_or_default();
        let api: Api<Stored> = Api::namespaced(self.client.clone(), &namespace);
        let mut stored = self.stored(event, regarding, Timestamp::now());
        stored.metadata.annotations =
            trace_id.map(|id| BTreeMap::from([(names::ANNOTATION_TRACE_ID.to_owned(), id)]));
        let Some(unanswered) = self.unanswered.try_acquire_in(&namespace) else {
            let event = stored.name_any();
            tracing::warn!(event, namespace, "Event dropped: the API server responds too slowly");
            return;
        };
        let permit = self.in_flight.acquire_in(&namespace);
        let span = span_of(&stored);
        let send = async move {
            let Ok(_permit) = permit.await else { return };
            if may_send()
                && let Err(error) = api.create(&PostParams::default(), &stored).await
            {
                let error = explain(&error);
                tracing::debug!(event = stored.name_any(), error, "cannot create Event");
            }
            drop(unanswered);
        };
        tokio::spawn(send.instrument(span));
    }

    /// From now on, no Event is sent that had to wait for others. Waits for the Events in flight.
    pub async fn finish(&self) {
        self.in_flight.close();
        self.in_flight.wait_until_idle().await;
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

/// The span in which an Event is sent, if it is published in a span. It may end after that.
fn span_of(event: &Stored) -> Span {
    let current = Span::current();
    if current.is_none() {
        return current;
    }
    let span = tracing::info_span!(parent: None, telemetry::EVENT_SPAN, event = event.name_any());
    SpanReference::current().adopt(&span);
    span
}

fn cut(note: &str) -> &str {
    &note[..note.floor_char_boundary(MAX_NOTE)]
}

/// The Event that reports `summary`, and the sync that it is about.
#[must_use]
pub fn event_of(sync: &ObservedSync, summary: &Failure) -> (Event, ObjectReference) {
    let regarding = ObjectReference {
        api_version: Some(ConfigMapSync::api_version(&()).into_owned()),
        kind: Some(ConfigMapSync::kind(&()).into_owned()),
        namespace: Some(sync.name.namespace.clone()),
        name: Some(sync.name.name.clone()),
        uid: Some(sync.version.uid.clone()),
        ..ObjectReference::default()
    };
    let event = Event {
        type_: event_type(summary.reason),
        reason: summary.reason.as_str().to_owned(),
        note: Some(summary.message.clone()),
        action: "Reconcile".to_owned(),
        secondary: None,
    };
    (event, regarding)
}

fn event_type(reason: Reason) -> EventType {
    match reason {
        Reason::Synced | Reason::Suspended | Reason::Deleting => EventType::Normal,
        _ => EventType::Warning,
    }
}

/// Permissions for creating Events.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    vec![rule("events.k8s.io", "events", &["create"])]
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::future::pending;
    use std::sync::Arc;

    use http::Request;
    use http::Response;
    use kube::client::Body;
    use parking_lot::Mutex;
    use tower::service_fn;

    use super::*;

    /// Events to an API server that never responds, and the paths of the requests it has received.
    struct Unanswered {
        events: Events,
        received: Arc<Mutex<Vec<String>>>,
    }

    impl Unanswered {
        fn new() -> Self {
            let received = Arc::<Mutex<Vec<String>>>::default();
            let paths = Arc::clone(&received);
            let server = service_fn(move |request: Request<Body>| {
                paths.lock().push(request.uri().path().to_owned());
                pending::<Result<Response<Body>, Infallible>>()
            });
            let events = Events::new(Client::new(server, "default"), "pod".to_owned());
            Self { events, received }
        }

        fn publish(&self, namespace: &str, may_send: bool) {
            let event = Event {
                type_: EventType::Normal,
                reason: "Synced".to_owned(),
                note: None,
                action: "Reconcile".to_owned(),
                secondary: None,
            };
            let namespace = Some(namespace.to_owned());
            let regarding = ObjectReference { namespace, ..ObjectReference::default() };
            self.events.publish(event, regarding, None, move || may_send);
        }

        /// The number of requests for Events of `namespace`, once no other can be sent.
        async fn received(&self, namespace: &str) -> usize {
            for _ in 0..10_000 {
                tokio::task::yield_now().await;
            }
            let folder = format!("/namespaces/{namespace}/");
            self.received.lock().iter().filter(|path| path.contains(&folder)).count()
        }
    }

    #[tokio::test]
    async fn unanswered_events_of_a_namespace_are_bounded() {
        let server = Unanswered::new();
        for _ in 0..2 * MAX_UNANSWERED {
            server.publish("slow", true);
        }
        assert_eq!(server.received("slow").await, MAX_IN_FLIGHT / 2);
        assert!(
            server.events.unanswered.try_acquire_in("slow").is_none(),
            "the others are dropped"
        );
        server.publish("other", true);
        assert_eq!(server.received("other").await, 1);
    }

    #[tokio::test]
    async fn an_event_that_may_not_be_sent_any_more_is_not() {
        let server = Unanswered::new();
        server.publish("app", false);
        assert_eq!(server.received("app").await, 0);
        assert!(!server.events.in_flight.is_closed());
        server.events.finish().await;
        server.publish("app", true);
        assert_eq!(server.received("app").await, 0);
    }

    #[test]
    fn a_note_is_cut_between_characters() {
        assert_eq!(cut("short"), "short");
        let long = "é".repeat(MAX_NOTE);
        assert_eq!(cut(&long).len(), MAX_NOTE);
        let odd = format!("a{long}");
        assert_eq!(cut(&odd).len(), MAX_NOTE - 1);
    }
}
