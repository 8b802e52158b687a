//! What our spans have in common: failures, parents that end first, links and events.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures::future::poll_immediate;
use opentelemetry::Context;
use opentelemetry::KeyValue;
use opentelemetry::trace::SpanContext;
use opentelemetry::trace::Status;
use opentelemetry::trace::TraceContextExt as _;
use tokio::time::timeout;
use tracing::Instrument as _;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::decide::text::cut;

/// Name of the root span of a reconcile.
pub const RECONCILE_SPAN: &str = "reconcile";
/// Name of the span of one observation.
pub const OBSERVE_SPAN: &str = "observe";
/// Name of the span of one decision.
pub const PLAN_SPAN: &str = "plan";
/// Name of the span of one write of a copy, which may end after its reconcile.
pub const WRITE_SPAN: &str = "write copy";
/// Name of the span of one Event, which may end after its reconcile.
pub const EVENT_SPAN: &str = "create Event";
/// Name of the root span of an orphan collection.
pub const ORPHAN_COLLECTION_SPAN: &str = "orphan collection";
/// Name of the span of an API call. It is exported under another name: method and resource.
pub const API_CALL_SPAN: &str = "API call";

/// A wait that ends within this time has no span. In a large fan-out each write waits for the end of
/// another one: the spans of these waits would be a third of all, and show nothing.
pub const SHORT_WAIT: Duration = Duration::from_millis(10);

/// Maximum length of the description of a failed span, in bytes of JSON.
const MAX_DESCRIPTION: usize = 4 * 1024;

/// A span to refer to, by its ids only: it may end before the spans that refer to it.
#[derive(Clone, Debug)]
pub struct SpanReference(SpanContext);

/// Marks `span` as failed: `error.type` is `reason`, and the description of its status is `why`
/// (OpenTelemetry semantic conventions, "Recording errors").
pub fn fail(span: &Span, reason: &'static str, why: &str) {
    span.set_status(Status::error(cut(MAX_DESCRIPTION, why)));
    span.set_attribute("error.type", reason);
}

/// Records that `what` happened to `count` things during the current span.
pub fn event(what: &'static str, count: usize) {
    Span::current().add_event(what, vec![KeyValue::new("count", number(count))]);
}

/// Runs `wait`. What is left of it after [`SHORT_WAIT`] has a span of its own, which `span` creates.
pub async fn waiting<T>(span: impl FnOnce() -> Span, wait: impl Future<Output = T>) -> T {
    let mut wait = pin!(wait);
    if let Some(output) = poll_immediate(&mut wait).await {
        return output;
    }
    match timeout(SHORT_WAIT, &mut wait).await {
        Ok(output) => output,
        Err(_) => wait.instrument(span()).await,
    }
}

/// `count` as the value of an attribute: unsigned integers would be exported as strings.
#[must_use]
pub fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

// === impl SpanReference ===

impl SpanReference {
    pub(super) const fn new(span: SpanContext) -> Self {
        Self(span)
    }

    /// The current span.
    #[must_use]
    pub fn current() -> Self {
        Self(Span::current().context().span().span_context().clone())
    }

    /// Makes this span the parent of `child`, which was just created without one, and starts `child`.
    /// Unlike other parents, it ends without waiting for the child.
    pub fn adopt(&self, child: &Span) {
        if self.0.is_valid() {
            // Fails only if traces are off.
            let _ = child.set_parent(Context::new().with_remote_span_context(self.0.clone()));
            // Reading its context starts it. Otherwise, it would start with its first child, when its
            // trace may have ended.
            drop(child.context());
        }
    }

    /// Adds a link from `span` to this one.
    pub fn link_from(&self, span: &Span) {
        if self.0.is_valid() {
            span.add_link(self.0.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::identity;

    use opentelemetry_sdk::trace::SpanData;
    use tokio::time::sleep;

    use super::*;
    use crate::telemetry::collected;

    fn exported(work: impl FnOnce()) -> Vec<SpanData> {
        collected::spans(identity, work)
    }

    #[test]
    fn a_failed_span_has_reason_and_description() {
        let spans = exported(|| fail(&tracing::info_span!("write"), "Forbidden", "denied: no"));
        assert_eq!(spans[0].status, Status::error("denied: no"));
        let reason = KeyValue::new("error.type", "Forbidden");
        assert!(spans[0].attributes.contains(&reason), "{:?}", spans[0].attributes);
    }

    #[test]
    fn a_parent_ends_before_its_child() {
        let spans = exported(|| {
            let root = tracing::info_span!("root");
            let reference = root.in_scope(SpanReference::current);
            let child = tracing::info_span!(parent: None, "child");
            reference.adopt(&child);
            drop(root);
            drop(child);
        });
        assert_eq!(spans.iter().map(|it| it.name.as_ref()).collect::<Vec<_>>(), ["root", "child"]);
        assert_eq!(spans[1].parent_span_id, spans[0].span_context.span_id());
        assert_eq!(spans[1].span_context.trace_id(), spans[0].span_context.trace_id());
    }

    /// The spans of a wait of this length.
    fn waited(length: Duration) -> Vec<SpanData> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().build().unwrap();
        exported(|| {
            let span = || tracing::info_span!("wait");
            runtime.block_on(async { waiting(span, sleep(length)).await });
        })
    }

    #[test]
    fn only_a_long_wait_has_a_span() {
        assert!(waited(Duration::ZERO).is_empty());
        assert!(waited(SHORT_WAIT / 2).is_empty());
        assert_eq!(waited(2 * SHORT_WAIT)[0].name, "wait");
    }

    #[test]
    fn links_and_events_are_exported() {
        let spans = exported(|| {
            let other = tracing::info_span!("other").in_scope(SpanReference::current);
            let span = tracing::info_span!("linked");
            other.link_from(&span);
            span.in_scope(|| event("not waiting", 3));
        });
        assert_eq!(spans[1].links[0].span_context, spans[0].span_context);
        assert_eq!(spans[1].events[0].name, "not waiting");
        assert_eq!(spans[1].events[0].attributes, [KeyValue::new("count", 3)]);
    }
}
