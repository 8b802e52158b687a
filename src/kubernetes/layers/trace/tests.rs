use std::convert::Infallible;
use std::future::pending;
use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use futures::future::BoxFuture;
use futures::stream;
use http::Request;
use http::Response;
use http::Uri;
use http_body::Frame;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use http_body_util::StreamBody;
use opentelemetry::Value;
use opentelemetry::trace::SpanKind;
use opentelemetry::trace::Status;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::SdkTracerProvider;
use opentelemetry_sdk::trace::SpanData;
use opentelemetry_sdk::trace::SpanExporter;
use parking_lot::Mutex;
use tokio::time::timeout;
use tower::BoxError;
use tower::Layer as _;
use tower::ServiceExt as _;
use tower::service_fn;
use tracing::Instrument as _;
use tracing::Span;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Layer as _;
use tracing_subscriber::layer::SubscriberExt as _;

use crate::kubernetes::layers::read_timeout::ReadTimeout;
use crate::kubernetes::layers::trace::TraceCalls;
use crate::telemetry::RECONCILE_SPAN;
use crate::telemetry::exported_spans;

const COPIES: &str = "/api/v1/namespaces/app/configmaps?fieldManager=a";

/// The spans that were exported.
#[derive(Clone, Debug, Default)]
struct Exported(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Exported {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().extend(batch);
        Ok(())
    }
}

impl Exported {
    /// Exports the spans of this thread until the guard is dropped.
    fn begin() -> (Self, DefaultGuard) {
        let exported = Self::default();
        let provider = SdkTracerProvider::builder().with_simple_exporter(exported.clone()).build();
        let traces = tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("test"))
            .with_filter(exported_spans());
        (exported, tracing::subscriber::set_default(tracing_subscriber::registry().with(traces)))
    }

    /// The spans of calls.
    fn calls(&self) -> Vec<SpanData> {
        let spans = self.0.lock();
        spans.iter().filter(|span| span.name != RECONCILE_SPAN).cloned().collect()
    }
}

type Answer = Result<Response<Full<Bytes>>, BoxError>;

fn answer(code: u16) -> Answer {
    Ok(Response::builder().status(code).body(Full::from("{}"))?)
}

/// Sends a POST within `parent`.
fn post(
    parent: Span,
    respond: impl FnOnce(Request<()>) -> BoxFuture<'static, Answer> + Send + 'static,
) -> impl Future<Output = Result<(), BoxError>> {
    let layer = TraceCalls::new(&Uri::from_static("https://cluster.local:6443"));
    let mut respond = Some(respond);
    let server = service_fn(move |request| {
        respond.take().map_or_else(|| pending().boxed(), |it| it(request))
    });
    let request = Request::post(COPIES).body(()).unwrap();
    async move { layer.layer(server).oneshot(request).await.map(drop) }.instrument(parent)
}

/// The span of a POST within a reconcile.
async fn span_of(answer: Answer) -> SpanData {
    let (exported, _guard) = Exported::begin();
    let reconcile = tracing::info_span!(RECONCILE_SPAN);
    let _ = post(reconcile, |_| ready(answer).boxed()).await;
    exported.calls().remove(0)
}

fn attribute(span: &SpanData, key: &str) -> Option<Value> {
    let found = span.attributes.iter().find(|attribute| attribute.key.as_str() == key);
    found.map(|attribute| attribute.value.clone())
}

#[tokio::test]
async fn a_call_has_the_attributes_of_the_conventions() {
    let span = span_of(answer(201)).await;
    assert_eq!(span.name, "POST configmaps");
    assert_eq!(span.span_kind, SpanKind::Client);
    assert_eq!(span.status, Status::Unset);
    for (key, expected) in [
        ("http.request.method", Value::from("POST")),
        ("url.full", Value::from(format!("https://cluster.local:6443{COPIES}"))),
        ("server.address", Value::from("cluster.local")),
        ("server.port", Value::from(6443)),
        ("http.response.status_code", Value::from(201)),
    ] {
        assert_eq!(attribute(&span, key), Some(expected), "{key}");
    }
    assert_eq!(attribute(&span, "error.type"), None);
}

#[tokio::test]
async fn only_unexpected_status_codes_are_errors() {
    for code in [200, 404, 409] {
        let span = span_of(answer(code)).await;
        assert_eq!(span.status, Status::Unset, "{code}");
        assert_eq!(attribute(&span, "error.type"), None, "{code}");
    }
    for code in [400, 403, 410, 429, 500] {
        let span = span_of(answer(code)).await;
        assert!(matches!(span.status, Status::Error { .. }), "{code}: {:?}", span.status);
        assert_eq!(attribute(&span, "error.type"), Some(code.to_string().into()));
        assert_eq!(attribute(&span, "http.response.status_code"), Some(i64::from(code).into()));
    }
}

#[tokio::test]
async fn an_error_of_the_transport_is_described() {
    let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
    let span = span_of(Err(refused.into())).await;
    assert_eq!(span.status, Status::error("connection refused"));
    assert_eq!(attribute(&span, "error.type"), Some("ConnectionRefused".into()));
    assert_eq!(attribute(&span, "http.response.status_code"), None);

    let span = span_of(Err("malformed".into())).await;
    assert_eq!(span.status, Status::error("malformed"));
    assert_eq!(attribute(&span, "error.type"), Some("_OTHER".into()));
}

#[tokio::test]
async fn a_timeout_and_a_cancelled_call_are_errors() {
    let (exported, _guard) = Exported::begin();
    let slow = ReadTimeout(Duration::from_millis(10))
        .layer(service_fn(|_: Request<()>| pending::<Answer>()));
    let slow = TraceCalls::new(&Uri::from_static("https://cluster.local")).layer(slow);
    let request = Request::get(COPIES).body(()).unwrap();
    let sent = slow.oneshot(request).instrument(tracing::info_span!(RECONCILE_SPAN));
    assert!(sent.await.is_err());
    let forgotten = post(tracing::info_span!(RECONCILE_SPAN), |_| pending().boxed());
    assert!(timeout(Duration::from_millis(10), forgotten).await.is_err());

    let types: Vec<_> = exported.calls().iter().map(|it| attribute(it, "error.type")).collect();
    assert_eq!(types, [Some("timeout".into()), Some("cancelled".into())]);
    assert_eq!(exported.calls()[0].status, Status::error("timed out after 10ms"));
}

#[tokio::test]
async fn the_span_covers_the_body() {
    let (exported, _guard) = Exported::begin();
    let broken = service_fn(|_: Request<()>| {
        let frames: [Result<Frame<Bytes>, BoxError>; 1] = [Err("the body is incomplete".into())];
        ready(Ok::<_, Infallible>(Response::new(StreamBody::new(stream::iter(frames)))))
    });
    let broken = TraceCalls::new(&Uri::from_static("https://cluster.local")).layer(broken);
    let request = Request::get(COPIES).body(()).unwrap();
    let sent = broken.oneshot(request).instrument(tracing::info_span!(RECONCILE_SPAN));
    let response = sent.await.unwrap();
    assert!(exported.calls().is_empty());
    assert!(response.into_body().collect().await.is_err());
    assert_eq!(exported.calls()[0].status, Status::error("the body is incomplete"));
}

#[tokio::test]
async fn traceparent_names_the_span_of_the_call() {
    let (exported, _guard) = Exported::begin();
    let sent = Arc::new(Mutex::new(None));
    let received = Arc::clone(&sent);
    let reconcile = tracing::info_span!(RECONCILE_SPAN);
    let respond = move |request: Request<()>| {
        *received.lock() = request.headers().get("traceparent").cloned();
        ready(answer(201)).boxed()
    };
    post(reconcile, respond).await.unwrap();
    let span = exported.calls().remove(0);
    let context = &span.span_context;
    let expected = format!("00-{}-{}-01", context.trace_id(), context.span_id());
    assert_eq!(sent.lock().as_ref().unwrap(), &expected);
    assert_ne!(span.parent_span_id, opentelemetry::SpanId::INVALID);
}

#[tokio::test]
async fn a_call_outside_a_reconcile_has_no_span() {
    let (exported, _guard) = Exported::begin();
    let respond = |request: Request<()>| {
        assert!(!request.headers().contains_key("traceparent"));
        ready(answer(200)).boxed()
    };
    post(tracing::info_span!("elected"), respond).await.unwrap();
    post(Span::none(), |_| ready(answer(200)).boxed()).await.unwrap();
    assert!(exported.calls().iter().all(|span| span.name == "elected"), "{exported:?}");
}
