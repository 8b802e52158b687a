//! What is counted, under the names that controller-runtime and client-go made standard.
//!
//! Every series with a bounded label exists from the start, at zero.

mod fence_state;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use strum::VariantArray as _;

pub use fence_state::FenceState;

use crate::decide::reason::Reason;
use crate::names;

/// How a reconcile ended: the label `result` of `controller_runtime_reconcile_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReconcileResult {
    /// In order; looked at again by events, or hourly.
    Success,
    /// Something waits for a retry.
    RequeueAfter,
    /// The round itself failed.
    Error,
}

/// Why a call for the Lease failed: the label `reason` of `configmapsync_lease_failures_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseFailure {
    /// We may not.
    Forbidden,
    /// The API server refused for another reason.
    Refused,
    /// It did not answer in time.
    Timeout,
    /// It could not be reached, or its answer could not be used.
    Unavailable,
}

/// Labels that tell which controller is meant: there is one.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ControllerLabel {
    controller: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabels {
    controller: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct NameLabel {
    name: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct WriteLabels {
    action: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ActionLabel {
    action: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    code: String,
    host: String,
    method: String,
}

type HistogramFamily<Label> = Family<Label, Histogram, fn() -> Histogram>;

/// Every metric of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    reconcile_total: Family<ResultLabels, Counter>,
    reconcile_errors: Family<ControllerLabel, Counter>,
    reconcile_seconds: HistogramFamily<ControllerLabel>,
    active_workers: Family<ControllerLabel, Gauge>,
    queue_depth: Family<NameLabel, Gauge>,
    queue_adds: Family<NameLabel, Counter>,
    queue_seconds: HistogramFamily<NameLabel>,
    leading: Family<NameLabel, Gauge>,
    fence: Family<StateLabel, Gauge>,
    requests: Family<RequestLabels, Counter>,
    writes: Family<WriteLabels, Counter>,
    transitions: Family<ReasonLabel, Counter>,
    marked_copies: Gauge,
    swept: Family<ActionLabel, Counter>,
    sweep_held: Gauge,
    last_term: Gauge<f64, AtomicU64>,
    lease_failures: Family<ReasonLabel, Counter>,
    term: Gauge,
}

const CONTROLLER: ControllerLabel = ControllerLabel { controller: names::CONTROLLER_NAME };
const SWEEP_ACTIONS: [&str; 2] = ["delete", "release"];
const QUEUE: NameLabel = NameLabel { name: names::CONTROLLER_NAME };

// === impl ReconcileResult ===

impl ReconcileResult {
    const ALL: [Self; 3] = [Self::Success, Self::RequeueAfter, Self::Error];

    /// The result as the metric spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::RequeueAfter => "requeue_after",
            Self::Error => "error",
        }
    }
}

// === impl LeaseFailure ===

impl LeaseFailure {
    const ALL: [Self; 4] = [Self::Forbidden, Self::Refused, Self::Timeout, Self::Unavailable];

    /// The failure as the metric spells it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Forbidden => "forbidden",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Unavailable => "unavailable",
        }
    }
}

// === impl Metrics ===

impl Metrics {
    /// All metrics at zero; `write_actions` are the verbs that writes will be counted under.
    #[must_use]
    pub fn new(write_actions: &[&'static str]) -> Self {
        let mut metrics = Self {
            registry: Registry::default(),
            reconcile_total: Family::default(),
            reconcile_errors: Family::default(),
            reconcile_seconds: Family::new_with_constructor(seconds),
            active_workers: Family::default(),
            queue_depth: Family::default(),
            queue_adds: Family::default(),
            queue_seconds: Family::new_with_constructor(seconds),
            leading: Family::default(),
            fence: Family::default(),
            requests: Family::default(),
            writes: Family::default(),
            transitions: Family::default(),
            marked_copies: Gauge::default(),
            swept: Family::default(),
            sweep_held: Gauge::default(),
            last_term: Gauge::default(),
            lease_failures: Family::default(),
            term: Gauge::default(),
        };
        metrics.register();
        metrics.start_at_zero(write_actions);
        metrics
    }

    /// All metrics as text, in the `OpenMetrics` format.
    #[must_use]
    pub fn exposition(&self) -> String {
        let mut out = String::new();
        match text::encode(&mut out, &self.registry) {
            Ok(()) => out,
            Err(std::fmt::Error) => String::new(),
        }
    }

    /// A reconcile begins, so long after it was asked for.
    pub fn reconcile_begins(&self, queued: Duration) {
        self.active_workers.get_or_create(&CONTROLLER).inc();
        self.queue_seconds.get_or_create(&QUEUE).observe(queued.as_secs_f64());
    }

    /// A reconcile has ended.
    pub fn reconcile_ends(&self, result: ReconcileResult, took: Duration) {
        self.active_workers.get_or_create(&CONTROLLER).dec();
        let labels = ResultLabels { controller: names::CONTROLLER_NAME, result: result.as_str() };
        self.reconcile_total.get_or_create(&labels).inc();
        self.reconcile_seconds.get_or_create(&CONTROLLER).observe(took.as_secs_f64());
        if result == ReconcileResult::Error {
            self.reconcile_errors.get_or_create(&CONTROLLER).inc();
        }
    }

    /// A sync was put into the queue, which now holds `depth`.
    pub fn queued(&self, depth: usize) {
        self.queue_adds.get_or_create(&QUEUE).inc();
        self.queue_depth_is(depth);
    }

    /// The queue holds `depth` syncs.
    pub fn queue_depth_is(&self, depth: usize) {
        let depth = i64::try_from(depth).unwrap_or(i64::MAX);
        self.queue_depth.get_or_create(&QUEUE).set(depth);
    }

    /// This process leads, or does not.
    pub fn set_leading(&self, leading: bool) {
        self.leading.get_or_create(&QUEUE).set(i64::from(leading));
    }

    /// The fence was found to be in this state, and in no other.
    pub fn fence_is(&self, state: FenceState) {
        for other in FenceState::ALL {
            let label = StateLabel { state: other.as_str() };
            self.fence.get_or_create(&label).set(i64::from(other == state));
        }
    }

    /// The API server at `host` has answered a request with the status `code`; `None`: not at all.
    pub fn requested(&self, method: &str, host: &str, code: Option<u16>) {
        let labels = RequestLabels {
            // The word is client-go's.
            code: code.map_or_else(|| "<error>".to_owned(), |code| code.to_string()),
            host: host.to_owned(),
            method: method.to_owned(),
        };
        self.requests.get_or_create(&labels).inc();
    }

    /// A write of a copy was answered.
    pub fn wrote(&self, action: &'static str, succeeded: bool) {
        let result = if succeeded { "success" } else { "error" };
        self.writes.get_or_create(&WriteLabels { action, result }).inc();
    }

    /// A sync has come to `reason`.
    pub fn transition(&self, reason: Reason) {
        self.transitions.get_or_create(&ReasonLabel { reason: reason.as_str() }).inc();
    }

    /// So many marked copies are known.
    pub fn marked_copies_are(&self, count: usize) {
        self.marked_copies.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A copy whose sync is dead was deleted, or released.
    pub fn swept(&self, action: &'static str) {
        self.swept.get_or_create(&ActionLabel { action }).inc();
    }

    /// So many copies would be swept if they were not so many.
    pub fn sweep_holds(&self, count: usize) {
        self.sweep_held.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Leadership began at this Unix time, in seconds.
    pub fn term_began_at(&self, unix_seconds: f64) {
        self.last_term.set(unix_seconds);
    }

    /// We are announced as the leader for this term.
    pub fn term_is(&self, term: i64) {
        self.term.set(term);
    }

    /// A call for the Lease has failed.
    pub fn lease_failed(&self, failure: LeaseFailure) {
        self.lease_failures.get_or_create(&ReasonLabel { reason: failure.as_str() }).inc();
    }

    #[rustfmt::skip]
    fn register(&mut self) {
        let r = &mut self.registry;
        r.register("controller_runtime_reconcile", "Reconciles by result", self.reconcile_total.clone());
        r.register("controller_runtime_reconcile_errors", "Reconciles that failed", self.reconcile_errors.clone());
        r.register("controller_runtime_reconcile_time_seconds", "Time per reconcile", self.reconcile_seconds.clone());
        r.register("controller_runtime_active_workers", "Reconciles under way", self.active_workers.clone());
        r.register("workqueue_depth", "Syncs waiting for a reconcile", self.queue_depth.clone());
        r.register("workqueue_adds", "Syncs put into the queue", self.queue_adds.clone());
        r.register("workqueue_queue_duration_seconds", "Time from trigger to reconcile", self.queue_seconds.clone());
        r.register("leader_election_master_status", "Whether this process leads", self.leading.clone());
        r.register("configmapsync_fence", "Whether the API server holds back pods that do not lead, as last tried", self.fence.clone());
        r.register("rest_client_requests", "Requests to the API server by answer", self.requests.clone());
        r.register("configmapsync_writes", "Writes of copies by action and result", self.writes.clone());
        r.register("configmapsync_transitions", "Transitions of syncs by reason", self.transitions.clone());
        r.register("configmapsync_marked_copies", "Marked copies in the cluster", self.marked_copies.clone());
        r.register("configmapsync_swept", "Copies of syncs that no longer exist, by what became of them", self.swept.clone());
        r.register("configmapsync_sweep_held", "Copies of syncs never seen alive that are not swept, since there are too many", self.sweep_held.clone());
        r.register("configmapsync_lease_failures", "Calls for the Lease that failed, by reason", self.lease_failures.clone());
        r.register("configmapsync_leader_term", "Number of the term that this process was announced for", self.term.clone());
        r.register("configmapsync_term_start_time_seconds", "Unix time at which leadership began", self.last_term.clone());
    }

    fn start_at_zero(&self, write_actions: &[&'static str]) {
        for result in ReconcileResult::ALL {
            let labels =
                ResultLabels { controller: names::CONTROLLER_NAME, result: result.as_str() };
            drop(self.reconcile_total.get_or_create(&labels));
        }
        drop(self.reconcile_errors.get_or_create(&CONTROLLER));
        drop(self.reconcile_seconds.get_or_create(&CONTROLLER));
        drop(self.active_workers.get_or_create(&CONTROLLER));
        drop(self.queue_depth.get_or_create(&QUEUE));
        drop(self.queue_adds.get_or_create(&QUEUE));
        drop(self.queue_seconds.get_or_create(&QUEUE));
        drop(self.leading.get_or_create(&QUEUE));
        self.fence_is(FenceState::Unknown);
        for &action in write_actions {
            for result in ["success", "error"] {
                drop(self.writes.get_or_create(&WriteLabels { action, result }));
            }
        }
        for action in SWEEP_ACTIONS {
            drop(self.swept.get_or_create(&ActionLabel { action }));
        }
        for failure in LeaseFailure::ALL {
            drop(self.lease_failures.get_or_create(&ReasonLabel { reason: failure.as_str() }));
        }
        for reason in Reason::VARIANTS {
            drop(self.transitions.get_or_create(&ReasonLabel { reason: reason.as_str() }));
        }
    }
}

/// From one millisecond to half a minute.
fn seconds() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bounded_series_exists_from_the_start() {
        let text = Metrics::new(&["create"]).exposition();
        for line in [
            r#"controller_runtime_reconcile_total{controller="configmapsync",result="success"} 0"#,
            r#"controller_runtime_reconcile_errors_total{controller="configmapsync"} 0"#,
            r#"leader_election_master_status{name="configmapsync"} 0"#,
            r#"configmapsync_writes_total{action="create",result="error"} 0"#,
            r#"configmapsync_transitions_total{reason="Synced"} 0"#,
            r#"configmapsync_fence{state="unknown"} 1"#,
            r#"configmapsync_fence{state="enforced"} 0"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn the_fence_is_in_one_state_at_a_time() {
        let metrics = Metrics::new(&[]);
        metrics.fence_is(FenceState::Absent);
        metrics.fence_is(FenceState::Enforced);
        let text = metrics.exposition();
        for state in FenceState::ALL {
            let line = format!(
                r#"configmapsync_fence{{state="{}"}} {}"#,
                state.as_str(),
                u8::from(state == FenceState::Enforced)
            );
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn a_reconcile_is_counted_once() {
        let metrics = Metrics::new(&[]);
        metrics.reconcile_begins(Duration::ZERO);
        metrics.reconcile_ends(ReconcileResult::Error, Duration::from_millis(3));
        let text = metrics.exposition();
        assert!(text.contains(r#"result="error"} 1"#), "{text}");
        assert!(
            text.contains(r#"controller_runtime_active_workers{controller="configmapsync"} 0"#)
        );
    }
}
