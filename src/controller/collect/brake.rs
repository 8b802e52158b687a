//! Reports that the brake holds: a metric, a log line, and an Event.
//!
//! The Event regards the operator's own pod, the only object whose name and uid are known without
//! a read and without further permissions. It appears in the namespace of the operator.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::Event;
use kube::runtime::events::EventType;

use crate::decide::orphans::Brake;
use crate::election::Lead;
use crate::kubernetes::events::Events;
use crate::metrics::Metrics;
use crate::names;

/// Reports the brake.
pub struct BrakeReport {
    pub events: Arc<Events>,
    /// The pod of this process: the object of the Event.
    pub pod: ObjectReference,
    pub metrics: Arc<Metrics>,
}

// === impl BrakeReport ===

impl BrakeReport {
    /// Sets the metric. Logs and sends an Event when the brake begins to hold, and logs when it
    /// ceases to. `is_held` is updated.
    pub fn report(&self, lead: &Lead, brake: Option<Brake>, is_held: &mut bool) {
        self.metrics.copies.set_held(brake.map_or(0, |brake| brake.orphans));
        let was_held = std::mem::replace(is_held, brake.is_some());
        match brake {
            Some(brake) if !was_held => {
                tracing::warn!(
                    orphans = brake.orphans,
                    limit = brake.limit,
                    "orphan collection held: {brake}"
                );
                let lead = lead.clone();
                let may_send = move || lead.remaining().is_ok();
                // The brake holds before anything is called: there is no trace.
                self.events.publish(event(brake), self.pod.clone(), None, may_send);
            }
            None if was_held => tracing::info!("orphan collection is no longer held"),
            _ => {}
        }
    }
}

fn event(brake: Brake) -> Event {
    Event {
        type_: EventType::Warning,
        reason: names::EVENT_SWEEP_HELD.to_owned(),
        note: Some(brake.to_string()),
        action: "Sweep".to_owned(),
        secondary: None,
    }
}
