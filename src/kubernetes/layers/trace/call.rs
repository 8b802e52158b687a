//! The span of one call.

use std::error::Error;
use std::io;

use bytes::Bytes;
use http::Method;
use http::Response;
use http::StatusCode;
use http::Uri;
use http_body::Body;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use tower::BoxError;
use tracing::Span;
use tracing::field::Empty;

use crate::kubernetes::layers::read_timeout::TimedOut;
use crate::kubernetes::layers::target;
use crate::kubernetes::layers::trace::server::Server;
use crate::telemetry;

/// A call in flight. If it is dropped without a response, its span is an error.
pub struct Call {
    span: Span,
    is_pending: bool,
    /// Whether the span has an `error.type`: recorded twice, it would be exported twice.
    is_failed: bool,
}

// === impl Call ===

impl Call {
    /// Begins the span of a call, below the current span.
    pub fn begin(server: &Server, method: &Method, uri: &Uri) -> Self {
        let span = tracing::debug_span!(
            telemetry::API_CALL_SPAN,
            otel.name = name(method, uri),
            otel.kind = "client",
            otel.status_code = Empty,
            otel.status_description = Empty,
            "http.request.method" = method.as_str(),
            "url.full" = server.url(uri),
            "server.address" = server.address,
            "server.port" = i64::from(server.port),
            "http.response.status_code" = Empty,
            "error.type" = Empty,
        );
        Self { span, is_pending: true, is_failed: false }
    }

    /// The span of the call.
    pub const fn span(&self) -> &Span {
        &self.span
    }

    /// Records the head of the response. The span ends when its body is dropped.
    pub fn answered<Received>(
        mut self,
        response: Response<Received>,
    ) -> Response<UnsyncBoxBody<Bytes, BoxError>>
    where
        Received: Body<Data = Bytes> + Send + 'static,
        Received::Error: Into<BoxError>,
    {
        self.is_pending = false;
        let status = response.status();
        // As i64: an unsigned number would be exported as text.
        self.span.record("http.response.status_code", i64::from(status.as_u16()));
        if is_failure(status) {
            self.record_error(status.as_str());
        }
        response
            .map(|body| body.map_err(move |error| self.failed_with(error.into())).boxed_unsync())
    }

    /// Records that there is no response, and returns the error.
    pub fn failed(mut self, error: BoxError) -> BoxError {
        self.is_pending = false;
        self.failed_with(error)
    }

    fn failed_with(&mut self, error: BoxError) -> BoxError {
        self.record_error(&error_type(&*error));
        self.span.record("otel.status_description", telemetry::describe(&*error));
        error
    }

    fn record_error(&mut self, error_type: &str) {
        self.span.record("otel.status_code", "ERROR");
        if !std::mem::replace(&mut self.is_failed, true) {
            self.span.record("error.type", error_type);
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.is_pending {
            self.record_error("cancelled");
            let why = "the call was cancelled before its response";
            self.span.record("otel.status_description", why);
        }
    }
}

/// The name of the span: a method and a resource, so that there are few of them.
fn name(method: &Method, uri: &Uri) -> String {
    match target::resource(uri.path()) {
        Some(resource) => format!("{method} {resource}"),
        None => method.to_string(),
    }
}

/// Whether the response reports a failure. 404 and 409 are observations: the object does not exist,
/// or has changed.
fn is_failure(status: StatusCode) -> bool {
    let is_error = status.is_client_error() || status.is_server_error();
    is_error && ![StatusCode::NOT_FOUND, StatusCode::CONFLICT].contains(&status)
}

/// The class of an error without response, such as `timeout` or `ConnectionRefused`.
fn error_type(error: &(dyn Error + 'static)) -> String {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.is::<TimedOut>() {
            return "timeout".to_owned();
        }
        match error.downcast_ref::<io::Error>().map(io::Error::kind) {
            Some(io::ErrorKind::TimedOut) => return "timeout".to_owned(),
            // TLS errors and the like are wrapped.
            Some(io::ErrorKind::Other | io::ErrorKind::InvalidData) | None => {}
            Some(kind) => return format!("{kind:?}"),
        }
        cause = error.source();
    }
    "_OTHER".to_owned()
}
