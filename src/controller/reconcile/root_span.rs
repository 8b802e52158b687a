//! The root span of a reconcile: what requested it, what it did, and why the sync is not ready.
//!
//! It is an error exactly if the sync is not ready because of a fault, or the reconcile failed.

use std::time::Duration;

use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::controller::queue::Trigger;
use crate::controller::queue::Waiting;
use crate::controller::reconcile::ended::Ended;
use crate::controller::reconcile::error::Error;
use crate::controller::sync_patch::SyncPatch;
use crate::decide::Failure;
use crate::decide::Observed;
use crate::decide::observed::ObservedSource;
use crate::decide::observed::ObservedSync;
use crate::decide::reason::Reason;
use crate::decide::status::Settled;
use crate::decide::status::fault;
use crate::metrics::ReconcileResult;
use crate::state::State;
use crate::telemetry;
use crate::telemetry::propagation;
use crate::telemetry::spans::fail;
use crate::telemetry::spans::number;

/// The root span of a reconcile.
pub struct Root {
    pub span: Span,
    /// The `traceparent` of the span outside that is its parent.
    parent: Option<Box<str>>,
}

/// Records what the sync reports after the last pass, by the `patch` of its status.
pub fn record_report(
    observed: &Observed,
    settled: &Settled,
    summary: &Failure,
    patch: Option<&SyncPatch>,
) {
    let span = Span::current();
    span.set_attribute("reason", summary.reason.as_str());
    span.set_attribute("copies.failed", number(settled.failed()));
    if let Some((at, _)) = settled.worst() {
        span.set_attribute("destination", at.to_string());
    }
    if let ObservedSource::Existing(source) = &observed.source {
        span.set_attribute("source.resource_version", source.version.resource_version.clone());
    }
    // A failed patch is recorded as the error of the reconcile, which contains the summary.
    let is_reported = !matches!(patch, Some(SyncPatch::Failed(_)));
    if let Some(fault) = fault(summary, settled).filter(|_| is_reported) {
        fail(&span, fault.reason.as_str(), &fault.message);
    }
}

/// Records that all copies are cleaned up and the finalizer is removed: nothing is reported any more.
pub fn record_cleaned_up() {
    let span = Span::current();
    span.set_attribute("reason", Reason::Deleting.as_str());
    span.set_attribute("copies.failed", 0);
}

/// Records that the reconcile as a whole failed, unless the report says so.
pub fn record_error(error: &Error) {
    if let Some(reason) = error.unreported() {
        fail(&Span::current(), reason.as_str(), &error.to_string());
    }
}

// === impl Root ===

impl Root {
    /// The root span of a reconcile of `sync`, which waited in the queue. Its parent is the span outside
    /// that the sync names, if this is the first reconcile of a generation, and `state` does not know
    /// that span from an earlier one.
    pub fn begin(state: &State, sync: &ObservedSync, waiting: &Waiting) -> Self {
        let span = tracing::info_span!(
            parent: None,
            telemetry::RECONCILE_SPAN,
            sync = %sync.name,
            uid = sync.version.uid,
            generation = sync.generation,
            trigger = <&str>::from(&waiting.trigger),
            queue_delay_ms = milliseconds(waiting.since.elapsed()),
        );
        let used = state.read(&sync.version.uid, |state| state.used_trace_parent.clone());
        let parent = sync.trace_parent.as_deref().map(Box::from);
        let parent = parent.filter(|parent| used.as_ref() != Some(parent));
        let parent = parent.filter(|_| sync.status.observed_generation != sync.generation);
        if let Some(parent) = parent.as_deref().and_then(propagation::parse) {
            parent.adopt(&span);
        }
        if let Trigger::LateAnswer(writer) = &waiting.trigger {
            writer.link_from(&span);
        }
        Self { span, parent }
    }

    /// Records the end of the reconcile. Returns the id of its trace, if it has one: a reconcile that
    /// called nothing has none.
    pub fn end(self, state: &State, uid: &str, written: usize, ended: Ended) -> Option<String> {
        let Self { span, parent } = self;
        span.set_attribute("copies.written", number(written));
        if let Some(delay) = ended.requeue_after {
            span.set_attribute("requeue_after_ms", milliseconds(delay));
        }
        if parent.is_some() {
            state.update(uid, |state| state.used_trace_parent = parent);
        }
        let has_called = written > 0 || ended.result != ReconcileResult::Success;
        telemetry::trace_id(&span).filter(|_| has_called)
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
