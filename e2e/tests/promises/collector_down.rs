//! An unreachable or silent trace collector costs nothing but the spans: latency, memory and exit
//! are as without traces.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use futures::Stream;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use harness::replica::Replica;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::WatchEvent;
use kube::api::WatchParams;
use serde_json::Value;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

use crate::support::process::resident_kib;

/// Edits per latency measurement.
const MEASURED: usize = 40;
/// Enough edits to fill the queue of 2048 spans, at about ten spans each.
const FILL: usize = 200;
/// Enough edits for a memory leak to show.
const MANY: usize = 300;
/// Accepted growth of memory, in KiB: the allocator varies.
const MAX_GROWTH: u64 = 6 * 1024;
/// Accepted difference on a machine under load; waiting for a collector would add seconds.
const NOISE: Duration = Duration::from_millis(25);
/// Deadline of the exit, with two seconds for exporting the last spans. It is below the timeout of
/// ten seconds for a call to the collector.
const EXIT: Duration = Duration::from_secs(9);
/// Measurements, of which one must pass: waiting for a collector would slow down all of them, other
/// load of the machine only some.
const MEASUREMENTS: usize = 3;

/// A collector that accepts connections and never responds.
struct Blackhole {
    address: std::net::SocketAddr,
    task: tokio::task::JoinHandle<()>,
}

impl Blackhole {
    async fn open() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            let mut held: Vec<TcpStream> = Vec::new();
            while let Ok((stream, _)) = listener.accept().await {
                held.push(stream);
            }
        });
        Ok(Self { address, task })
    }
}

impl Drop for Blackhole {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn traced(endpoint: &str, protocol: &str) -> Options {
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", protocol),
        ("OTEL_BSP_SCHEDULE_DELAY", "200"),
    ];
    let owned = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    Options { environment: owned.into(), ..Options::default() }
}

/// Edits the source in one cluster, and watches its copy.
struct Editor {
    fixture: Fixture,
    watch: BoxStream<'static, kube::Result<WatchEvent<ConfigMap>>>,
}

impl Editor {
    async fn start(cluster: &OperatorCluster) -> Result<Self> {
        let fixture = cluster.fixture();
        let copies: Api<ConfigMap> = Api::namespaced(fixture.client(), "app");
        let parameters = WatchParams::default().fields("metadata.name=shared");
        let watch = copies.watch(&parameters, "0").await?.boxed();
        let mut editor = Self { fixture, watch };
        // The first edits open the connections.
        editor.edits(10).await?;
        Ok(editor)
    }

    /// Edits the source, and returns the time until the copy was updated.
    async fn edit(&mut self) -> Result<Duration> {
        let value = format!("{:016x}", fastrand::u64(..));
        let begin = Instant::now();
        let edit = json!({"data": {"a": value}});
        self.fixture.patch_config_map("central", "shared", &edit).await?;
        let updated = tokio::time::timeout(SOON, wait_value(&mut self.watch, &value)).await;
        updated.context("timed out waiting for the copy to be updated")??;
        Ok(begin.elapsed())
    }

    async fn edits(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            self.edit().await?;
        }
        Ok(())
    }
}

/// Waits until the watch delivers a copy with this value.
async fn wait_value(
    mut watch: impl Stream<Item = kube::Result<WatchEvent<ConfigMap>>> + Unpin,
    value: &str,
) -> Result<()> {
    while let Some(event) = watch.try_next().await? {
        if let WatchEvent::Added(copy) | WatchEvent::Modified(copy) = event
            && copy.data.is_some_and(|data| data.get("a").is_some_and(|it| it == value))
        {
            return Ok(());
        }
    }
    anyhow::bail!("the watch of the copies ended")
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}

/// Sorted latencies of edits, with traces and without.
struct Times {
    with: Vec<Duration>,
    without: Vec<Duration>,
}

impl Times {
    /// Alternates between the two, so that other load affects both.
    async fn measure(with: &mut Editor, without: &mut Editor) -> Result<Self> {
        let mut times = Self { with: Vec::new(), without: Vec::new() };
        for _ in 0..MEASURED {
            times.with.push(with.edit().await?);
            times.without.push(without.edit().await?);
        }
        times.with.sort();
        times.without.sort();
        Ok(times)
    }

    /// Measures until both latencies are alike; fails after [`MEASUREMENTS`].
    async fn ensure_alike(name: &str, with: &mut Editor, without: &mut Editor) -> Result<()> {
        for _ in 1..MEASUREMENTS {
            if Self::measure(with, without).await?.are_alike(name).is_ok() {
                return Ok(());
            }
        }
        Self::measure(with, without).await?.are_alike(name)
    }

    fn are_alike(&self, name: &str) -> Result<()> {
        for percent in [50, 95] {
            let with = percentile(&self.with, percent);
            let without = percentile(&self.without, percent);
            let ratio = with.as_secs_f64() / without.as_secs_f64();
            eprintln!(
                "{name}: edit to copy p{percent} {with:.1?}, without traces {without:.1?}, ratio \
                 {ratio:.2}"
            );
            ensure!(with <= without * 2 + NOISE, "{name}: p{percent} {with:?}, not {without:?}");
        }
        Ok(())
    }
}

/// Starts a replica with traces, and compares it with one without, from start to exit.
async fn compare_with_plain(
    cluster: &mut OperatorCluster,
    plain: &OperatorCluster,
    name: &str,
    options: &Options,
) -> Result<()> {
    let replica = Replica::start(&cluster.control_plane, name, options).await?;
    replica.wait_ready().await?;
    cluster.replicas.push(replica);
    cluster.wait_leader().await?;
    let (mut with, mut without) = (Editor::start(cluster).await?, Editor::start(plain).await?);
    Times::ensure_alike(name, &mut with, &mut without).await?;

    with.edits(FILL).await?;
    let replica = cluster.replica()?;
    let before = resident_kib(replica.process())?;
    with.edits(MANY).await?;
    let after = resident_kib(replica.process())?;
    eprintln!("{name}: {before} KiB, after {MANY} more edits {after} KiB");
    ensure!(
        after.saturating_sub(before) < MAX_GROWTH,
        "{name}: memory grew from {before} to {after} KiB"
    );

    let begin = Instant::now();
    replica.process().terminate()?;
    let status = replica.process().wait_exit(EXIT).await?;
    eprintln!("{name}: exit after {:.1?}", begin.elapsed());
    ensure!(status.success(), "{name} exited with {status}");
    let logs = replica.logs();
    let plain = logs.iter().find(|line| line.is_string());
    ensure!(plain.is_none(), "{name}: a log line is not JSON: {plain:?}");
    let errors = logs.iter().filter(|line| is_export_error(line)).count();
    eprintln!("{name}: {errors} log lines about the export of spans");
    cluster.replicas.clear();
    Ok(())
}

/// Whether a log line is about the export of spans.
fn is_export_error(line: &Value) -> bool {
    line["target"].as_str().is_some_and(|target| target.starts_with("opentelemetry"))
}

async fn create_sync(cluster: &OperatorCluster) -> Result<()> {
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    Ok(())
}

#[tokio::test]
async fn unreachable_collector_slows_nothing_down() -> Result<()> {
    let (plain, mut cluster) =
        tokio::try_join!(OperatorCluster::start(1), OperatorCluster::start(0))?;
    tokio::try_join!(create_sync(&plain), create_sync(&cluster))?;
    let blackhole = Blackhole::open().await?;
    let silent = format!("http://{}", blackhole.address);
    for (name, endpoint, protocol) in [
        ("collector-gone", "http://127.0.0.1:1", "grpc"),
        ("collector-silent", &silent, "grpc"),
        ("collector-silent-http", &silent, "http/protobuf"),
    ] {
        compare_with_plain(&mut cluster, &plain, name, &traced(endpoint, protocol)).await?;
    }
    Ok(())
}
