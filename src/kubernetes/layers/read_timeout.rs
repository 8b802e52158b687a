//! The longest wait for a response, and for the next part of it.
//!
//! kube's own `read_timeout` belongs to the connection: it also runs while the connection is idle
//! (kube-client 4.2 without `reset_reader_on_write` of hyper-timeout). A request on a connection
//! that has been idle for most of that time would fail at once. This one begins with the request.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::Request;
use http::Response;
use http_body::Body;
use http_body::Frame;
use http_body::SizeHint;
use http_body_util::BodyExt as _;
use http_body_util::combinators::UnsyncBoxBody;
use tokio::time::Instant;
use tokio::time::Sleep;
use tokio::time::sleep;
use tokio::time::timeout;
use tower::BoxError;
use tower::Layer;
use tower::Service;

/// A layer that limits the wait for a response, and for each part of its body.
#[derive(Clone, Copy)]
pub struct ReadTimeout(pub Duration);

/// A service whose responses arrive in time, or fail.
#[derive(Clone)]
pub struct Timed<Inner> {
    inner: Inner,
    limit: Duration,
}

/// A body whose parts arrive in time, or fail.
struct TimedBody {
    inner: UnsyncBoxBody<Bytes, BoxError>,
    limit: Duration,
    deadline: Pin<Box<Sleep>>,
}

/// No response, or no further part of it, arrived in time.
#[derive(Debug, thiserror::Error)]
#[error("timed out after {0:?}")]
pub struct TimedOut(Duration);

// === impl ReadTimeout ===

impl<Inner> Layer<Inner> for ReadTimeout {
    type Service = Timed<Inner>;

    fn layer(&self, inner: Inner) -> Timed<Inner> {
        Timed { inner, limit: self.0 }
    }
}

// === impl Timed ===

impl<Inner, Sent, Received> Service<Request<Sent>> for Timed<Inner>
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

    fn call(&mut self, request: Request<Sent>) -> Self::Future {
        let (limit, response) = (self.limit, timeout(self.limit, self.inner.call(request)));
        Box::pin(async move {
            let response = response.await.map_err(|_| TimedOut(limit))?.map_err(Into::into)?;
            Ok(response.map(|body| TimedBody::new(body, limit).boxed_unsync()))
        })
    }
}

// === impl TimedBody ===

impl TimedBody {
    fn new<Received>(inner: Received, limit: Duration) -> Self
    where
        Received: Body<Data = Bytes> + Send + 'static,
        Received::Error: Into<BoxError>,
    {
        let inner = inner.map_err(Into::into).boxed_unsync();
        Self { inner, limit, deadline: Box::pin(sleep(limit)) }
    }
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let frame = Pin::new(&mut this.inner).poll_frame(context);
        if frame.is_ready() {
            this.deadline.as_mut().reset(Instant::now() + this.limit);
            return frame;
        }
        let timed_out = |()| Some(Err(TimedOut(this.limit).into()));
        this.deadline.as_mut().poll(context).map(timed_out)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::StreamExt as _;
    use futures::stream;
    use http_body_util::StreamBody;
    use tower::ServiceExt as _;
    use tower::service_fn;

    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);

    /// A response whose head arrives after `head`, and its two parts each after `part`.
    async fn received(head: Duration, part: Duration) -> Result<Bytes, String> {
        let server = ReadTimeout(LIMIT).layer(service_fn(move |_: Request<()>| async move {
            sleep(head).await;
            let parts = stream::iter(["a", "b"]).then(move |text| async move {
                sleep(part).await;
                Ok::<_, Infallible>(Frame::data(Bytes::from(text)))
            });
            Ok::<_, Infallible>(Response::new(StreamBody::new(parts)))
        }));
        let response = server.oneshot(Request::new(())).await.map_err(|it| it.to_string())?;
        Ok(response.into_body().collect().await.map_err(|it| it.to_string())?.to_bytes())
    }

    #[tokio::test]
    async fn a_response_in_time_is_unchanged() {
        assert_eq!(received(Duration::ZERO, Duration::ZERO).await, Ok(Bytes::from("ab")));
    }

    #[tokio::test]
    async fn a_late_response_or_part_of_it_fails() {
        let late = Err("timed out after 100ms".to_owned());
        assert_eq!(received(LIMIT * 100, Duration::ZERO).await, late);
        assert_eq!(received(Duration::ZERO, LIMIT * 100).await, late);
    }
}
