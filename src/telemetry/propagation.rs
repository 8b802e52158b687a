//! Trace propagation to the API server by the header `traceparent` (W3C Trace Context).

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use opentelemetry::propagation::Injector;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// Adds the context of `span` to `headers`; nothing if the span is not exported.
pub fn inject(span: &Span, headers: &mut HeaderMap) {
    TraceContextPropagator::new().inject_context(&span.context(), &mut Headers(headers));
}

struct Headers<'a>(&'a mut HeaderMap);

// === impl Headers ===

impl Injector for Headers<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(key), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(key, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TraceContextExt as _;
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
    fn a_span_that_is_not_exported_is_not_named() {
        let mut headers = HeaderMap::new();
        inject(&Span::none(), &mut headers);
        assert!(!headers.contains_key("traceparent"));
    }
}
