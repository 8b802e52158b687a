//! The write gate: nothing is written but under a [`Lead`].
//!
//! A layer on the operator's clients, so that no code path and no library can go round it. Reads
//! pass, and so does what is written for show (`dryRun=All`). A write passes only while we lead,
//! and tells the API server to give up on it before our time is over; one that still waits for a
//! connection when we no longer lead is not sent. The Lease, and what announces the leader, are
//! written by a client of the election's own.
//!
//! The gate also knows until when a write that nobody has answered may still be carried out.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::OnceLock;
use std::sync::PoisonError;
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
use crate::election::clock::boot_time;
use crate::kubernetes::error::NotLeading;
use crate::kubernetes::layers::request_timeout::limit;

/// The API server may work on a write for so long, or as long as we lead, if that is shorter.
const WRITE_TIMEOUT: Duration = Duration::from_secs(8);

/// A layer that lets writes pass once it is open, and for as long as we lead.
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

/// A write under way. Dropped before it is answered, it may still be carried out for a while.
struct UnderWay {
    gate: WriteGate,
    /// How long the API server may work on it.
    time: Duration,
    is_answered: bool,
}

// === impl WriteGate ===

impl WriteGate {
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

    /// Whether a write that nobody has answered may still be carried out.
    #[must_use]
    pub fn may_write_still(&self) -> bool {
        boot_time() < *self.unanswered_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl UnderWay ===

impl UnderWay {
    fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if !self.is_answered {
            let until = &self.gate.unanswered_until;
            let mut until = until.lock().unwrap_or_else(PoisonError::into_inner);
            // It may have been sent only now.
            *until = (boot_time() + self.time).max(*until);
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
        let time_left = match self.gate.time_left() {
            Ok(time_left) => time_left,
            Err(error) => return Box::pin(async move { Err(error.into()) }),
        };
        limit(request.uri_mut(), time_left);
        let under_way = UnderWay { gate: self.gate.clone(), time: time_left, is_answered: false };
        let mut answer = Box::pin(self.inner.call(request));
        async move {
            let answer = poll_fn(|context| match under_way.gate.time_left() {
                // Who wakes up late must not send what has waited meanwhile.
                Err(error) => Poll::Ready(Err(error.into())),
                Ok(_) => answer.as_mut().poll(context).map_err(Into::into),
            });
            let answer = answer.await;
            if answer.is_ok() {
                under_way.answered();
            }
            answer
        }
        .boxed()
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

    fn silent() -> impl Service<Request<()>, Response = (), Error = BoxError, Future: Send + 'static>
    {
        service_fn(|_: Request<()>| std::future::pending())
    }

    const WRITES: [Method; 4] = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE];

    async fn assert_shut(gate: &WriteGate) {
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
        let gate = WriteGate::default();
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
    async fn what_waits_to_be_sent_when_our_time_is_over_is_not_sent() {
        let gate = WriteGate::default();
        let lead = Lead::for_tests(Duration::from_mins(1));
        gate.open(lead.clone());
        let mut sending = gate.layer(silent()).call(write());
        assert!(sending.as_mut().now_or_never().is_none());
        lead.end_for_tests();
        let refused = sending.await.unwrap_err();
        assert_eq!(refused.downcast_ref(), Some(&NotLeading));
    }

    #[tokio::test]
    async fn what_was_not_answered_may_still_be_carried_out() {
        let gate = WriteGate::default();
        gate.open(Lead::for_tests(Duration::from_mins(1)));
        sent(&gate, Method::POST, "/x").await.unwrap();
        assert!(!gate.may_write_still());
        drop(gate.layer(silent()).call(write()));
        assert!(gate.may_write_still());
    }

    #[tokio::test]
    async fn a_write_may_not_take_longer_than_we_lead() {
        let gate = WriteGate::default();
        gate.open(Lead::for_tests(Duration::from_secs(7)));
        let uri = sent(&gate, Method::PATCH, "/x?fieldManager=m").await.unwrap();
        let (before, time) = uri.rsplit_once('=').unwrap();
        assert_eq!(before, "/x?fieldManager=m&timeout");
        let time: u64 = time.trim_end_matches("ms").parse().unwrap();
        assert!((2_000..7_000).contains(&time), "{uri}");
    }
}
