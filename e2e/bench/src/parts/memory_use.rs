//! The memory for many `ConfigMapSync`s and copies, also next to many other `ConfigMap`s, and under steady
//! edits.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;
use testbed::terminal::Done;

use crate::bench_cluster::BASE;
use crate::bench_cluster::BenchCluster;
use crate::bench_cluster::PREPARING;
use crate::measurement::Measurement;
use crate::parts::cold_start::RECONCILES;
use crate::parts::cold_start::SYNCED;
use crate::parts::raw_writes;
use crate::parts::steady_edits;
use crate::process_usage::Usage;
use crate::raw_writer::in_flight;
use crate::results::Relation;
use crate::results::Results;
use crate::write_requests::four_kibibytes;

const NAME: &str = "held";
const SYNCS: u32 = 10_000;
const OTHERS: u32 = 20_000;
// Bounds, in MiB.
const RSS: f64 = 64.0;
const PEAK: f64 = 96.0;
const GROWTH: f64 = 4.0;
/// Allocators return free memory with a delay.
const SETTLING: Duration = Duration::from_secs(10);

pub(super) async fn measure(cluster: &mut BenchCluster, results: &mut Results) -> Result<()> {
    let (syncs, others) = (cluster.scaled(SYNCS), cluster.scaled(OTHERS));
    let namespaces = cluster.scaled(BASE);
    cluster.create_namespaces(namespaces).await?;
    let screen = cluster.screen.clone();
    raw_writes::measure_counted(cluster, results).await?;

    cluster.start_operator().await?;
    let nothing = settled(cluster).await?;
    results.row(format!("memory: {namespaces} namespaces only"), measured(nothing));
    cluster.stop_operator().await?;

    let work = async { Ok(Done::new(cluster.create_pairs(NAME, syncs, namespaces).await?, "")) };
    screen.step(&format!("{syncs} sources and ConfigMapSyncs created"), work).await?;
    let mut runs = Vec::new();
    for (what, series) in [("cold start", SYNCED), ("restart", RECONCILES)] {
        let work = async {
            let measured = started(cluster, series, syncs).await?;
            let summary = summary(&measured);
            Ok(Done::new(measured, summary))
        };
        let measured =
            screen.step(&format!("{syncs} ConfigMapSyncs and copies, {what}"), work).await?;
        runs.push(measured.clone());
        results.row(format!("memory: {syncs} ConfigMapSyncs, {what}"), measured);
    }
    let most = |number: fn(&Measurement) -> f64| runs.iter().map(number).reduce(f64::max);
    let what = format!("memory, {syncs} ConfigMapSyncs, {namespaces} namespaces");
    results.bound(format!("{what}, MiB"), most(|it| it.rss), Relation::AtMost, RSS);
    results.bound(format!("{what}, peak, MiB"), most(|it| it.peak), Relation::AtMost, PEAK);

    let before = settled(cluster).await?;
    let work = async { Ok(Done::new(create_others(cluster, others, namespaces).await?, "")) };
    screen.step(&format!("{others} other ConfigMaps created"), work).await?;
    cluster.wait_idle().await?;
    let after = settled(cluster).await?;
    results.row(format!("memory: {others} other ConfigMaps created"), measured(after));
    let what = format!("memory growth by {others} other ConfigMaps, MiB");
    results.bound(what, Some(after.rss - before.rss), Relation::Below, GROWTH);

    let work = async {
        let measured = started(cluster, RECONCILES, syncs).await?;
        let summary = summary(&measured);
        Ok(Done::new(measured, summary))
    };
    let restarted = screen.step("restart next to other ConfigMaps", work).await?;
    let growth = runs.last().map(|before| restarted.rss - before.rss);
    let what = format!("memory growth after a restart next to {others} others, MiB");
    results.bound(what, growth, Relation::Below, GROWTH);
    results.row(format!("memory: restart next to {others} other ConfigMaps"), restarted);
    steady_edits::measure(cluster, results).await
}

/// Starts the operator again, waits until the metric `series` is at least `count`, then until its memory
/// is constant.
async fn started(cluster: &mut BenchCluster, series: &str, count: u32) -> Result<Measurement> {
    let observation = cluster.restart_until(series, count).await?;
    let Usage { rss, peak, .. } = settled(cluster).await?;
    Ok(Measurement { rss, peak, ..observation.measured() })
}

async fn settled(cluster: &BenchCluster) -> Result<Usage> {
    // A fixed sleep: when the allocator is done cannot be observed.
    tokio::time::sleep(SETTLING).await;
    cluster.operator()?.usage()
}

fn measured(usage: Usage) -> Measurement {
    Measurement { cpu: usage.cpu, rss: usage.rss, peak: usage.peak, ..Measurement::default() }
}

fn summary(measured: &Measurement) -> String {
    format!("{:.1} MiB, peak {:.1} MiB", measured.rss, measured.peak)
}

async fn create_others(cluster: &BenchCluster, count: u32, namespaces: u32) -> Result<()> {
    let client = cluster.control_plane.client();
    in_flight(PREPARING, 0..count, async |index| {
        let other: ConfigMap = serde_json::from_value(json!({
            "metadata": {"name": format!("other-{index}")},
            "data": four_kibibytes(index),
        }))?;
        let namespace = BenchCluster::namespace(index % namespaces);
        let api = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
        let created = api.create(&PostParams::default(), &other).await;
        created.with_context(|| format!("creating a ConfigMap in the namespace {namespace}"))
    })
    .await?;
    Ok(())
}
