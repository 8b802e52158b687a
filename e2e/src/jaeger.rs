//! Jaeger, all in one and in memory: takes traces, and gives them back by their id.

mod trace;
mod tree;

pub use crate::jaeger::trace::Reference;
pub use crate::jaeger::trace::Span;
pub use crate::jaeger::trace::Tag;
pub use crate::jaeger::trace::Trace;
pub use crate::jaeger::tree::draw;

use std::net::IpAddr;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use reqwest::StatusCode;

use crate::cluster::Cluster;
use crate::jaeger::trace::Answer;
use crate::process::Process;
use crate::wait::Seen;
use crate::wait::until;

const OTLP_GRPC: u16 = 4317;
const OTLP_HTTP: u16 = 4318;
const QUERY: u16 = 16686;
const START: Duration = Duration::from_mins(1);

/// A running Jaeger.
#[derive(Debug)]
pub struct Jaeger {
    process: Process,
    address: IpAddr,
    client: reqwest::Client,
}

impl Jaeger {
    /// Starts one on the node of a cluster, and returns when it answers queries.
    ///
    /// # Errors
    /// It ends, or does not answer in time: the end of its log is in the error.
    pub async fn start(cluster: &Cluster) -> Result<Self> {
        let process = cluster
            .place()
            .program("jaeger")?
            .environment("SPAN_STORAGE_TYPE", "memory")
            .argument("--memory.max-traces=10000")
            .argument("--collector.otlp.enabled=true")
            .argument(format!("--collector.otlp.grpc.host-port=0.0.0.0:{OTLP_GRPC}"))
            .argument(format!("--collector.otlp.http.host-port=0.0.0.0:{OTLP_HTTP}"))
            .argument(format!("--query.http-server.host-port=0.0.0.0:{QUERY}"))
            .argument("--log-level=warn")
            .start()?;
        let client = reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?;
        let this = Self { process, address: cluster.address(), client };
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
        format!("http://{}:{OTLP_GRPC}", self.address)
    }

    /// Where operators send their traces, over HTTP.
    #[must_use]
    pub fn otlp_http(&self) -> String {
        format!("http://{}:{OTLP_HTTP}", self.address)
    }

    /// The query API.
    #[must_use]
    pub fn query(&self) -> String {
        format!("http://{}:{QUERY}", self.address)
    }

    /// The trace with this id, if it has arrived.
    ///
    /// # Errors
    /// Jaeger cannot be reached, or answers with anything but a trace.
    pub async fn trace(&self, id: &str) -> Result<Option<Trace>> {
        let address = format!("{}/api/traces/{id}", self.query());
        let asked = || format!("asking Jaeger for a trace: GET {address}");
        let answer = self.client.get(&address).send().await.with_context(asked)?;
        match answer.status() {
            StatusCode::OK => {
                let answer: Answer = answer.json().await.with_context(asked)?;
                Ok(answer.data.unwrap_or_default().into_iter().find(|trace| trace.id == id))
            }
            StatusCode::NOT_FOUND => Ok(None),
            status => bail!("{} answered {status}", asked()),
        }
    }
}
