//! The write gate: a layer that admits writes only under a valid [`Lead`].
//!
//! As a layer on the operator's clients it covers every code path and every library. It admits
//! reads, dry runs and reviews of permissions always. To a write it adds `?timeout=`, so that the API server gives up
//! before the `Lead` ends, and it drops a write that still waits for a connection when the `Lead`
//! ends. The client for the Lease and the leader record has no gate.
//!
//! The gate also knows how long an unanswered write may still take effect.

use std::future::poll_fn;
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
use parking_lot::Mutex;
use tower::BoxError;
use tower::Layer;
use tower::Service;

use crate::election::clock::boot_time;
use crate::election::lead::Lead;
use crate::kubernetes::error::NotLeading;
use crate::kubernetes::layers::request_timeout::limit;

/// The longest time that the API server may work on a write.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(8);

/// A layer that admits writes from [`WriteGate::open`] until the `Lead` ends. Clones share one
/// state.
#[derive(Clone, Debug, Default)]
pub struct WriteGate {
    lead: Arc<OnceLock<Lead>>,
    /// On the boot-time clock.
    unanswered_until: Arc<Mutex<Duration>>,
}

/// A service behind the gate.
#[derive(Clone, Debug)]
pub struct Gated<Inner> {
    inner: Inner,
    gate: WriteGate,
}

/// A write in flight. If it is dropped without a response, it may still take effect.
struct InFlight {
    gate: WriteGate,
    /// How long the API server may work on it.
    timeout: Duration,
    is_answered: bool,
}

// === impl WriteGate ===

impl WriteGate {
    /// Admits writes while `lead` is valid. Later calls have no effect: a process has at most one
    /// term.
    pub fn open(&self, lead: Lead) {
        let _ = self.lead.set(lead);
    }

    /// How long the API server may work on a write that is sent now.
    fn timeout(&self) -> Result<Duration, NotLeading> {
        let remaining = self.lead.get().ok_or(NotLeading)?.remaining()?;
        Ok(remaining.min(WRITE_TIMEOUT))
    }

    /// Whether a write that got no response may still take effect.
    #[must_use]
    pub fn has_unanswered_writes(&self) -> bool {
        boot_time() < *self.unanswered_until.lock()
    }
}

// === impl InFlight ===

impl InFlight {
    fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.is_answered {
            let mut until = self.gate.unanswered_until.lock();
            // Counted from now: it may have been sent only a moment ago.
            *until = (boot_time() + self.timeout).max(*until);
        }
    }
}

impl<Inner> Layer<Inner> for WriteGate {
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
        if !is_write(request.method(), request.uri()) {
            return self.inner.call(request).map_err(Into::into).boxed();
        }
        let timeout = match self.gate.timeout() {
            Ok(timeout) => timeout,
            Err(error) => return Box::pin(async move { Err(error.into()) }),
        };
        limit(request.uri_mut(), timeout);
        let in_flight = InFlight { gate: self.gate.clone(), timeout, is_answered: false };
        let mut response = Box::pin(self.inner.call(request));
        async move {
            let response = poll_fn(|context| match in_flight.gate.timeout() {
                // A poll may send the request: after a suspension, check again.
                Err(error) => Poll::Ready(Err(error.into())),
                Ok(_) => response.as_mut().poll(context).map_err(Into::into),
            });
            let response = response.await;
            if response.is_ok() {
                in_flight.answered();
            }
            response
        }
        .boxed()
    }
}

/// Whether a request may change anything. An unknown method may.
fn is_write(method: &Method, uri: &Uri) -> bool {
    let is_read = [Method::GET, Method::HEAD, Method::OPTIONS].contains(method);
    let is_dry_run = uri.query().is_some_and(|query| query.split('&').any(|it| it == "dryRun=All"));
    // A review of permissions stores nothing.
    let is_review = uri.path().starts_with("/apis/authorization.k8s.io/");
    !is_read && !is_dry_run && !is_review
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt as _;
    use tower::service_fn;

    use super::*;

    /// The path and query of a request as the API server receives it.
    async fn sent(gate: &WriteGate, method: Method, uri: &str) -> Result<String, BoxError> {
        let server = service_fn(|request: Request<()>| async move {
            Ok::<_, BoxError>(request.uri().to_string())
        });
        let request = Request::builder().method(method).uri(uri).body(())?;
        gate.layer(server).oneshot(request).await
    }

    fn write() -> Request<()> {
        Request::post("/x").body(()).unwrap()
    }

    fn unanswered()
    -> impl Service<Request<()>, Response = (), Error = BoxError, Future: Send + 'static> {
        service_fn(|_: Request<()>| std::future::pending())
    }

    const WRITES: [Method; 4] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

    async fn assert_closed(gate: &WriteGate) {
        for method in WRITES {
            let refused = sent(gate, method, "/x?fieldManager=dryRun").await.unwrap_err();
            assert_eq!(refused.downcast_ref(), Some(&NotLeading));
        }
        assert_eq!(sent(gate, Method::GET, "/x").await.unwrap(), "/x");
        let dry_run = "/x?a=b&dryRun=All";
        assert_eq!(sent(gate, Method::POST, dry_run).await.unwrap(), dry_run);
    }

    #[tokio::test]
    async fn writes_are_admitted_only_under_a_valid_lead() {
        let gate = WriteGate::default();
        assert_closed(&gate).await;
        let lead = Lead::for_tests(Duration::from_mins(1));
        gate.open(lead.clone());
        for method in WRITES {
            assert_eq!(sent(&gate, method, "/x").await.unwrap(), "/x?timeout=8000ms");
        }
        assert_eq!(sent(&gate, Method::GET, "/x").await.unwrap(), "/x");
        lead.end_for_tests();
        assert_closed(&gate).await;
        gate.open(Lead::for_tests(Duration::from_mins(1)));
        assert_closed(&gate).await;
    }

    #[tokio::test]
    async fn a_write_that_waits_when_the_lead_ends_is_not_sent() {
        let gate = WriteGate::default();
        let lead = Lead::for_tests(Duration::from_mins(1));
        gate.open(lead.clone());
        let mut sending = gate.layer(unanswered()).call(write());
        assert!(sending.as_mut().now_or_never().is_none());
        lead.end_for_tests();
        let refused = sending.await.unwrap_err();
        assert_eq!(refused.downcast_ref(), Some(&NotLeading));
    }

    #[tokio::test]
    async fn a_write_without_response_may_still_take_effect() {
        let gate = WriteGate::default();
        gate.open(Lead::for_tests(Duration::from_mins(1)));
        sent(&gate, Method::POST, "/x").await.unwrap();
        assert!(!gate.has_unanswered_writes());
        drop(gate.layer(unanswered()).call(write()));
        assert!(gate.has_unanswered_writes());
    }

    #[tokio::test]
    async fn the_timeout_of_a_write_ends_before_the_lead() {
        let gate = WriteGate::default();
        gate.open(Lead::for_tests(Duration::from_secs(7)));
        let uri = sent(&gate, Method::PATCH, "/x?fieldManager=m").await.unwrap();
        let (before, time) = uri.rsplit_once('=').unwrap();
        assert_eq!(before, "/x?fieldManager=m&timeout");
        let time: u64 = time.trim_end_matches("ms").parse().unwrap();
        assert!((2_000..7_000).contains(&time), "{uri}");
    }
}
