//! What many syncs and copies need, also beside many ConfigMaps of others, and under steady edits.

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
use crate::bodies::four_kibibytes;
use crate::ledger::Ledger;
use crate::ledger::Relation;
use crate::measured::Measured;
use crate::parts::churn;
use crate::parts::cold::ROUNDS;
use crate::parts::cold::SYNCED;
use crate::parts::raw_writes;
use crate::process_usage::Usage;
use crate::writer::in_flight;

const NAME: &str = "held";
const SYNCS: u32 = 10_000;
const OTHERS: u32 = 20_000;
/// In MiB.
const RSS: f64 = 64.0;
const PEAK: f64 = 96.0;
const GROWTH: f64 = 4.0;
/// Allocators give back what is free after a while.
const SETTLING: Duration = Duration::from_secs(10);

pub(super) async fn measure(cluster: &mut BenchCluster, ledger: &mut Ledger) -> Result<()> {
    let (syncs, others) = (cluster.scaled(SYNCS), cluster.scaled(OTHERS));
    let namespaces = cluster.scaled(BASE);
    cluster.make_namespaces(namespaces).await?;
    let screen = cluster.screen.clone();
    raw_writes::measure_counted(cluster, ledger).await?;

    cluster.start_operator().await?;
    let nothing = settled(cluster).await?;
    ledger.row(format!("memory: {namespaces} namespaces alone"), measured(nothing));
    cluster.stop_operator().await?;

    let work = async { Ok(Done::new(cluster.make_pairs(NAME, syncs, namespaces).await?, "")) };
    screen.step(&format!("{syncs} sources and syncs"), work).await?;
    let mut runs = Vec::new();
    for (what, series) in [("cold start", SYNCED), ("restart", ROUNDS)] {
        let work = async {
            let measured = started(cluster, series, syncs).await?;
            let told = told(&measured);
            Ok(Done::new(measured, told))
        };
        let measured = screen.step(&format!("{syncs} syncs and copies, {what}"), work).await?;
        runs.push(measured.clone());
        ledger.row(format!("memory: {syncs} syncs and copies, {what}"), measured);
    }
    let most = |number: fn(&Measured) -> f64| runs.iter().map(number).reduce(f64::max);
    let what = format!("memory with {syncs} syncs and copies, {namespaces} namespaces");
    ledger.bound(format!("{what}, MiB"), most(|it| it.rss), Relation::AtMost, RSS);
    ledger.bound(format!("{what}, peak, MiB"), most(|it| it.peak), Relation::AtMost, PEAK);

    let before = settled(cluster).await?;
    let work = async { Ok(Done::new(make_others(cluster, others, namespaces).await?, "")) };
    screen.step(&format!("{others} ConfigMaps of others"), work).await?;
    cluster.wait_rest().await?;
    let after = settled(cluster).await?;
    ledger.row(format!("memory: {others} ConfigMaps of others made"), measured(after));
    let what = format!("memory that {others} ConfigMaps of others take, MiB");
    ledger.bound(what, Some(after.rss - before.rss), Relation::Below, GROWTH);

    let work = async {
        let measured = started(cluster, ROUNDS, syncs).await?;
        let told = told(&measured);
        Ok(Done::new(measured, told))
    };
    let restarted = screen.step("restart beside them", work).await?;
    let growth = runs.last().map(|before| restarted.rss - before.rss);
    let what = format!("the same, after a restart beside all {others}, MiB");
    ledger.bound(what, growth, Relation::Below, GROWTH);
    ledger.row(format!("memory: restart beside {others} of others"), restarted);
    churn::measure(cluster, ledger).await
}

/// Starts the operator anew and waits until the series is at `count`, then until memory settles.
async fn started(cluster: &mut BenchCluster, series: &str, count: u32) -> Result<Measured> {
    let stretch = cluster.started(series, count).await?;
    let Usage { rss, peak, .. } = settled(cluster).await?;
    Ok(Measured { rss, peak, ..stretch.measured() })
}

async fn settled(cluster: &BenchCluster) -> Result<Usage> {
    // The one wait for a time: what an allocator does meanwhile cannot be asked for.
    tokio::time::sleep(SETTLING).await;
    cluster.operator()?.usage()
}

fn measured(usage: Usage) -> Measured {
    Measured { cpu: usage.cpu, rss: usage.rss, peak: usage.peak, ..Measured::default() }
}

fn told(measured: &Measured) -> String {
    format!("{:.1} MiB, peak {:.1} MiB", measured.rss, measured.peak)
}

async fn make_others(cluster: &BenchCluster, count: u32, namespaces: u32) -> Result<()> {
    let client = cluster.control_plane.client();
    in_flight(PREPARING, 0..count, async |index| {
        let other: ConfigMap = serde_json::from_value(json!({
            "metadata": {"name": format!("other-{index}")},
            "data": four_kibibytes(index),
        }))?;
        let namespace = BenchCluster::namespace(index % namespaces);
        let api = Api::<ConfigMap>::namespaced(client.clone(), &namespace);
        let made = api.create(&PostParams::default(), &other).await;
        made.with_context(|| format!("making a ConfigMap in {namespace}"))
    })
    .await?;
    Ok(())
}
