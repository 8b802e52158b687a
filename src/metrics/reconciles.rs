//! Metrics of reconciles, of their queue, and of the reasons they result in.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use std::time::Instant;

use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::EncodeMetric as _;
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use strum::VariantArray as _;

use crate::decide::reason::Reason;
use crate::metrics::exemplar;
use crate::metrics::exemplar::TracedHistogram;
use crate::names;

/// Result of a reconcile: the label `result` of `controller_runtime_reconcile_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum ReconcileResult {
    /// Nothing to retry; the next reconcile is caused by an event or the resync.
    Success,
    /// A copy is retried after a delay.
    RequeueAfter,
    /// The reconcile itself failed.
    Error,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ControllerLabel {
    controller: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct QueueLabel {
    name: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabels {
    controller: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

const CONTROLLER: ControllerLabel = ControllerLabel { controller: names::CONTROLLER_NAME };
const QUEUE: QueueLabel = QueueLabel { name: names::CONTROLLER_NAME };

type HistogramFamily<Label, Kind> = Family<Label, Kind, fn() -> Kind>;

/// Metrics of reconciles.
#[derive(Debug)]
pub struct ReconcileMetrics {
    total: Family<ResultLabels, Counter>,
    errors: Family<ControllerLabel, Counter>,
    seconds: HistogramFamily<ControllerLabel, TracedHistogram>,
    active: Family<ControllerLabel, Gauge>,
    queue_depth: Family<QueueLabel, Gauge>,
    queue_adds: Family<QueueLabel, Counter>,
    queue_seconds: HistogramFamily<QueueLabel, Histogram>,
    work_seconds: HistogramFamily<QueueLabel, Histogram>,
    retries: Family<QueueLabel, Counter>,
    most: Family<ControllerLabel, Gauge>,
    transitions: Family<ReasonLabel, Counter>,
    syncs: Family<ReasonLabel, Gauge>,
    running: Running,
}

/// When each reconcile in progress began.
#[derive(Clone, Debug, Default)]
struct Running(Arc<Mutex<BTreeMap<u64, Instant>>>);

/// A reconcile in progress.
#[derive(Debug)]
#[must_use]
pub struct RunningReconcile<'a> {
    metrics: &'a ReconcileMetrics,
    id: u64,
    began: Instant,
}

// === impl ReconcileResult ===

impl ReconcileResult {
    fn labels(self) -> ResultLabels {
        ResultLabels { controller: names::CONTROLLER_NAME, result: self.into() }
    }
}

// === impl ReconcileMetrics ===

impl ReconcileMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            total: Family::default(),
            errors: Family::default(),
            seconds: Family::new_with_constructor(exemplar::seconds),
            active: Family::default(),
            queue_depth: Family::default(),
            queue_adds: Family::default(),
            queue_seconds: Family::new_with_constructor(seconds),
            work_seconds: Family::new_with_constructor(seconds),
            retries: Family::default(),
            most: Family::default(),
            transitions: Family::default(),
            syncs: Family::default(),
            running: Running::default(),
        };
        registry.register_collector(Box::new(metrics.running.clone()));
        registry.register(
            "controller_runtime_reconcile",
            "Reconciles by result",
            metrics.total.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_errors",
            "Reconciles that failed",
            metrics.errors.clone(),
        );
        registry.register(
            "controller_runtime_reconcile_time_seconds",
            "Duration of a reconcile",
            metrics.seconds.clone(),
        );
        registry.register(
            "controller_runtime_active_workers",
            "Reconciles in progress",
            metrics.active.clone(),
        );
        metrics.register_queue(registry);
        registry.register(
            "controller_runtime_max_concurrent_reconciles",
            "The number of reconciles that may be in progress",
            metrics.most.clone(),
        );
        registry.register(
            "configmapsync_transitions",
            "Changes of a ConfigMapSync's Ready reason, by new reason",
            metrics.transitions.clone(),
        );
        registry.register(
            "configmapsync_syncs",
            "ConfigMapSyncs by Ready reason, as of their last reconcile",
            metrics.syncs.clone(),
        );
        metrics.start_at_zero();
        metrics
    }

    fn register_queue(&self, registry: &mut Registry) {
        registry.register(
            "workqueue_depth",
            "ConfigMapSyncs in the queue",
            self.queue_depth.clone(),
        );
        registry.register(
            "workqueue_adds",
            "ConfigMapSyncs added to the queue",
            self.queue_adds.clone(),
        );
        registry.register(
            "workqueue_queue_duration_seconds",
            "Time in the queue before a reconcile",
            self.queue_seconds.clone(),
        );
        registry.register(
            "workqueue_work_duration_seconds",
            "Time that a reconcile takes",
            self.work_seconds.clone(),
        );
        registry.register(
            "workqueue_retries",
            "Reconciles requested for a later time",
            self.retries.clone(),
        );
    }

    fn start_at_zero(&self) {
        for &result in ReconcileResult::VARIANTS {
            drop(self.total.get_or_create(&result.labels()));
        }
        drop(self.errors.get_or_create(&CONTROLLER));
        drop(self.seconds.get_or_create(&CONTROLLER));
        drop(self.active.get_or_create(&CONTROLLER));
        drop(self.queue_depth.get_or_create(&QUEUE));
        drop(self.queue_adds.get_or_create(&QUEUE));
        drop(self.queue_seconds.get_or_create(&QUEUE));
        drop(self.work_seconds.get_or_create(&QUEUE));
        drop(self.retries.get_or_create(&QUEUE));
        drop(self.most.get_or_create(&CONTROLLER));
        for &reason in Reason::VARIANTS {
            drop(self.transitions.get_or_create(&ReasonLabel { reason: reason.into() }));
            drop(self.syncs.get_or_create(&ReasonLabel { reason: reason.into() }));
        }
    }

    /// A sync was added to the queue, which now holds `depth` syncs.
    pub fn enqueued(&self, depth: usize) {
        self.queue_adds.get_or_create(&QUEUE).inc();
        self.set_queue_depth(depth);
    }

    /// The queue holds `depth` syncs.
    pub fn set_queue_depth(&self, depth: usize) {
        let depth = i64::try_from(depth).unwrap_or(i64::MAX);
        self.queue_depth.get_or_create(&QUEUE).set(depth);
    }

    /// A reconcile was requested for a later time.
    pub fn delayed(&self) {
        self.retries.get_or_create(&QUEUE).inc();
    }

    /// At most `count` reconciles are in progress at a time.
    pub fn set_most(&self, count: usize) {
        self.most.get_or_create(&CONTROLLER).set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A reconcile started, `queued` after it was triggered.
    pub fn started(&self, queued: Duration) -> RunningReconcile<'_> {
        self.active.get_or_create(&CONTROLLER).inc();
        self.queue_seconds.get_or_create(&QUEUE).observe(queued.as_secs_f64());
        let (id, began) = self.running.add();
        RunningReconcile { metrics: self, id, began }
    }

    /// A sync has the reason `now` instead of `before`. It has none before its first reconcile, and none
    /// once it is gone.
    pub fn set_reason(&self, before: Option<Reason>, now: Option<Reason>) {
        let of =
            |reason: Reason| self.syncs.get_or_create_owned(&ReasonLabel { reason: reason.into() });
        if let Some(before) = before {
            of(before).dec();
        }
        if let Some(now) = now {
            of(now).inc();
        }
    }

    /// The reason of a sync changed to `reason`.
    pub fn count_transition(&self, reason: Reason) {
        self.transitions.get_or_create(&ReasonLabel { reason: reason.into() }).inc();
    }
}

// === impl RunningReconcile ===

impl RunningReconcile<'_> {
    /// When it began.
    #[must_use]
    pub const fn began(&self) -> Instant {
        self.began
    }

    /// The reconcile finished, in the trace of this id, if it is exported.
    pub fn finished(self, result: ReconcileResult, trace_id: Option<String>) {
        let metrics = self.metrics;
        metrics.running.0.lock().remove(&self.id);
        metrics.active.get_or_create(&CONTROLLER).dec();
        metrics.total.get_or_create(&result.labels()).inc();
        let duration = self.began.elapsed().as_secs_f64();
        exemplar::observe(&metrics.seconds.get_or_create(&CONTROLLER), duration, trace_id);
        metrics.work_seconds.get_or_create(&QUEUE).observe(duration);
        if result == ReconcileResult::Error {
            metrics.errors.get_or_create(&CONTROLLER).inc();
        }
    }
}

// === impl Running ===

impl Running {
    fn add(&self) -> (u64, Instant) {
        let mut running = self.0.lock();
        let (id, began) = (running.last_key_value().map_or(0, |(id, _)| id + 1), Instant::now());
        running.insert(id, began);
        (id, began)
    }
}

impl Collector for Running {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let oldest =
            self.0.lock().values().next().map_or(0.0, |began| began.elapsed().as_secs_f64());
        let metric = encoder.encode_descriptor(
            "configmapsync_oldest_reconcile_seconds",
            "Time since the oldest reconcile in progress began; 0 if there is none.",
            None,
            MetricType::Gauge,
        )?;
        ConstGauge::new(oldest).encode(metric)
    }
}

/// Buckets from one millisecond to half a minute.
fn seconds() -> Histogram {
    Histogram::new([0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
}
