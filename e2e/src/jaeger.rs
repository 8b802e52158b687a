//! Jaeger, all in one and in memory: takes traces, and gives them back by their id.

mod trace;
mod tree;

pub use crate::jaeger::trace::Reference;
pub use crate::jaeger::trace::Span;
pub use crate::jaeger::trace::Tag;
pub use crate::jaeger::trace::Trace;
pub use crate::jaeger::tree::draw;

use std::net::IpAddr;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use reqwest::StatusCode;

use crate::jaeger::trace::Answer;

/// Where a Jaeger answers.
#[derive(Clone, Debug)]
pub struct Jaeger {
    address: IpAddr,
    client: reqwest::Client,
}

impl Jaeger {
    /// Where operators send their traces, over gRPC.
    #[must_use]
    pub fn otlp_grpc(&self) -> String {
        format!("http://{}:4317", self.address)
    }

    /// Where operators send their traces, over HTTP.
    #[must_use]
    pub fn otlp_http(&self) -> String {
        format!("http://{}:4318", self.address)
    }

    /// The query API.
    #[must_use]
    pub fn query(&self) -> String {
        format!("http://{}:16686", self.address)
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
