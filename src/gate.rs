//! The write gate: nothing is written but under a [`Lead`].
//!
//! A layer on the operator's clients, so that no code path and no library can go round it. Reads
//! pass, and so does what is written for show (`dryRun=All`). A write passes only while we lead,
//! and tells the API server to give up on it before our time is over. The Lease, and what
//! announces the leader, are written by a client of the election's own.

use std::sync::Arc;
use std::sync::OnceLock;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use futures::FutureExt as _;
use futures::TryFutureExt as _;
use futures::future::BoxFuture;
use http::Method;
use http::Request;
use http::Uri;
use tower::BoxError;
use tower::Layer;
use tower::Service;

use crate::election::Lead;
use crate::election::NotLeading;
use crate::election::limit::limit;

/// The API server may work on a write for so long, or as long as we lead, if that is shorter.
const WRITE_TIMEOUT: Duration = Duration::from_secs(8);

/// A layer that lets writes pass once it is open, and for as long as we lead.
#[derive(Clone, Debug, Default)]
pub struct Gate {
    lead: Arc<OnceLock<Lead>>,
}

/// A service behind the gate.
#[derive(Clone, Debug)]
pub struct Gated<Inner> {
    inner: Inner,
    gate: Gate,
}

// === impl Gate ===

impl Gate {
    /// Lets writes pass while `lead` lasts. There is one term in the life of a process: a gate
    /// that was opened stays as it is.
    pub fn open(&self, lead: Lead) {
        // What is set already is the only lead that there is.
        let _ = self.lead.set(lead);
    }

    /// How long the API server may work on a write that is sent now.
    fn time_left(&self) -> Result<Duration, NotLeading> {
        let remaining = self.lead.get().ok_or(NotLeading)?.remaining()?;
        Ok(remaining.min(WRITE_TIMEOUT))
    }
}

impl<Inner> Layer<Inner> for Gate {
    type Service = Gated<Inner>;

    fn layer(&self, inner: Inner) -> Gated<Inner> {
        Gated { inner, gate: self.clone() }
    }
}

// === impl Gated ===

impl<Inner, Body> Service<Request<Body>> for Gated<Inner>
where
    Inner: Service<Request<Body>>,
    Inner::Future: Send + 'static,
    Inner::Error: Into<BoxError> + 'static,
    Inner::Response: 'static,
{
    type Response = Inner::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Inner::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        if is_write(request.method(), request.uri()) {
            match self.gate.time_left() {
                Ok(time_left) => limit(request.uri_mut(), time_left),
                Err(error) => return Box::pin(async move { Err(error.into()) }),
            }
        }
        self.inner.call(request).map_err(Into::into).boxed()
    }
}

/// Whether a request may change anything. What we do not know may.
fn is_write(method: &Method, uri: &Uri) -> bool {
    let reads = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    let is_for_show =
        uri.query().is_some_and(|query| query.split('&').any(|it| it == "dryRun=All"));
    !reads && !is_for_show
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt as _;
    use tower::service_fn;

    use super::*;

    /// What the API server gets to see of a request: its path and query.
    async fn sent(gate: &Gate, method: Method, uri: &str) -> Result<String, BoxError> {
        let server = service_fn(|request: Request<()>| async move {
            Ok::<_, BoxError>(request.uri().to_string())
        });
        let request = Request::builder().method(method).uri(uri).body(())?;
        gate.layer(server).oneshot(request).await
    }

    const WRITES: [Method; 4] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

    async fn assert_shut(gate: &Gate) {
        for method in WRITES {
            let refused = sent(gate, method, "/x?fieldManager=dryRun").await.unwrap_err();
            assert_eq!(refused.downcast_ref(), Some(&NotLeading));
        }
        assert_eq!(sent(gate, Method::GET, "/x").await.unwrap(), "/x");
        let for_show = "/x?a=b&dryRun=All";
        assert_eq!(sent(gate, Method::POST, for_show).await.unwrap(), for_show);
    }

    #[tokio::test]
    async fn writes_pass_only_while_we_lead() {
        let gate = Gate::default();
        assert_shut(&gate).await;
        let lead = Lead::for_tests(Duration::from_mins(1));
        gate.open(lead.clone());
        for method in WRITES {
            assert_eq!(sent(&gate, method, "/x").await.unwrap(), "/x?timeout=8000ms");
        }
        assert_eq!(sent(&gate, Method::GET, "/x").await.unwrap(), "/x");
        lead.end_for_tests();
        assert_shut(&gate).await;
        gate.open(Lead::for_tests(Duration::from_mins(1)));
        assert_shut(&gate).await;
    }

    #[tokio::test]
    async fn a_write_may_not_take_longer_than_we_lead() {
        let gate = Gate::default();
        gate.open(Lead::for_tests(Duration::from_secs(3)));
        let uri = sent(&gate, Method::PATCH, "/x?fieldManager=m").await.unwrap();
        let (before, time) = uri.rsplit_once('=').unwrap();
        assert_eq!(before, "/x?fieldManager=m&timeout");
        let time: u64 = time.trim_end_matches("ms").parse().unwrap();
        assert!((2_000..3_000).contains(&time), "{uri}");
    }
}
