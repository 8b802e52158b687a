//! Jaeger, all in one and in memory: takes traces, and gives them back by their id.

mod timeline;
mod trace;
mod tree;

pub use crate::jaeger::timeline::timeline;
pub use crate::jaeger::trace::Reference;
pub use crate::jaeger::trace::Span;
pub use crate::jaeger::trace::SpanProcess;
pub use crate::jaeger::trace::Tag;
pub use crate::jaeger::trace::Trace;
pub use crate::jaeger::tree::draw;

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use reqwest::StatusCode;

use crate::certificates::KeyFiles;
use crate::cluster::Cluster;
use crate::jaeger::trace::Answer;
use crate::ports::free_port;
use crate::process::Process;
use crate::process::Program;
use crate::requests;
use crate::run_folder::RunFolder;
use crate::tools::Set;
use crate::tools::Tools;
use crate::wait::Seen;
use crate::wait::until;

const OTLP_GRPC: u16 = 4317;
const OTLP_HTTP: u16 = 4318;
const QUERY: u16 = 16686;
const START: Duration = Duration::from_mins(1);

/// Ports of unused services: set to free ones, so that another Jaeger is not in the way.
const UNUSED: [&str; 8] = [
    "admin.http.host-port",
    "collector.grpc-server.host-port",
    "collector.http-server.host-port",
    "http-server.host-port",
    "processor.jaeger-binary.server-host-port",
    "processor.jaeger-compact.server-host-port",
    "processor.zipkin-compact.server-host-port",
    "query.grpc-server.host-port",
];

#[derive(Clone, Copy, Debug)]
struct Ports {
    otlp_grpc: SocketAddr,
    otlp_http: SocketAddr,
    query: SocketAddr,
}

/// A running Jaeger.
#[derive(Debug)]
pub struct Jaeger {
    process: Process,
    ports: Ports,
    /// Of the addresses that take traces: `http` or `https`.
    scheme: &'static str,
    client: reqwest::Client,
    /// Of its log, unless it runs on a cluster. Dropped after the process.
    _folder: Option<RunFolder>,
}

impl Jaeger {
    /// Starts one on the node of a cluster, and returns when it answers queries. Serves the built pages of
    /// Jaeger in the folder `pages`, if one is given: without, its page is a placeholder.
    pub async fn start(cluster: &Cluster, pages: Option<&Path>) -> Result<Self> {
        let ports = |address: IpAddr| Ports {
            otlp_grpc: SocketAddr::new(address, OTLP_GRPC),
            otlp_http: SocketAddr::new(address, OTLP_HTTP),
            query: SocketAddr::new(address, QUERY),
        };
        let mut program = cluster.environment().program("jaeger")?;
        if let Some(pages) = pages {
            program = program.argument(format!("--query.static-files={}", pages.display()));
        }
        let listen = ports(Ipv4Addr::UNSPECIFIED.into());
        Self::start_program(program, listen, ports(cluster.address()), None).await
    }

    /// Starts one on loopback, at ports that are free, with its log in a folder of its own.
    pub async fn start_local() -> Result<Self> {
        Self::start_on_loopback(None).await
    }

    /// Like [`Self::start_local`]; takes traces over TLS only, with this server certificate.
    pub async fn start_local_with_tls(certificate: &KeyFiles) -> Result<Self> {
        Self::start_on_loopback(Some(certificate)).await
    }

    async fn start_on_loopback(tls: Option<&KeyFiles>) -> Result<Self> {
        let folder = RunFolder::create()?;
        let tools = Tools::ensure(&[Set::Jaeger]).await?;
        let mut program = Program::new(tools.path("jaeger")?, folder.path().join("jaeger.log"));
        for flag in UNUSED {
            program = program.argument(format!("--{flag}=127.0.0.1:0"));
        }
        let address = Ipv4Addr::LOCALHOST.into();
        let port = || anyhow::Ok(SocketAddr::new(address, free_port(address)?));
        let ports = Ports { otlp_grpc: port()?, otlp_http: port()?, query: port()? };
        let started = Self::start_program(program, ports, ports, tls).await?;
        Ok(Self { _folder: Some(folder), ..started })
    }

    async fn start_program(
        mut program: Program,
        listen: Ports,
        ports: Ports,
        tls: Option<&KeyFiles>,
    ) -> Result<Self> {
        if let Some(KeyFiles { certificate, key }) = tls {
            for receiver in ["grpc", "http"] {
                let flag = format!("--collector.otlp.{receiver}.tls");
                program = program
                    .argument(format!("{flag}.enabled=true"))
                    .argument(format!("{flag}.cert={}", certificate.display()))
                    .argument(format!("{flag}.key={}", key.display()));
            }
        }
        let process = program
            .environment("SPAN_STORAGE_TYPE", "memory")
            .argument("--memory.max-traces=10000")
            .argument("--collector.otlp.enabled=true")
            .argument(format!("--collector.otlp.grpc.host-port={}", listen.otlp_grpc))
            .argument(format!("--collector.otlp.http.host-port={}", listen.otlp_http))
            .argument(format!("--query.http-server.host-port={}", listen.query))
            .argument("--log-level=warn")
            .start()?;
        let client = requests::client().timeout(Duration::from_secs(10)).build()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        let this = Self { process, ports, scheme, client, _folder: None };
        until("Jaeger answers queries", START, || async {
            this.process.expect_running()?;
            let answer = this.client.get(format!("{}/api/services", this.query())).send().await;
            Ok(match answer.and_then(reqwest::Response::error_for_status) {
                Ok(_) => Seen::Done(()),
                Err(error) => Seen::NotYet(format!("{error}; {}", this.process.tail(5))),
            })
        })
        .await?;
        Ok(this)
    }

    /// Its process, to be frozen or killed.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// Where operators send their traces, over gRPC.
    #[must_use]
    pub fn otlp_grpc(&self) -> String {
        format!("{}://{}", self.scheme, self.ports.otlp_grpc)
    }

    /// Where operators send their traces, over HTTP.
    #[must_use]
    pub fn otlp_http(&self) -> String {
        format!("{}://{}", self.scheme, self.ports.otlp_http)
    }

    /// The query API.
    #[must_use]
    pub fn query(&self) -> String {
        format!("http://{}", self.ports.query)
    }

    /// The trace with this id, if it has arrived.
    pub async fn trace(&self, id: &str) -> Result<Option<Trace>> {
        let address = format!("{}/api/traces/{id}", self.query());
        let attempt = || format!("reading a trace from Jaeger: GET {address}");
        let answer = self.client.get(&address).send().await.with_context(attempt)?;
        match answer.status() {
            StatusCode::OK => {
                let answer: Answer = answer.json().await.with_context(attempt)?;
                Ok(answer.data.unwrap_or_default().into_iter().find(|trace| trace.id == id))
            }
            StatusCode::NOT_FOUND => Ok(None),
            status => bail!("{} answered {status}", attempt()),
        }
    }

    /// All traces of `service`.
    pub async fn traces(&self, service: &str) -> Result<Vec<Trace>> {
        let text = self.everything(service).await?;
        let answer: Answer = serde_json::from_str(&text).context("reading Jaeger's traces")?;
        Ok(answer.data.unwrap_or_default())
    }

    /// All traces of `service`, as the text of Jaeger's response.
    pub async fn everything(&self, service: &str) -> Result<String> {
        let address = format!("{}/api/traces?service={service}&limit=10000", self.query());
        let attempt = || format!("reading all traces from Jaeger: GET {address}");
        let answer = self.client.get(&address).send().await.with_context(attempt)?;
        answer.error_for_status().with_context(attempt)?.text().await.with_context(attempt)
    }
}
