//! Many syncs at once; then a restart with all in order, and a time in which nothing happens.

use anyhow::Result;
use testbed::terminal::Done;

use crate::bench_cluster::BASE;
use crate::bench_cluster::BenchCluster;
use crate::ledger::Ledger;
use crate::ledger::Relation;
use crate::measured::Measured;
use crate::stretch::Stretch;

const NAME: &str = "cold";
const SYNCS: u32 = 5_000;
/// Syncs that have come to be in order.
pub(super) const SYNCED: &str = "configmapsync_transitions_total{reason=\"Synced\"}";
/// Rounds that have ended.
pub(super) const ROUNDS: &str = "controller_runtime_reconcile_total";

pub(super) async fn measure(cluster: &mut BenchCluster, ledger: &mut Ledger) -> Result<()> {
    let count = cluster.scaled(SYNCS);
    let namespaces = cluster.scaled(BASE);
    cluster.make_namespaces(namespaces).await?;
    cluster.stop_operator().await?;
    let screen = cluster.screen.clone();
    let work = async { Ok(Done::new(cluster.make_pairs(NAME, count, namespaces).await?, "")) };
    screen.step(&format!("{count} sources and syncs"), work).await?;

    let work = async { Ok(Done::new(cluster.started(SYNCED, count).await?, "")) };
    let stretch = screen.step("cold start", work).await?;
    let creates = f64::from(stretch.calls().count("create", "configmaps"));
    let (creates, wanted) = (Some(creates), f64::from(count));
    ledger.bound("cold start: creates of copies", creates, Relation::Exactly, wanted);
    ledger.row(format!("{count} one-to-one syncs, cold start"), stretch.measured());

    let work = async { Ok(Done::new(cluster.started(ROUNDS, count).await?, "")) };
    let stretch = screen.step("restart with all in order", work).await?;
    promise_restart(ledger, &stretch);
    ledger.row(format!("restart with {count} syncs in order"), stretch.measured());

    let idle = cluster.options.idle;
    let work = async {
        let work = async {
            // The one wait for a time: the promise is about time.
            tokio::time::sleep(idle).await;
            Ok(())
        };
        Ok(Done::new(cluster.during(work).await?.1.measured(), ""))
    };
    let measured = screen.step(&format!("nothing happens for {idle:?}"), work).await?;
    promise_idle(ledger, &measured);
    ledger.row(format!("idle for {idle:?}"), measured);
    Ok(())
}

pub(super) fn promise_restart(ledger: &mut Ledger, stretch: &Stretch) {
    let calls = stretch.calls();
    for resource in ["configmapsyncs", "configmaps", "namespaces"] {
        let lists = Some(calls.count("list", resource).into());
        ledger.bound(
            format!("restart in order: lists of {resource}"),
            lists,
            Relation::Exactly,
            1.0,
        );
    }
    let reads = Some(calls.verb("get").into());
    ledger.bound("restart in order: reads", reads, Relation::AtMost, 0.0);
    let writes = Some(calls.writes().into());
    ledger.bound("restart in order: writes", writes, Relation::AtMost, 0.0);
}

fn promise_idle(ledger: &mut Ledger, measured: &Measured) {
    let calls = measured.calls.total() - measured.calls.verb("watch");
    let what = "idle: requests but for the Lease and renewed watches";
    ledger.bound(what, Some(calls.into()), Relation::AtMost, 0.0);
}
