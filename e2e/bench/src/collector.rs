//! What receives the traces of the operator.

use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;

use anyhow::Result;
use anyhow::ensure;
use bytes::Bytes;
use clap::ValueEnum;
use http::HeaderMap;
use http::Request;
use http::Response;
use http::header;
use http_body_util::BodyExt as _;
use http_body_util::Full;
use hyper::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioExecutor;
use hyper_util::rt::TokioIo;
use testbed::jaeger::Jaeger;
use tokio::net::TcpListener;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// A gRPC message without fields: not compressed, of length 0.
const EMPTY_MESSAGE: &[u8] = &[0; 5];

/// Which collector the operator exports its traces to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Traces {
    /// Jaeger, started for the run. It takes CPU time from the operator on a small machine.
    Jaeger,
    /// A collector that accepts all spans and discards them: what traces cost the operator itself.
    Discard,
}

/// A running collector. Dropping it stops it.
pub enum Collector {
    Jaeger(Box<Jaeger>),
    Discard(Discard),
}

/// A gRPC server that accepts every request.
pub struct Discard {
    url: String,
    received: Arc<AtomicUsize>,
    _connections: JoinSet<()>,
}

// === impl Collector ===

impl Collector {
    /// Starts it on loopback.
    pub async fn start(traces: Traces) -> Result<Self> {
        Ok(match traces {
            Traces::Jaeger => Self::Jaeger(Box::new(Jaeger::start_local().await?)),
            Traces::Discard => Self::Discard(Discard::start().await?),
        })
    }

    /// How many bytes of spans it has discarded. Fails if it has received none.
    pub fn ensure_used(&self) -> Result<Option<usize>> {
        let Self::Discard(discard) = self else { return Ok(None) };
        let bytes = discard.received.load(Ordering::Relaxed);
        ensure!(bytes > 0, "the operator has exported no traces");
        Ok(Some(bytes))
    }

    /// Where it receives OTLP over gRPC.
    pub fn otlp_grpc(&self) -> String {
        match self {
            Self::Jaeger(jaeger) => jaeger.otlp_grpc(),
            Self::Discard(discard) => discard.url.clone(),
        }
    }
}

// === impl Discard ===

impl Discard {
    async fn start() -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let received = Arc::default();
        let mut connections = JoinSet::new();
        connections.spawn(accept(listener, Arc::clone(&received)));
        Ok(Self { url, received, _connections: connections })
    }
}

async fn accept(listener: TcpListener, received: Arc<AtomicUsize>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(serve(stream, Arc::clone(&received)));
    }
}

async fn serve(stream: TcpStream, received: Arc<AtomicUsize>) {
    let service = service_fn(move |request| discard(request, Arc::clone(&received)));
    let server = http2::Builder::new(TokioExecutor::new());
    // It fails when the operator ends.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

/// Reads and counts the bytes of the request, and responds that all spans were accepted (OTLP, "Full Success").
async fn discard(
    request: Request<Incoming>,
    received: Arc<AtomicUsize>,
) -> Result<Response<impl Body<Data = Bytes, Error = Infallible>>, hyper::Error> {
    let mut body = request.into_body();
    while let Some(frame) = body.frame().await {
        let bytes = frame?.data_ref().map_or(0, Bytes::len);
        received.fetch_add(bytes, Ordering::Relaxed);
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", 0.into());
    let accepted = Full::new(Bytes::from_static(EMPTY_MESSAGE));
    let mut response = Response::new(accepted.with_trailers(async { Some(Ok(trailers)) }));
    let grpc = header::HeaderValue::from_static("application/grpc");
    response.headers_mut().insert(header::CONTENT_TYPE, grpc);
    Ok(response)
}
