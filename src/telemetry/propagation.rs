//! Trace propagation to the API server by the header `traceparent` (W3C Trace Context).

use http::HeaderMap;
use http::HeaderName;
use http::HeaderValue;
use http::Request;
use opentelemetry::propagation::Injector;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tower::util::MapRequestLayer;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// A layer that adds the context of the current span to the headers of each request.
#[must_use]
pub fn layer<Body>() -> MapRequestLayer<fn(Request<Body>) -> Request<Body>> {
    MapRequestLayer::new(with_traceparent)
}

fn with_traceparent<Body>(mut request: Request<Body>) -> Request<Body> {
    let mut headers = Headers(request.headers_mut());
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut headers);
    request
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
    fn a_request_within_a_span_has_its_traceparent() {
        let provider = SdkTracerProvider::builder().build();
        let traces = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
        let subscriber = tracing_subscriber::registry().with(traces);
        tracing::subscriber::with_default(subscriber, || {
            let _entered = tracing::info_span!("create copy").entered();
            let request = with_traceparent(Request::new(()));
            let context = Span::current().context();
            let span = context.span().span_context().clone();
            assert!(span.is_valid());
            let expected = format!("00-{}-{}-01", span.trace_id(), span.span_id());
            assert_eq!(request.headers()["traceparent"], expected);
        });
    }

    #[test]
    fn a_request_outside_a_span_has_no_traceparent() {
        assert!(!with_traceparent(Request::new(())).headers().contains_key("traceparent"));
    }
}
