//! A span per API call, by OpenTelemetry's semantic conventions for HTTP clients.
//!
//! The span begins with the request, covers the response with its body, and is the one that the
//! header `traceparent` of the request names. kube's own retries are off, so that a span is one
//! attempt: a later attempt is another call, with a span of its own.
//!
//! A span contains names, never a header or a body: bodies contain the values of `ConfigMaps`.

mod call;
mod server;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::task::Context;
use std::task::Poll;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::Request;
use http::Response;
use http::Uri;
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use tower::BoxError;
use tower::Layer;
use tower::Service;

use crate::kubernetes::layers::trace::call::Call;
use crate::kubernetes::layers::trace::server::Server;
use crate::telemetry::propagation;

/// A layer that records a span per request to one API server.
#[derive(Clone)]
pub struct TraceCalls {
    server: Arc<Server>,
}

/// A service whose requests are recorded.
#[derive(Clone)]
pub struct Traced<Inner> {
    inner: Inner,
    server: Arc<Server>,
}

// === impl TraceCalls ===

impl TraceCalls {
    /// A layer for the requests to the API server at `url`.
    #[must_use]
    pub fn new(url: &Uri) -> Self {
        Self { server: Arc::new(Server::new(url)) }
    }
}

impl<Inner> Layer<Inner> for TraceCalls {
    type Service = Traced<Inner>;

    fn layer(&self, inner: Inner) -> Traced<Inner> {
        Traced { inner, server: Arc::clone(&self.server) }
    }
}

// === impl Traced ===

impl<Inner, Sent, Received> Service<Request<Sent>> for Traced<Inner>
where
    Inner: Service<Request<Sent>, Response = Response<Received>>,
    Inner::Future: Send + 'static,
    Inner::Error: Into<BoxError>,
    Received: Body<Data = Bytes> + Send + 'static,
    Received::Error: Into<BoxError>,
{
    type Response = Response<UnsyncBoxBody<Bytes, BoxError>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Sent>) -> Self::Future {
        let call = Call::begin(&self.server, request.method(), request.uri());
        propagation::inject(call.span(), request.headers_mut());
        let response = self.inner.call(request);
        Box::pin(async move {
            match response.await {
                Ok(response) => Ok(call.answered(response)),
                Err(error) => Err(call.failed(error.into())),
            }
        })
    }
}
