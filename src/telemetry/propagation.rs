//! Trace propagation by `traceparent` (W3C Trace Context): to the API server by a header, and from the
//! annotation of a sync.

use std::env;
use std::sync::LazyLock;

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use opentelemetry::propagation::Extractor;
use opentelemetry::propagation::Injector;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::SpanContext;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry::trace::TraceFlags;
use opentelemetry::trace::TraceState;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::telemetry::spans::SpanReference;

const HEADER: &str = "traceparent";

/// Adds the context of `span` to `headers`; nothing if the span is not exported.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&span.context(), &mut Headers(headers));
}

/// The span that a `traceparent` names; `None` if it is malformed. Whether the span was sampled is
/// ignored, unless the sampler is configured to obey its parent: what others sample must not decide
/// which reconciles have a trace.
#[must_use]
pub fn parse(trace_parent: &str) -> Option<SpanReference> {
    let context = TraceContextPropagator::new().extract(&TraceParent(trace_parent));
    let span = context.span().span_context().clone();
    let flags = if *OBEYS_PARENT { span.trace_flags() } else { TraceFlags::SAMPLED };
    let state = TraceState::NONE;
    let span = SpanContext::new(span.trace_id(), span.span_id(), flags, true, state);
    span.is_valid().then(|| SpanReference::new(span))
}

/// Whether the environment configures a sampler that obeys the parent.
static OBEYS_PARENT: LazyLock<bool> = LazyLock::new(|| {
    env::var("OTEL_TRACES_SAMPLER").is_ok_and(|sampler| sampler.starts_with("parentbased_"))
});

struct Headers<'a>(&'a mut HeaderMap);

struct TraceParent<'a>(&'a str);

// === impl Headers ===

impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(key, value);
        }
    }
}

// === impl TraceParent ===

impl Extractor for TraceParent<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        (key == HEADER).then_some(self.0)
    }

    fn keys(&self) -> Vec<&str> {
        vec![HEADER]
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[test]
    fn the_header_names_the_span() {
        let provider = SdkTracerProvider::builder().build();
        let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(traces);
        tracing::subscriber::with_default(subscriber, || {
            let _other = tracing::info_span!("create copy").entered();
            let span = tracing::info_span!("POST configmaps");
            let mut headers = HeaderMap::new();
            inject(&span, &mut headers);
            let context = span.context();
            let span = context.span().span_context().clone();
            assert!(span.is_valid());
            let expected = format!("00-{}-{}-01", span.trace_id(), span.span_id());
            assert_eq!(headers["traceparent"], expected);
        });
    }

    #[test]
    fn a_malformed_parent_is_ignored() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        for flags in ["00", "01"] {
            assert!(parse(&format!("00-{trace}-{span}-{flags}")).is_some());
        }
        let zero = "0".repeat(32);
        for malformed in [
            "",
            "no trace parent",
            &format!("00-{trace}-{span}"),
            &format!("00-{trace}-0000000000000000-01"),
            &format!("00-{zero}-{span}-01"),
            &format!("ff-{trace}-{span}-01"),
        ] {
            assert!(parse(malformed).is_none(), "{malformed:?}");
        }
    }

    #[test]
    fn a_span_that_is_not_exported_is_not_named() {
        let mut headers = HeaderMap::new();
        inject(&Span::none(), &mut headers);
        assert!(!headers.contains_key("traceparent"));
    }
}
