//! One request and its answer, and what befalls them on the way.

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
use crate::fault_proxy::proxy_state::Shared;
use crate::fault_proxy::response_body::Body;
use crate::fault_proxy::response_body::whole;
use crate::fault_proxy::upstream::Connection;
use crate::fault_proxy::upstream::Upstream;
use crate::fault_proxy::watch_stream;

/// The requests of one connection of the replica, which follow each other.
///
/// An error closes the connection without an answer.
pub(super) struct Exchange {
    upstream: Arc<Upstream>,
    shared: Arc<Shared>,
    connection: Mutex<Option<Connection>>,
}

impl Exchange {
    pub fn new(upstream: Arc<Upstream>, shared: Arc<Shared>) -> Self {
        Self { upstream, shared, connection: Mutex::default() }
    }

    pub async fn run(&self, request: http::Request<Incoming>) -> Result<Response<Body>> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let request = self.shared.arrived(describe(&parts, &body));
        let fault = self.shared.fault(&request);
        match &fault {
            Some(Fault::Cut) => bail!("cut before it was sent"),
            Some(Fault::Respond(answer)) => return instead(answer),
            Some(Fault::Delay(delay)) => tokio::time::sleep(*delay).await,
            Some(Fault::HoldBefore(hold)) => pass(hold, &request).await?,
            _ => {}
        }
        let answer = self.ask(parts, body).await?;
        self.shared.answered(request.number, answer.status().as_u16());
        if request.is_watch() && answer.status().is_success() {
            return self.watch(&request, answer, fault.as_ref()).await;
        }
        self.finish(request, answer, fault).await
    }

    async fn ask(&self, parts: Parts, body: Bytes) -> Result<Response<Incoming>> {
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
        let answer = sender.send_request(request).await?;
        *connection = Some(sender);
        Ok(answer)
    }

    async fn finish(
        &self,
        mut request: Request,
        answer: Response<Incoming>,
        fault: Option<Fault>,
    ) -> Result<Response<Body>> {
        let (mut head, body) = answer.into_parts();
        let mut body = body.collect().await?.to_bytes();
        request.status = Some(head.status.as_u16());
        match fault {
            Some(Fault::LoseResponse) => bail!("the answer was lost"),
            Some(Fault::HoldAfter(hold)) => pass(&hold, &request).await?,
            Some(Fault::TruncateResponse) => body.truncate(body.len() / 2),
            _ => {}
        }
        // The length is that of what is sent now, and sent at once.
        head.headers.remove(header::TRANSFER_ENCODING);
        head.headers.insert(header::CONTENT_LENGTH, body.len().into());
        Ok(Response::from_parts(head, whole(body)))
    }

    async fn watch(
        &self,
        request: &Request,
        answer: Response<Incoming>,
        fault: Option<&Fault>,
    ) -> Result<Response<Body>> {
        match fault {
            Some(Fault::LoseResponse | Fault::TruncateResponse) => bail!("the watch was cut"),
            Some(Fault::HoldAfter(hold)) => pass(hold, request).await?,
            _ => {}
        }
        let (head, body) = answer.into_parts();
        let lines =
            watch_stream::lines(Arc::clone(&self.shared), request.resource().to_owned(), body);
        Ok(Response::from_parts(head, lines))
    }
}

fn describe(parts: &Parts, body: &Bytes) -> Request {
    Request {
        number: 0,
        arrived: Instant::now(),
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        body: body.clone(),
        status: None,
        fault: None,
    }
}

async fn pass(hold: &Hold, request: &Request) -> Result<()> {
    if !hold.passes(request).await {
        bail!("cut at a hold");
    }
    Ok(())
}

fn instead(answer: &CannedResponse) -> Result<Response<Body>> {
    let mut response = Response::builder()
        .status(answer.status)
        .header(header::CONTENT_TYPE, "application/json")
        .header(header::CONTENT_LENGTH, answer.body.len());
    if let Some(seconds) = answer.retry_after {
        response = response.header(header::RETRY_AFTER, seconds);
    }
    Ok(response.body(whole(Bytes::from(answer.body.clone())))?)
}
