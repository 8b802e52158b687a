//! The root span of a reconcile: what requested it, what it did, and why the sync is not ready.
//!
//! It is an error exactly if the sync is not ready because of a fault, or the reconcile failed.

use std::time::Duration;

use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::controller::queue::Trigger;
use crate::controller::reconcile::error::Error;
use crate::decide::Failure;
use crate::decide::Observed;
use crate::decide::observed::ObservedSource;
use crate::decide::observed::ObservedSync;
use crate::decide::status::Settled;
use crate::decide::status::fault;
use crate::telemetry;
use crate::telemetry::spans::fail;
use crate::telemetry::spans::number;

/// The root span of a reconcile of `sync`, which waited in the queue.
pub fn begin(sync: &ObservedSync, waited: Duration, trigger: &Trigger) -> Span {
    let span = tracing::info_span!(
        parent: None,
        telemetry::RECONCILE_SPAN,
        sync = %sync.name,
        uid = sync.version.uid,
        generation = sync.generation,
        trigger = <&str>::from(trigger),
        queue_delay_ms = milliseconds(waited),
    );
    if let Trigger::LateAnswer(writer) = trigger {
        writer.link_from(&span);
    }
    span
}

/// Records what the sync reports after the last pass.
pub fn record_report(observed: &Observed, settled: &Settled, summary: &Failure) {
    let span = Span::current();
    span.set_attribute("reason", summary.reason.as_str());
    span.set_attribute("copies.failed", number(settled.failed()));
    if let ObservedSource::Existing(source) = &observed.source {
        span.set_attribute("source.resource_version", source.version.resource_version.clone());
    }
    if let Some(fault) = fault(summary, settled) {
        fail(&span, fault.reason.as_str(), &fault.message);
    }
}

/// Records that the reconcile as a whole failed.
pub fn record_error(error: &Error) {
    if let Some(reason) = error.reason() {
        fail(&Span::current(), reason.as_str(), &error.to_string());
    }
}

/// Records the end of the reconcile.
pub fn record_end(span: &Span, written: usize, requeue_after: Option<Duration>) {
    span.set_attribute("copies.written", number(written));
    if let Some(delay) = requeue_after {
        span.set_attribute("requeue_after_ms", milliseconds(delay));
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
