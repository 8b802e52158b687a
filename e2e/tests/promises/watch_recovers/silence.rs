//! A watch whose connection is open and delivers nothing, not even bookmarks, is shown by its metric.
//! What happened meanwhile is not missed.
//!
//! `E2E_FULL=1` waits until the operator itself repeats the watch; otherwise, the test closes the
//! connection.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use anyhow::ensure;
use harness::fault_proxy::FaultProxy;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::oracle;
use harness::oracle::Recorder;
use harness::oracle::liveness;
use harness::replica::Replica;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::until;
use testbed::wait::until_every;

use crate::support::metrics_page::Metrics;
use crate::support::scale::quick_or_full;
use crate::watch_recovers::support::RESOURCES;
use crate::watch_recovers::support::lists_and_watches;

/// The API server sends a bookmark each minute.
const SILENT: Duration = Duration::from_secs(75);
/// The read timeout of watches, and what a busy machine adds.
const REPEATED: Duration = Duration::from_secs(5 * 60 + 30);
/// The deadline for a change to reach its copy once the watch is repeated.
const REACHED: Duration = Duration::from_mins(1);

#[tokio::test]
async fn a_silent_watch_is_shown_and_misses_nothing() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let (fixture, replica) = (cluster.fixture(), &cluster.replicas[0]);
    let recorder = Recorder::start(fixture.client()).await?;
    let mark = cluster.audit().mark().await?;
    create_copies(&fixture).await?;

    let (start, began) = (proxy.count(), Instant::now());
    proxy.silence_watches("configmaps");
    fixture.patch_config_map("central", "edited", &json!({"data": {"a": "1"}})).await?;
    fixture.delete_config_map("app", "deleted").await?;
    wait_shown(replica).await?;
    let (status, text) = replica.liveness().await?;
    ensure!(status == 200, "the leader is not live: {text}");
    fixture.wait_data("app", "edited", &[("a", "0")], SOON).await?;
    fixture.wait_no_config_map("app", "deleted", SOON).await?;

    if quick_or_full(false, true) {
        wait_repeated(&proxy, start, REPEATED.saturating_sub(began.elapsed())).await?;
        eprintln!("the watch was repeated after {:.1?} of silence", began.elapsed());
    } else {
        proxy.cut_watches("configmaps");
        wait_repeated(&proxy, start, SOON).await?;
    }
    let repeated = Instant::now();
    fixture.wait_data("app", "edited", &[("a", "1")], REACHED).await?;
    fixture.wait_data("app", "deleted", &[("a", "0")], REACHED).await?;
    eprintln!("what happened meanwhile reached the copies {:.1?} later", repeated.elapsed());
    let (lists, _) = lists_and_watches(&proxy, 0, "configmaps");
    ensure!(lists == 1, "ConfigMaps were listed {lists} times");
    let [_, age, _] = ages(replica).await?;
    ensure!(age < SILENT.as_secs_f64(), "after an event, the watch is {age} s old");
    liveness::converged(&recorder, SOON).await?;
    oracle::ensure_all(&recorder.history().await?, &cluster.audit().since(mark).await?)
}

/// Creates two sources, each with a copy in the namespace `app`.
async fn create_copies(fixture: &Fixture) -> Result<()> {
    fixture.create_namespaces(&["central", "app"]).await?;
    for name in ["edited", "deleted"] {
        fixture.create_config_map("central", name, &[("a", "0")]).await?;
        fixture.create_sync("central", name, one_to_one("central", name, "app")).await?;
        fixture.wait_reason("central", name, "Synced", SOON).await?;
    }
    Ok(())
}

/// Waits until the watch of `ConfigMaps` is older than bookmarks allow, and no other watch is.
async fn wait_shown(replica: &Replica) -> Result<()> {
    let what = "the metric shows the silent watch, and no other";
    until_every(Duration::from_secs(1), what, 2 * SILENT, || async {
        let ages = ages(replica).await?;
        let is_old = ages.map(|age| age >= SILENT.as_secs_f64());
        Ok(Seen::from_bool(is_old == [false, true, false], || format!("{RESOURCES:?}: {ages:?}")))
    })
    .await
}

/// Waits until `ConfigMaps` are watched again.
async fn wait_repeated(proxy: &FaultProxy, start: usize, deadline: Duration) -> Result<()> {
    until("the operator repeats the silent watch", deadline, || async {
        let (_, watches) = lists_and_watches(proxy, start, "configmaps");
        Ok(Seen::from_bool(watches > 0, || "no request".to_owned()))
    })
    .await
}

/// The ages of the watches in seconds, in the order of [`RESOURCES`].
async fn ages(replica: &Replica) -> Result<[f64; RESOURCES.len()]> {
    let metrics = Metrics::of(replica).await?;
    let mut ages = [0.0; RESOURCES.len()];
    for (age, resource) in ages.iter_mut().zip(RESOURCES) {
        *age = metrics.value("configmapsync_watch_age_seconds", &[("resource", resource)])?;
    }
    Ok(ages)
}
