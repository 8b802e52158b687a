//! Promise: a collector that is gone or never answers costs nothing but its spans.

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
use testbed::process::Process;
use tokio::net::TcpListener;
use tokio::net::TcpStream;

/// Edits to measure latency by.
const MEASURED: usize = 40;
/// Edits that fill the queue of 2048 spans, at some ten spans each.
const FILL: usize = 200;
/// Edits by which a leak would show.
const MANY: usize = 300;
/// What the allocator's whims may take, in KiB.
const MEMORY: u64 = 6 * 1024;
/// What a machine under load adds here or there; a collector that is waited for adds seconds.
const NOISE: Duration = Duration::from_millis(25);
/// How long the exit may take: two seconds of it for spans that can still be sent. Less than the
/// ten that a call to the collector may take.
const EXIT: Duration = Duration::from_secs(9);
/// How often is measured: a collector that is waited for is so each time, and what else a machine
/// does is not.
const MEASUREMENTS: usize = 3;

/// A collector that takes every connection, and never says a word.
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

/// Edits the source in one world, and watches its copy.
struct Editor {
    fixture: Fixture,
    watch: BoxStream<'static, kube::Result<WatchEvent<ConfigMap>>>,
}

impl Editor {
    async fn start(world: &OperatorCluster) -> Result<Self> {
        let fixture = world.fixture();
        let copies: Api<ConfigMap> = Api::namespaced(fixture.client(), "app");
        let parameters = WatchParams::default().fields("metadata.name=shared");
        let watch = copies.watch(&parameters, "0").await?.boxed();
        let mut editor = Self { fixture, watch };
        // The first ones pay for connections.
        editor.edits(10).await?;
        Ok(editor)
    }

    /// Edits the source; how long it took until the copy had followed.
    async fn edit(&mut self) -> Result<Duration> {
        let value = format!("{:016x}", fastrand::u64(..));
        let begin = Instant::now();
        let edit = json!({"data": {"a": value}});
        self.fixture.patch_config_map("central", "shared", &edit).await?;
        let followed = tokio::time::timeout(SOON, followed(&mut self.watch, &value)).await;
        followed.context("the copy does not follow")??;
        Ok(begin.elapsed())
    }

    async fn edits(&mut self, count: usize) -> Result<()> {
        for _ in 0..count {
            self.edit().await?;
        }
        Ok(())
    }
}

/// Waits until the watch shows a copy with this value.
async fn followed(
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
    anyhow::bail!("the watch has ended")
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let index = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(index).copied().unwrap_or_default()
}

/// Resident memory, in KiB.
pub fn memory(process: &Process) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
    Ok(number.parse()?)
}

/// How long edits took, in order, with traces and without.
struct Times {
    with: Vec<Duration>,
    without: Vec<Duration>,
}

impl Times {
    /// Edits in turn here and there, so that what else the machine does hits both.
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

    /// Measures until both are alike.
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

/// Lets one replica lead, and compares it with one without traces, from start to exit.
async fn compare(
    world: &mut OperatorCluster,
    plain: &OperatorCluster,
    name: &str,
    options: &Options,
) -> Result<()> {
    let replica = Replica::start(&world.control_plane, name, options).await?;
    replica.wait_ready().await?;
    world.replicas.push(replica);
    world.wait_leader().await?;
    let (mut with, mut without) = (Editor::start(world).await?, Editor::start(plain).await?);
    Times::ensure_alike(name, &mut with, &mut without).await?;

    with.edits(FILL).await?;
    let replica = world.replica()?;
    let before = memory(replica.process())?;
    with.edits(MANY).await?;
    let after = memory(replica.process())?;
    eprintln!("{name}: {before} KiB, after {MANY} more edits {after} KiB");
    ensure!(after.saturating_sub(before) < MEMORY, "{name}: {before} KiB became {after} KiB");

    let begin = Instant::now();
    replica.process().terminate()?;
    let status = replica.process().wait_exit(EXIT).await?;
    eprintln!("{name}: exit after {:.1?}", begin.elapsed());
    ensure!(status.success(), "{name} ended with {status}");
    let logs = replica.logs();
    let plain = logs.iter().find(|line| line.is_string());
    ensure!(plain.is_none(), "{name}: a line of the log is no JSON: {plain:?}");
    let complaints = logs.iter().filter(|line| is_complaint(line)).count();
    eprintln!("{name}: {complaints} complaints about the collector in the log");
    world.replicas.clear();
    Ok(())
}

/// Whether the line is one about sending spans.
fn is_complaint(line: &Value) -> bool {
    line["target"].as_str().is_some_and(|target| target.starts_with("opentelemetry"))
}

async fn create_sync(world: &OperatorCluster) -> Result<()> {
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    Ok(())
}

#[tokio::test]
async fn latency_memory_and_exit_are_as_without_traces() -> Result<()> {
    let (plain, mut world) =
        tokio::try_join!(OperatorCluster::start(1), OperatorCluster::start(0))?;
    tokio::try_join!(create_sync(&plain), create_sync(&world))?;
    let blackhole = Blackhole::open().await?;
    let silent = format!("http://{}", blackhole.address);
    for (name, endpoint, protocol) in [
        ("collector-gone", "http://127.0.0.1:1", "grpc"),
        ("collector-silent", &silent, "grpc"),
        ("collector-silent-http", &silent, "http/protobuf"),
    ] {
        compare(&mut world, &plain, name, &traced(endpoint, protocol)).await?;
    }
    Ok(())
}
