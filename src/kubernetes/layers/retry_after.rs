//! Copies the header `Retry-After` of an error response into its body.
//!
//! kube's errors carry the body of a response but not its headers. Under overload, the API server
//! responds in plain text and requests a delay in the header alone (API Priority and Fairness).
//! This layer writes the delay into the field that a `Status` has for it.

use std::task::Context;
use std::task::Poll;

use bytes::Bytes;
use futures::future::BoxFuture;
use http::HeaderMap;
use http::Request;
use http::Response;
use http::header::RETRY_AFTER;
use http_body::Body;
use http_body_util::BodyExt as _;
use http_body_util::Either;
use http_body_util::Full;
use serde_json::Value;
use serde_json::json;
use tower::BoxError;
use tower::Layer;
use tower::Service;

/// A layer that writes `Retry-After` into the body of error responses.
#[derive(Clone, Copy)]
pub struct KeepRetryAfter;

/// A service whose error responses carry the requested delay in the body.
#[derive(Clone)]
pub struct WithRetryAfter<Inner> {
    inner: Inner,
}

// === impl KeepRetryAfter ===

impl<Inner> Layer<Inner> for KeepRetryAfter {
    type Service = WithRetryAfter<Inner>;

    fn layer(&self, inner: Inner) -> WithRetryAfter<Inner> {
        WithRetryAfter { inner }
    }
}

// === impl WithRetryAfter ===

impl<Inner, Sent, Received> Service<Request<Sent>> for WithRetryAfter<Inner>
where
    Inner: Service<Request<Sent>, Response = Response<Received>>,
    Inner::Future: Send + 'static,
    Inner::Error: Into<BoxError>,
    Received: Body<Data = Bytes> + Send + 'static,
    Received::Error: Into<BoxError>,
{
    type Response = Response<Either<Received, Full<Bytes>>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Sent>) -> Self::Future {
        let response = self.inner.call(request);
        Box::pin(async move {
            let (head, body) = response.await.map_err(Into::into)?.into_parts();
            let is_error = head.status.is_client_error() || head.status.is_server_error();
            let Some(seconds) = requested_delay(&head.headers).filter(|_| is_error) else {
                return Ok(Response::from_parts(head, Either::Left(body)));
            };
            let bytes = body.collect().await.map_err(Into::into)?.to_bytes();
            let body = with_delay(&bytes, head.status.as_u16(), seconds);
            Ok(Response::from_parts(head, Either::Right(Full::from(body))))
        })
    }
}

/// The header in seconds. The API server does not use its other form, a date.
fn requested_delay(headers: &HeaderMap) -> Option<u32> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// `body` as a `Status` that requests a delay of `seconds`.
fn with_delay(body: &[u8], code: u16, seconds: u32) -> Vec<u8> {
    let status = serde_json::from_slice(body).ok().filter(|status: &Value| status.is_object());
    let mut status = status.unwrap_or_else(|| {
        let message = String::from_utf8_lossy(body).trim().to_owned();
        json!({
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": message,
            "code": code,
        })
    });
    if !status["details"].is_object() {
        status["details"] = json!({});
    }
    status["details"]["retryAfterSeconds"] = json!(seconds);
    status.to_string().into_bytes()
}

#[cfg(test)]
mod tests {
    use tower::ServiceExt as _;
    use tower::service_fn;

    use super::*;

    async fn response(code: u16, delay: Option<&'static str>, body: &'static str) -> String {
        let server = KeepRetryAfter.layer(service_fn(move |_: Request<()>| async move {
            let mut response = Response::builder().status(code);
            if let Some(delay) = delay {
                response = response.header(RETRY_AFTER, delay);
            }
            Ok::<_, BoxError>(response.body(Full::<Bytes>::from(body)).unwrap())
        }));
        let response = server.oneshot(Request::new(())).await.unwrap();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    async fn delay(code: u16, delay: Option<&'static str>, body: &'static str) -> (i64, String) {
        let status: Value = serde_json::from_str(&response(code, delay, body).await).unwrap();
        let seconds = status["details"]["retryAfterSeconds"].as_i64().unwrap_or_default();
        (seconds, status["message"].as_str().unwrap_or_default().to_owned())
    }

    #[tokio::test]
    async fn plain_text_becomes_a_status_with_the_delay() {
        let (seconds, message) = delay(429, Some("7"), "Too many requests\n").await;
        assert_eq!((seconds, message.as_str()), (7, "Too many requests"));
    }

    #[tokio::test]
    async fn a_status_keeps_its_message() {
        let body = r#"{"kind":"Status","message":"busy","details":{"kind":"configmaps"}}"#;
        assert_eq!(delay(503, Some("3"), body).await, (3, "busy".to_owned()));
    }

    #[tokio::test]
    async fn other_responses_are_unchanged() {
        for (code, delay) in [(200, Some("7")), (429, None), (429, Some("tomorrow"))] {
            assert_eq!(response(code, delay, "text").await, "text");
        }
    }
}
