//! Sends the trace on to the API server: the header `traceparent` (W3C Trace Context).

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

/// A layer that puts the current span into the headers of each request.
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
