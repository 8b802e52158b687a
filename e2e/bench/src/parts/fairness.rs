//! A `ConfigMapSync` with one copy, created while one with many copies is being reconciled.

use anyhow::Result;
use harness::fixture::one_to_one;
use k8s_openapi::jiff::Timestamp;
use testbed::terminal::Done;

use crate::bench_cluster::BenchCluster;
use crate::bench_cluster::CENTRAL;
use crate::bench_cluster::LONG;
use crate::measurement::Measurement;
use crate::measurement::between;
use crate::observation::Observation;
use crate::results::Relation;
use crate::results::Results;

const NAMESPACES: u32 = 5_000;
const WIDE: &str = "wide";
const NARROW: &str = "narrow";
/// The ratio of copies of the wide one that exist when the narrow one is created.
const PROGRESS: f64 = 0.1;

pub(super) async fn measure(cluster: &mut BenchCluster, results: &mut Results) -> Result<()> {
    let count = cluster.scaled(NAMESPACES);
    cluster.create_namespaces(count).await?;
    for name in [WIDE, NARROW] {
        cluster.create_source(name).await?;
    }
    cluster.start_operator().await?;
    let screen = cluster.screen.clone();
    let work = async { Ok(Done::new(both(cluster, count).await?, "")) };
    let observation = screen.step("one copy, during a fan-out", work).await?;
    report(results, &observation, count);
    for name in [NARROW, WIDE] {
        let work = async { Ok(Done::new(cluster.delete_sync(name).await?, "")) };
        screen.step(&format!("the ConfigMapSync {name} deleted"), work).await?;
        cluster.delete_source(name).await?;
    }
    Ok(())
}

async fn both(cluster: &BenchCluster, count: u32) -> Result<Observation> {
    let creates = "configmapsync_writes_total{action=\"create\",result=\"success\"";
    let before = cluster.operator()?.metric(creates).await?;
    let work = async {
        cluster.fixture().create_sync(CENTRAL, WIDE, BenchCluster::fan_out(WIDE, "bench")).await?;
        let started = before + f64::from(count) * PROGRESS;
        cluster.operator()?.wait_metric(creates, started, LONG).await?;
        let spec = one_to_one(CENTRAL, NARROW, &BenchCluster::namespace(0));
        cluster.fixture().create_sync(CENTRAL, NARROW, spec).await?;
        cluster.wait_synced(NARROW, None).await?;
        cluster.wait_synced(WIDE, None).await
    };
    Ok(cluster.observe(work).await?.1)
}

fn report(results: &mut Results, observation: &Observation, count: u32) {
    let wide = observation.user_response_time("create", "configmapsyncs", WIDE);
    let narrow = observation.user_response_time("create", "configmapsyncs", NARROW);
    let ready = status_written(observation, NARROW);
    let wide_ends = status_written(observation, WIDE);
    let wait = between(narrow, ready);
    // Valid only if the narrow one is Ready before the wide one.
    let is_valid = ready < wide_ends && !wait.is_zero();
    let wait = is_valid.then_some(wait.as_secs_f64());
    let what = "one copy, during a fan-out: seconds until Ready";
    results.bound(what, wait, Relation::AtMost, 2.0);
    let wall = between(wide, observation.last_response_time("create", "configmaps"));
    let mut measured: Measurement = observation.measured().took(count, wall);
    measured.more.extend(wait.map(|wait| ("the one copy Ready after, s".to_owned(), wait)));
    results.row(format!("fan-out to {count}, with another copy during it"), measured);
}

/// The time of the last write to the status of a `ConfigMapSync`.
fn status_written(observation: &Observation, name: &str) -> Option<Timestamp> {
    let written = observation.requests_by_operator().filter(|event| {
        event.resource() == "configmapsyncs"
            && event.object_ref.subresource == "status"
            && event.name() == name
    });
    written.map(|event| event.stage_timestamp.0).max()
}
