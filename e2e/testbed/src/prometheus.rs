//! A real Prometheus (Debian's package prometheus), on loopback.

use std::fs;
use std::net::Ipv4Addr;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use reqwest::Client;
use reqwest::Url;
use serde_json::Value;
use serde_json::json;

use crate::debian;
use crate::ports::free_port;
use crate::process::Process;
use crate::process::Program;
use crate::requests;
use crate::run_folder::RunFolder;
use crate::wait::Seen;
use crate::wait::until;

/// The deadline for its start.
const START: Duration = Duration::from_secs(30);

/// A running Prometheus. It ends when it is dropped.
pub struct Prometheus {
    process: Process,
    url: String,
    client: Client,
    _folder: RunFolder,
}

// === impl Prometheus ===

impl Prometheus {
    /// Starts one that scrapes each of `targets`, a host and a port, once a second.
    pub async fn start(targets: &[String]) -> Result<Self> {
        debian::ensure_prometheus().await?;
        let folder = RunFolder::create()?;
        let file = folder.path().join("prometheus.yml");
        let job = json!({"job_name": "configmapsync", "static_configs": [{"targets": targets}]});
        // JSON is YAML, too.
        let config = json!({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]});
        fs::write(&file, config.to_string())
            .with_context(|| format!("writing {}", file.display()))?;
        let host = Ipv4Addr::LOCALHOST.into();
        let address = SocketAddr::new(host, free_port(host)?);
        let process = Program::new("prometheus", folder.path().join("prometheus.log"))
            .argument(format!("--config.file={}", file.display()))
            .argument(format!("--storage.tsdb.path={}", folder.path().join("data").display()))
            .argument(format!("--web.listen-address={address}"))
            .start()?;
        let client = requests::client().timeout(Duration::from_secs(10)).build()?;
        let this = Self { process, url: format!("http://{address}"), client, _folder: folder };
        until("Prometheus is ready", START, || async {
            this.process.expect_running()?;
            let answer = this.client.get(format!("{}/-/ready", this.url)).send().await;
            Ok(match answer.and_then(reqwest::Response::error_for_status) {
                Ok(_) => Seen::Done(()),
                Err(error) => Seen::NotYet(format!("{error}; {}", this.process.tail(5))),
            })
        })
        .await?;
        Ok(this)
    }

    /// The values that the instant query `expression` results in now, by its series.
    pub async fn query(&self, expression: &str) -> Result<Vec<f64>> {
        let url =
            Url::parse_with_params(&format!("{}/api/v1/query", self.url), [("query", expression)])?;
        let text = self.client.get(url).send().await?.text().await?;
        let answer: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
        let series = answer["data"]["result"].as_array();
        let series = series.with_context(|| format!("{expression}: {text}"))?;
        let values = series.iter().filter_map(|it| it["value"][1].as_str()?.parse().ok());
        Ok(values.collect())
    }
}
