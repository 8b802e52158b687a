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
use crate::decide::Failure;
use crate::decide::Observed;
use crate::decide::observed::ObservedSource;
use crate::decide::observed::ObservedSync;
use crate::decide::reason::Reason;
use crate::decide::status::Settled;
use crate::decide::status::fault;
use crate::kubernetes::sync_patch::SyncPatch;
use crate::state::State;
use crate::telemetry;
use crate::telemetry::propagation;
use crate::telemetry::spans::fail;
use crate::telemetry::spans::number;

/// The root span of a reconcile. If it is dropped before its end, the reconcile was cancelled.
pub struct Root {
    pub span: Span,
    /// The annotation `traceparent` of the sync, empty if there is none.
    trace_parent: Box<str>,
    has_ended: bool,
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
    if matches!(error, Error::NotLeading(_)) {
        cancelled(&Span::current());
    }
    if let Some(reason) = error.unreported() {
        fail(&Span::current(), reason.as_str(), &error.to_string());
    }
}

// === impl Root ===

impl Root {
    /// The root span of a reconcile of `sync`, which waited in the queue. Its parent is the span outside
    /// that the sync names, if this is the first reconcile with that annotation. The first reconcile in
    /// this process does not know what earlier ones have seen: it must be that of a new generation.
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
        let trace_parent = Box::from(sync.trace_parent.as_deref().unwrap_or_default());
        let is_new = match state.read(&sync.version.uid, |state| state.seen_trace_parent.clone()) {
            Some(seen) => seen != trace_parent,
            None => sync.status.observed_generation != sync.generation,
        };
        if is_new
            && !sync.deleting
            && let Some(parent) = propagation::parse(&trace_parent)
        {
            parent.adopt(&span);
        }
        if let Trigger::LateAnswer(writer) = &waiting.trigger {
            writer.link_from(&span);
        }
        Self { span, trace_parent, has_ended: false }
    }

    /// Records the end of the reconcile. Returns the id of its trace, if it has one: a reconcile that
    /// called nothing has none.
    pub fn end(mut self, state: &State, uid: &str, written: usize, ended: Ended) -> Option<String> {
        self.has_ended = true;
        self.span.set_attribute("copies.written", number(written));
        if let Some(delay) = ended.requeue_after {
            self.span.set_attribute("requeue_after_ms", milliseconds(delay));
        }
        if !ended.is_outdated {
            let seen = Some(std::mem::take(&mut self.trace_parent));
            state.update(uid, |state| state.seen_trace_parent = seen);
        }
        telemetry::active_trace_id(&self.span)
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        if !self.has_ended {
            cancelled(&self.span);
        }
    }
}

fn cancelled(span: &Span) {
    fail(
        span,
        "cancelled",
        "the reconcile was cancelled: this process no longer leads, or is stopping",
    );
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
