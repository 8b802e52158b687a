//! Metrics of copies and orphans.

use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::metrics::exemplar;
use crate::metrics::exemplar::TracedHistogram;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WriteLabels {
    action: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ActionLabel {
    action: &'static str,
}

/// The values of the label `action` of `configmapsync_swept_total`.
const ORPHAN_ACTIONS: [&str; 2] = ["delete", "release"];

/// Metrics of copies and orphans.
#[derive(Debug)]
pub struct CopyMetrics {
    writes: Family<WriteLabels, Counter>,
    marked: Gauge,
    collected: Family<ActionLabel, Counter>,
    held: Gauge,
    propagation: TracedHistogram,
}

// === impl CopyMetrics ===

impl CopyMetrics {
    pub(super) fn register(registry: &mut Registry, write_actions: &[&'static str]) -> Self {
        let metrics = Self {
            writes: Family::default(),
            marked: Gauge::default(),
            collected: Family::default(),
            held: Gauge::default(),
            propagation: exemplar::seconds(),
        };
        registry.register(
            "configmapsync_writes",
            "Writes of copies by action and result",
            metrics.writes.clone(),
        );
        registry.register(
            "configmapsync_marked_copies",
            "ConfigMaps with ownership markers in the cluster",
            metrics.marked.clone(),
        );
        registry.register(
            "configmapsync_swept",
            "Copies without a ConfigMapSync that were deleted or released, by action",
            metrics.collected.clone(),
        );
        registry.register(
            "configmapsync_sweep_held",
            "Copies without a ConfigMapSync that are kept because there are too many; see the \
             sweep command",
            metrics.held.clone(),
        );
        registry.register(
            "configmapsync_propagation_seconds",
            "Time from the watch event of a changed source to the response to the last write that it \
             caused",
            metrics.propagation.clone(),
        );
        for &action in write_actions {
            for result in ["success", "error"] {
                drop(metrics.writes.get_or_create(&WriteLabels { action, result }));
            }
        }
        for action in ORPHAN_ACTIONS {
            drop(metrics.collected.get_or_create(&ActionLabel { action }));
        }
        metrics
    }

    /// A write of a copy got a response.
    pub fn count_write(&self, action: &'static str, succeeded: bool) {
        let result = if succeeded { "success" } else { "error" };
        self.writes.get_or_create(&WriteLabels { action, result }).inc();
    }

    /// A change of a source reached all copies of a sync after `duration`, in the trace of this id.
    pub fn propagated(&self, duration: Duration, trace_id: Option<String>) {
        exemplar::observe(&self.propagation, duration.as_secs_f64(), trace_id);
    }

    /// The cache holds `count` ConfigMaps with ownership markers.
    pub fn set_marked(&self, count: usize) {
        self.marked.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// An orphan was deleted or released.
    pub fn count_collected(&self, action: &'static str) {
        self.collected.get_or_create(&ActionLabel { action }).inc();
    }

    /// The brake holds `count` orphans.
    pub fn set_held(&self, count: usize) {
        self.held.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
