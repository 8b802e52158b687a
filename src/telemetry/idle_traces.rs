//! Drops the traces of reconciles that did nothing.
//!
//! Most reconciles follow from our own writes: they decide on what is known that there is nothing to
//! do. Such a trace has no spans besides those of the decision. They are held back until another span
//! of the trace starts, and dropped if its root ends before.

use std::collections::HashMap;
use std::sync::LazyLock;
use std::time::Duration;

use opentelemetry::Context;
use opentelemetry::trace::Span as _;
use opentelemetry::trace::SpanId;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::trace::TraceId;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::Span;
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_sdk::trace::SpanProcessor;
use parking_lot::Mutex;

use crate::telemetry::spans::OBSERVE_SPAN;
use crate::telemetry::spans::PLAN_SPAN;
use crate::telemetry::spans::RECONCILE_SPAN;

/// A span processor that passes on all spans, except those of reconciles that did nothing.
#[derive(Debug)]
pub struct WithoutIdleTraces<Next> {
    next: Next,
}

/// The traces that began in this process, and whose root has not ended.
static RUNNING: LazyLock<Mutex<HashMap<TraceId, Progress>>> = LazyLock::new(Mutex::default);

/// What a trace consists of so far, whose root has not ended.
#[derive(Debug)]
enum Progress {
    /// Only these spans of decisions.
    Idle(Vec<SpanData>),
    /// Other spans, too.
    Active,
}

// === impl WithoutIdleTraces ===

impl<Next: SpanProcessor> WithoutIdleTraces<Next> {
    /// Passes spans on to `next`.
    pub fn new(next: Next) -> Self {
        Self { next }
    }
}

/// Whether the trace is exported, as far as can be said before its root ends.
pub fn is_active(trace: TraceId) -> bool {
    !matches!(RUNNING.lock().get(&trace), Some(Progress::Idle(_)))
}

/// The spans to pass on, now that `span` has started.
fn released_by_start(span: &Span) -> Vec<SpanData> {
    let trace = span.span_context().trace_id();
    let mut running = RUNNING.lock();
    let Some(progress @ Progress::Idle(_)) = running.get_mut(&trace) else { return Vec::new() };
    if span.exported_data().is_some_and(|span| is_decision(&span)) {
        return Vec::new();
    }
    match std::mem::replace(progress, Progress::Active) {
        Progress::Idle(held) => held,
        Progress::Active => Vec::new(),
    }
}

/// The spans to pass on, now that `span` has ended.
fn released_by_end(span: SpanData) -> Vec<SpanData> {
    let trace = span.span_context.trace_id();
    let mut running = RUNNING.lock();
    if span.parent_span_id == SpanId::INVALID {
        return match running.remove(&trace) {
            Some(Progress::Idle(_)) if span.name == RECONCILE_SPAN => Vec::new(),
            Some(Progress::Idle(held)) => [held, vec![span]].concat(),
            Some(Progress::Active) | None => vec![span],
        };
    }
    match running.get_mut(&trace) {
        Some(Progress::Idle(held)) => {
            held.push(span);
            Vec::new()
        }
        // Without progress, the span has ended after its root.
        Some(Progress::Active) | None => vec![span],
    }
}

fn is_decision(span: &SpanData) -> bool {
    [OBSERVE_SPAN, PLAN_SPAN].contains(&span.name.as_ref())
}

impl<Next: SpanProcessor> SpanProcessor for WithoutIdleTraces<Next> {
    fn on_start(&self, span: &mut Span, context: &Context) {
        if context.span().span_context().is_valid() {
            for released in released_by_start(span) {
                self.next.on_end(released);
            }
        } else {
            let trace = span.span_context().trace_id();
            RUNNING.lock().insert(trace, Progress::Idle(Vec::new()));
        }
        self.next.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        for released in released_by_end(span) {
            self.next.on_end(released);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.next.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.next.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.next.set_resource(resource);
    }
}

#[cfg(test)]
mod tests {
    use tracing_opentelemetry::OpenTelemetrySpanExt as _;

    use super::*;
    use crate::telemetry::collected;
    use crate::telemetry::spans::SpanReference;

    /// The names of the spans that are exported, in the order of their ends.
    fn exported(work: impl FnOnce()) -> Vec<String> {
        let spans = collected::spans(WithoutIdleTraces::new, work);
        spans.into_iter().map(|span| span.name.into_owned()).collect()
    }

    fn decide() {
        tracing::info_span!("observe").in_scope(|| ());
        tracing::info_span!("plan").in_scope(|| ());
    }

    #[test]
    fn a_reconcile_that_only_decides_has_no_trace() {
        let spans = exported(|| tracing::info_span!("reconcile").in_scope(decide));
        assert!(spans.is_empty(), "{spans:?}");
    }

    #[test]
    fn a_reconcile_with_a_call_has_all_its_spans() {
        let spans = exported(|| {
            tracing::info_span!("reconcile").in_scope(|| {
                let read = || tracing::info_span!("GET configmaps").in_scope(|| ());
                decide();
                tracing::info_span!("observe").in_scope(read);
            });
        });
        assert_eq!(spans, ["observe", "plan", "GET configmaps", "observe", "reconcile"]);
    }

    #[test]
    fn a_write_that_ends_after_its_reconcile_is_exported() {
        let spans = exported(|| {
            let reconcile = tracing::info_span!("reconcile");
            let write = tracing::info_span!(parent: None, "write copy");
            reconcile.in_scope(decide);
            reconcile.in_scope(SpanReference::current).adopt(&write);
            write.in_scope(|| ());
            drop(reconcile);
            drop(write);
        });
        assert_eq!(spans, ["observe", "plan", "reconcile", "write copy"]);
    }

    #[test]
    fn a_trace_is_active_once_another_span_starts() {
        exported(|| {
            tracing::info_span!("reconcile").in_scope(|| {
                let trace = || tracing::Span::current().context().span().span_context().trace_id();
                decide();
                assert!(!is_active(trace()));
                tracing::info_span!("GET configmaps").in_scope(|| assert!(is_active(trace())));
            });
        });
    }

    #[test]
    fn other_traces_are_exported() {
        let spans = exported(|| tracing::info_span!("elected").in_scope(|| ()));
        assert_eq!(spans, ["elected"]);
    }
}
