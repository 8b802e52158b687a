//! Forwards one request and its response, and applies the fault of the matching rule.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use http::Response;
use http::header;
use http::request::Parts;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::body::Incoming;
use tokio::sync::Mutex;

use crate::fault_proxy::fault_rule::CannedResponse;
use crate::fault_proxy::fault_rule::Fault;
use crate::fault_proxy::hold::Hold;
use crate::fault_proxy::observed_request::Request;
use crate::fault_proxy::proxy_state::ProxyState;
use crate::fault_proxy::response_body::Body;
use crate::fault_proxy::response_body::complete;
use crate::fault_proxy::upstream::Connection;
use crate::fault_proxy::upstream::Upstream;
use crate::fault_proxy::watch_stream;

/// The sequential requests of one connection of the replica.
///
/// An error closes the connection without a response.
pub(super) struct Exchange {
    upstream: Arc<Upstream>,
    state: Arc<ProxyState>,
    connection: Mutex<Option<Connection>>,
}

impl Exchange {
    pub fn new(upstream: Arc<Upstream>, state: Arc<ProxyState>) -> Self {
        Self { upstream, state, connection: Mutex::default() }
    }

    /// Records the request, applies its fault, and returns the response for the replica.
    pub async fn run(&self, request: http::Request<Incoming>) -> Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let request = self.state.add_request(describe(&parts, &body));
        let fault = self.state.fault(&request);
        match &fault {
            Some(Fault::Cut) => bail!("the rule cuts the connection before the request is sent"),
            Some(Fault::Respond(response)) => return canned(response),
            Some(Fault::Delay(delay)) => tokio::time::sleep(*delay).await,
            Some(Fault::HoldBefore(hold)) => wait_at(hold, &request).await?,
            _ => {}
        }
        let response = self.forward(parts, body).await?;
        self.state.set_status(request.number, response.status().as_u16());
        if request.is_watch() && response.status().is_success() {
            return self.watch(&request, response, fault.as_ref()).await;
        }
        self.finish(request, response, fault).await
    }

    async fn forward(&self, parts: Parts, body: Bytes) -> Result<Response<Incoming>> {
        let mut connection = self.connection.lock().await;
        let mut used = connection.take();
        if let Some(sender) = &mut used
            && sender.ready().await.is_err()
        {
            used = None;
        }
        let mut sender = match used {
            Some(sender) => sender,
            None => self.upstream.connect().await.context("connecting to the API server")?,
        };
        let request = http::Request::from_parts(parts, Full::new(body));
        let response = sender.send_request(request).await?;
        *connection = Some(sender);
        Ok(response)
    }

    async fn finish(
        &self,
        mut request: Request,
        response: Response<Incoming>,
        fault: Option<Fault>,
    ) -> Result<Response<Body>> {
        let (mut head, body) = response.into_parts();
        let mut body = body.collect().await?.to_bytes();
        request.status = Some(head.status.as_u16());
        match fault {
            Some(Fault::LoseResponse) => bail!("the rule drops the response"),
            Some(Fault::HoldAfter(hold)) => wait_at(&hold, &request).await?,
            Some(Fault::TruncateResponse) => body.truncate(body.len() / 2),
            _ => {}
        }
        // The body is sent at once, with its own length.
        head.headers.remove(header::TRANSFER_ENCODING);
        head.headers.insert(header::CONTENT_LENGTH, body.len().into());
        Ok(Response::from_parts(head, complete(body)))
    }

    async fn watch(
        &self,
        request: &Request,
        response: Response<Incoming>,
        fault: Option<&Fault>,
    ) -> Result<Response<Body>> {
        match fault {
            Some(Fault::LoseResponse | Fault::TruncateResponse) => bail!("the rule cuts the watch"),
            Some(Fault::HoldAfter(hold)) => wait_at(hold, request).await?,
            _ => {}
        }
        let (head, body) = response.into_parts();
        let lines =
            watch_stream::lines(Arc::clone(&self.state), request.resource().to_owned(), body);
        Ok(Response::from_parts(head, lines))
    }
}

fn describe(parts: &Parts, body: &Bytes) -> Request {
    let traceparent = parts.headers.get("traceparent").and_then(|value| value.to_str().ok());
    Request {
        number: 0,
        arrived: Instant::now(),
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        traceparent: traceparent.map(str::to_owned),
        body: body.clone(),
        status: None,
        fault: None,
    }
}

async fn wait_at(hold: &Hold, request: &Request) -> Result<()> {
    if !hold.passes(request).await {
        bail!("the test cuts the connection of the held request");
    }
    Ok(())
}

fn canned(canned: &CannedResponse) -> Result<Response<Body>> {
    let mut response = Response::builder()
        .status(canned.status)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, canned.body.len());
    if let Some(seconds) = canned.retry_after {
        response = response.header(header::RETRY_AFTER, seconds);
    }
    Ok(response.body(complete(Bytes::from(canned.body.clone())))?)
}
