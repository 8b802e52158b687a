//! Many `ConfigMapSync`s at once; then a restart with all synced, and an idle period.

use anyhow::Result;
use testbed::terminal::Done;

use crate::bench_cluster::BASE;
use crate::bench_cluster::BenchCluster;
use crate::measurement::Measurement;
use crate::observation::Observation;
use crate::results::Relation;
use crate::results::Results;

const NAME: &str = "cold";
const SYNCS: u32 = 5_000;
/// The metric series of `ConfigMapSync`s that became `Synced`.
pub(super) const SYNCED: &str = "configmapsync_transitions_total{reason=\"Synced\"}";
/// The metric series of completed reconciles.
pub(super) const RECONCILES: &str = "controller_runtime_reconcile_total";

pub(super) async fn measure(cluster: &mut BenchCluster, results: &mut Results) -> Result<()> {
    let count = cluster.scaled(SYNCS);
    let namespaces = cluster.scaled(BASE);
    cluster.create_namespaces(namespaces).await?;
    cluster.stop_operator().await?;
    let screen = cluster.screen.clone();
    let work = async { Ok(Done::new(cluster.create_pairs(NAME, count, namespaces).await?, "")) };
    screen.step(&format!("{count} sources and ConfigMapSyncs created"), work).await?;

    let work = async { Ok(Done::new(cluster.restart_until(SYNCED, count).await?, "")) };
    let observation = screen.step("cold start", work).await?;
    let creates = f64::from(observation.calls().count("create", "configmaps"));
    let (creates, wanted) = (Some(creates), f64::from(count));
    results.bound("cold start: creates of copies", creates, Relation::Exactly, wanted);
    results.row(format!("{count} ConfigMapSyncs, cold start"), observation.measured());

    let work = async { Ok(Done::new(cluster.restart_until(RECONCILES, count).await?, "")) };
    let observation = screen.step("restart with all synced", work).await?;
    check_restart(results, &observation);
    results.row(format!("restart with {count} ConfigMapSyncs, synced"), observation.measured());

    let idle = cluster.options.idle;
    let work = async {
        let work = async {
            // A fixed sleep: the bound is per period.
            tokio::time::sleep(idle).await;
            Ok(())
        };
        Ok(Done::new(cluster.observe(work).await?.1.measured(), ""))
    };
    let measured = screen.step(&format!("idle for {idle:?}"), work).await?;
    check_idle(results, &measured);
    results.row(format!("idle for {idle:?}"), measured);
    Ok(())
}

pub(super) fn check_restart(results: &mut Results, observation: &Observation) {
    let calls = observation.calls();
    for resource in ["configmapsyncs", "configmaps", "namespaces"] {
        let lists = Some(calls.count("list", resource).into());
        results.bound(
            format!("restart, all synced: lists of {resource}"),
            lists,
            Relation::Exactly,
            1.0,
        );
    }
    let reads = Some(calls.verb("get").into());
    results.bound("restart, all synced: gets", reads, Relation::AtMost, 0.0);
    let writes = Some(calls.writes().into());
    results.bound("restart, all synced: writes", writes, Relation::AtMost, 0.0);
}

fn check_idle(results: &mut Results, measured: &Measurement) {
    let calls = measured.calls.total() - measured.calls.verb("watch");
    let what = "idle: requests, without leader election and watches";
    results.bound(what, Some(calls.into()), Relation::AtMost, 0.0);
}
