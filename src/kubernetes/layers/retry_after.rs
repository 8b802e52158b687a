//! Keeps what a server asks for by the header `Retry-After`.
//!
//! kube's errors carry the body of an answer and none of its headers. The API server itself, when
//! it has too much to do, answers in plain text and asks for a delay in the header alone (API
//! Priority and Fairness). So the delay is written into the body, where a `Status` has a field
//! for it.
//!
//! An error is also put into one line: kube reads the answer to a watch line by line, whatever its
//! code (kube-client 4.2, `Client::request_events`), and waits longer after each that it cannot
//! understand. A refusal that the API server has indented would cost minutes.

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

/// A layer that writes `Retry-After` into the body of errors.
#[derive(Clone, Copy)]
pub struct KeepRetryAfter;

/// A service whose errors tell when to try again.
#[derive(Clone)]
pub struct Kept<Inner> {
    inner: Inner,
}

// === impl KeepRetryAfter ===

impl<Inner> Layer<Inner> for KeepRetryAfter {
    type Service = Kept<Inner>;

    fn layer(&self, inner: Inner) -> Kept<Inner> {
        Kept { inner }
    }
}

// === impl Kept ===

impl<Inner, Asked, Answered> Service<Request<Asked>> for Kept<Inner>
where
    Inner: Service<Request<Asked>, Response = Response<Answered>>,
    Inner::Future: Send + 'static,
    Inner::Error: Into<BoxError>,
    Answered: Body<Data = Bytes> + Send + 'static,
    Answered::Error: Into<BoxError>,
{
    type Response = Response<Either<Answered, Full<Bytes>>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Asked>) -> Self::Future {
        let answer = self.inner.call(request);
        Box::pin(async move {
            let (head, body) = answer.await.map_err(Into::into)?.into_parts();
            let is_error = head.status.is_client_error() || head.status.is_server_error();
            if !is_error {
                return Ok(Response::from_parts(head, Either::Left(body)));
            }
            let bytes = body.collect().await.map_err(Into::into)?.to_bytes();
            let body = match asked_delay(&head.headers) {
                Some(seconds) => with_delay(&bytes, head.status.as_u16(), seconds),
                None => in_one_line(&bytes),
            };
            Ok(Response::from_parts(head, Either::Right(Full::from(body))))
        })
    }
}

/// In whole seconds. The other form of the header, a date, is not used by the API server.
fn asked_delay(headers: &HeaderMap) -> Option<u32> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()
}

/// `body` in one line, if it is JSON.
fn in_one_line(body: &[u8]) -> Vec<u8> {
    let parsed = serde_json::from_slice(body).map(|parsed: Value| parsed.to_string().into_bytes());
    parsed.unwrap_or_else(|_| body.to_vec())
}

/// `body` as a `Status` that asks for the delay.
fn with_delay(body: &[u8], code: u16, seconds: u32) -> Vec<u8> {
    let status = serde_json::from_slice(body).ok().filter(|status: &Value| status.is_object());
    let mut status = status.unwrap_or_else(|| {
        let message = String::from_utf8_lossy(body).trim().to_owned();
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code})
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

    async fn answer(code: u16, delay: Option<&'static str>, body: &'static str) -> String {
        let server = KeepRetryAfter.layer(service_fn(move |_: Request<()>| async move {
            let mut answer = Response::builder().status(code);
            if let Some(delay) = delay {
                answer = answer.header(RETRY_AFTER, delay);
            }
            Ok::<_, BoxError>(answer.body(Full::<Bytes>::from(body)).unwrap())
        }));
        let answer = server.oneshot(Request::new(())).await.unwrap();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    async fn delay(code: u16, delay: Option<&'static str>, body: &'static str) -> (i64, String) {
        let status: Value = serde_json::from_str(&answer(code, delay, body).await).unwrap();
        let seconds = status["details"]["retryAfterSeconds"].as_i64().unwrap_or_default();
        (seconds, status["message"].as_str().unwrap_or_default().to_owned())
    }

    #[tokio::test]
    async fn plain_text_becomes_a_status_that_asks_for_the_delay() {
        let (seconds, message) = delay(429, Some("7"), "Too many requests\n").await;
        assert_eq!((seconds, message.as_str()), (7, "Too many requests"));
    }

    #[tokio::test]
    async fn a_status_keeps_what_it_says() {
        let body = r#"{"kind":"Status","message":"busy","details":{"kind":"configmaps"}}"#;
        assert_eq!(delay(503, Some("3"), body).await, (3, "busy".to_owned()));
    }

    #[tokio::test]
    async fn an_indented_refusal_is_put_into_one_line() {
        let indented = "{\n  \"kind\": \"Status\",\n  \"code\": 403\n}\n";
        assert_eq!(answer(403, None, indented).await, r#"{"code":403,"kind":"Status"}"#);
        assert_eq!(answer(200, None, indented).await, indented);
    }

    #[tokio::test]
    async fn everything_else_passes_as_it_is() {
        for (code, delay) in [(200, Some("7")), (429, None), (429, Some("tomorrow"))] {
            assert_eq!(answer(code, delay, "text").await, "text");
        }
    }
}
