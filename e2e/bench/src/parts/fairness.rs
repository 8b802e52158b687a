//! A small sync that comes while a big one is at work.

use anyhow::Result;
use harness::fixture::one_to_one;
use k8s_openapi::jiff::Timestamp;
use testbed::terminal::Done;

use crate::bench_cluster::BenchCluster;
use crate::bench_cluster::CENTRAL;
use crate::bench_cluster::LONG;
use crate::ledger::Ledger;
use crate::ledger::Relation;
use crate::measured::Measured;
use crate::measured::between;
use crate::stretch::Stretch;

const NAMESPACES: u32 = 5_000;
const WIDE: &str = "wide";
const NARROW: &str = "narrow";
/// How many copies of the big one are made before the small one comes, as a part of all.
const UNDER_WAY: f64 = 0.1;

pub(super) async fn measure(cluster: &mut BenchCluster, ledger: &mut Ledger) -> Result<()> {
    let count = cluster.scaled(NAMESPACES);
    cluster.make_namespaces(count).await?;
    for name in [WIDE, NARROW] {
        cluster.make_source(name).await?;
    }
    cluster.start_operator().await?;
    let screen = cluster.screen.clone();
    let work = async { Ok(Done::new(both(cluster, count).await?, "")) };
    let stretch = screen.step("a small sync beside a big one", work).await?;
    tell(ledger, &stretch, count);
    for name in [NARROW, WIDE] {
        let work = async { Ok(Done::new(cluster.delete_sync(name).await?, "")) };
        screen.step(&format!("the sync {name} deleted"), work).await?;
        cluster.delete_source(name).await?;
    }
    Ok(())
}

async fn both(cluster: &BenchCluster, count: u32) -> Result<Stretch> {
    let creates = "configmapsync_writes_total{action=\"create\",result=\"success\"";
    let before = cluster.operator()?.metric(creates).await?;
    let work = async {
        cluster.fixture().create_sync(CENTRAL, WIDE, BenchCluster::fan_out(WIDE, "bench")).await?;
        let under_way = before + f64::from(count) * UNDER_WAY;
        cluster.operator()?.wait_metric(creates, under_way, LONG).await?;
        let spec = one_to_one(CENTRAL, NARROW, &BenchCluster::namespace(0));
        cluster.fixture().create_sync(CENTRAL, NARROW, spec).await?;
        cluster.wait_synced(NARROW, None).await?;
        cluster.wait_synced(WIDE, None).await
    };
    Ok(cluster.during(work).await?.1)
}

fn tell(ledger: &mut Ledger, stretch: &Stretch, count: u32) {
    let wide = stretch.asked("create", "configmapsyncs", WIDE);
    let narrow = stretch.asked("create", "configmapsyncs", NARROW);
    let ready = status_written(stretch, NARROW);
    let wide_ends = status_written(stretch, WIDE);
    let wait = between(narrow, ready);
    // Nothing is shown by a small sync that comes when the big one is over.
    let is_valid = ready < wide_ends && !wait.is_zero();
    let wait = is_valid.then_some(wait.as_secs_f64());
    let what = "a small sync beside a big one: seconds until Ready";
    ledger.bound(what, wait, Relation::AtMost, 2.0);
    let wall = between(wide, stretch.last("create", "configmaps"));
    let mut measured: Measured = stretch.measured().took(count, wall);
    measured.more.extend(wait.map(|wait| ("small sync Ready after, s".to_owned(), wait)));
    ledger.row(format!("fan-out to {count}, a small sync beside it"), measured);
}

/// When the status of the sync was written last.
fn status_written(stretch: &Stretch, name: &str) -> Option<Timestamp> {
    let written = stretch.requests_by_operator().filter(|event| {
        event.resource() == "configmapsyncs"
            && event.object_ref.subresource == "status"
            && event.name() == name
    });
    written.map(|event| event.stage_timestamp.0).max()
}
