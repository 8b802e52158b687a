//! Counts requests by method, host and status code.

use std::sync::Arc;
use std::task::Context;
use std::task::Poll;
use std::time::Instant;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use http::Request;
use http::Response;
use tower::Layer;
use tower::Service;

use crate::metrics::Metrics;

/// A layer that counts the requests to one host.
#[derive(Clone)]
pub struct CountRequests {
    host: Arc<str>,
    metrics: Arc<Metrics>,
}

/// A service whose requests are counted.
#[derive(Clone)]
pub struct Counted<Inner> {
    inner: Inner,
    count: CountRequests,
}

// === impl CountRequests ===

impl CountRequests {
    /// A layer that counts the requests to `host` in `metrics`.
    #[must_use]
    pub fn new(host: String, metrics: Arc<Metrics>) -> Self {
        Self { host: host.into(), metrics }
    }
}

impl<Inner> Layer<Inner> for CountRequests {
    type Service = Counted<Inner>;

    fn layer(&self, inner: Inner) -> Counted<Inner> {
        Counted { inner, count: self.clone() }
    }
}

// === impl Counted ===

impl<Inner, Sent, Received> Service<Request<Sent>> for Counted<Inner>
where
    Inner: Service<Request<Sent>, Response = Response<Received>>,
    Inner::Future: Send + 'static,
{
    type Response = Inner::Response;
    type Error = Inner::Error;
    type Future = BoxFuture<'static, Result<Inner::Response, Inner::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Inner::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Sent>) -> Self::Future {
        let method = request.method().clone();
        let (count, sent) = (self.count.clone(), Instant::now());
        let record = move |result: &Result<Response<Received>, Inner::Error>| {
            let code = result.as_ref().ok().map(|response| response.status().as_u16());
            count.metrics.requests.count(method.as_str(), &count.host, code, sent.elapsed());
        };
        self.inner.call(request).inspect(record).boxed()
    }
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt as _;
    use tower::service_fn;

    use super::*;

    #[tokio::test]
    async fn responses_and_errors_are_counted() {
        let metrics = Arc::new(Metrics::new(&[]));
        let layer = CountRequests::new("cluster:6443".to_owned(), Arc::clone(&metrics));
        let server = layer.layer(service_fn(|request: Request<&'static str>| async move {
            match *request.body() {
                "unreachable" => Err("connection refused"),
                _ => Ok(Response::builder().status(409).body(()).unwrap()),
            }
        }));
        for body in ["reachable", "reachable", "unreachable"] {
            drop(server.clone().oneshot(Request::post("/").body(body).unwrap()).await);
        }
        let text = metrics.exposition();
        for (code, count) in [("409", 2), ("<error>", 1)] {
            let labels = format!(r#"code="{code}",host="cluster:6443",method="POST""#);
            let line = format!("rest_client_requests_total{{{labels}}} {count}");
            assert!(text.contains(&line), "missing {line} in:\n{text}");
        }
    }
}
