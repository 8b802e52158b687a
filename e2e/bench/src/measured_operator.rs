//! The measured operator: one process, with the optimization of a release except fat LTO.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use harness::replica;
use harness::replica::Pod;
use harness::replica::Replica;
use testbed::control_plane::ControlPlane;
use testbed::requests;
use testbed::terminal::Done;
use testbed::terminal::Screen;
use testbed::wait::Seen;
use testbed::wait::until_every;

use crate::options::Options;
use crate::process_usage::Usage;

/// The cargo profile: see Cargo.toml.
const PROFILE: &str = "measure";
const SOON: Duration = Duration::from_mins(1);
const PAUSE: Duration = Duration::from_millis(100);
/// The precision of the time until it is ready.
const READY_PAUSE: Duration = Duration::from_millis(10);

/// The path of the operator's binary: the one from the command line, or built from this checkout.
pub async fn binary(screen: &Screen, options: &Options) -> Result<PathBuf> {
    if let Some(operator) = &options.operator {
        return operator
            .canonicalize()
            .with_context(|| format!("resolving the path {}", operator.display()));
    }
    let work = async {
        let binary = replica::build_operator(PROFILE).await?;
        Ok(Done::new(binary, format!("profile {PROFILE}")))
    };
    screen.step("operator compiled", work).await
}

/// A running operator, which is the leader.
pub struct Operator {
    replica: Replica,
    url: String,
}

// === impl Operator ===

impl Operator {
    /// Starts it in a new pod. It sends its traces to `collector`, if there is one.
    pub async fn launch(
        control_plane: &ControlPlane,
        name: &str,
        binary: PathBuf,
        collector: Option<String>,
    ) -> Result<Self> {
        let endpoint = |endpoint| ("OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(), endpoint);
        let environment = collector.map(endpoint).into_iter().collect();
        let binary = Some(binary);
        let options = replica::Options { binary, environment, ..replica::Options::default() };
        let replica = Replica::start(control_plane, name, &options).await?;
        let url = replica.url().await?;
        Ok(Self { replica, url })
    }

    /// Waits until it leads.
    pub async fn wait_leading(&self) -> Result<()> {
        until_every(PAUSE, "the operator leads", SOON, || async {
            let leads = self.metric("leader_election_master_status").await?;
            Ok(Seen::from_bool(leads > 0.0, || "it does not lead".to_owned()))
        })
        .await
    }

    /// Waits until `/readyz` responds with 200: that of a leader once all its lists are complete.
    pub async fn wait_ready(&self, deadline: Duration) -> Result<()> {
        until_every(READY_PAUSE, "the operator is ready", deadline, || async {
            let is_ready = self.replica.is_ready().await?;
            Ok(Seen::from_bool(is_ready, || "it is not ready".to_owned()))
        })
        .await
    }

    /// The uid of its pod.
    pub fn pod_uid(&self) -> &str {
        &self.replica.pod().uid
    }

    /// Sends SIGTERM, and waits until it has exited.
    pub async fn stop(self) -> Result<()> {
        self.replica.terminate_and_wait().await
    }

    /// Its pod.
    pub fn pod(&self) -> &Pod {
        self.replica.pod()
    }

    /// Its current CPU time and memory.
    pub fn usage(&self) -> Result<Usage> {
        Usage::of(self.replica.process().pid())
    }

    /// The sum of its metric series that start with `series`, a name with labels.
    pub async fn metric(&self, series: &str) -> Result<f64> {
        self.replica.process().expect_running()?;
        let url = format!("{}/metrics", self.url);
        let text = requests::get(&url).await.with_context(|| format!("requesting {url}"))?;
        let text = text.text().await?;
        let lines = text.lines().filter(|line| line.starts_with(series));
        let values = lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok());
        Ok(values.sum())
    }

    /// Waits until the sum of the series is at least `value`.
    pub async fn wait_metric(&self, series: &str, value: f64, deadline: Duration) -> Result<()> {
        until_every(PAUSE, format!("the metric {series} is at least {value}"), deadline, || async {
            let seen = self.metric(series).await?;
            Ok(Seen::from_bool(seen >= value, || seen.to_string()))
        })
        .await
    }
}
