//! Tells people that the brake holds.
//!
//! The Event is on our own pod: the one object of the operator whose name and uid we know for sure,
//! without another right and without a read. It shows beside the operator, in its own namespace.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::Event;
use kube::runtime::events::EventType;

use crate::controller::Context;
use crate::decide::orphans::Brake;
use crate::names;

/// Counts what the brake holds. Says so, and says it in an Event, when it begins to hold.
pub async fn tell(context: &Context, brake: Option<Brake>, is_held: &mut bool) {
    context.metrics.copies.set_held(brake.map_or(0, |brake| brake.orphans));
    let was_held = std::mem::replace(is_held, brake.is_some());
    match brake {
        Some(brake) if !was_held => {
            tracing::warn!(orphans = brake.orphans, limit = brake.limit, "not swept: {brake}");
            record_event(context, brake).await;
        }
        None if was_held => tracing::info!("the sweep is no longer held"),
        _ => {}
    }
}

async fn record_event(context: &Context, brake: Brake) {
    let settings = &context.settings;
    let regarding = ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        namespace: Some(settings.namespace.clone()),
        name: Some(settings.pod_name.clone()),
        uid: Some(settings.pod_uid.clone()),
        ..ObjectReference::default()
    };
    let event = Event {
        type_: EventType::Warning,
        reason: names::EVENT_SWEEP_HELD.to_owned(),
        note: Some(brake.to_string()),
        action: "Sweep".to_owned(),
        secondary: None,
    };
    if context.lead.remaining().is_ok() {
        context.events.publish(event, regarding).await;
    }
}
