//! A crashed leader whose pod shows that it has ended is replaced at once. Any other status of the pod
//! proves nothing: the Lease is acquired when it has expired.
//!
//! The replicas are plain processes: the tests write the status that a kubelet writes. For the kubelet
//! itself, see `e2e/tests/pods`.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names;
use harness::audit_queries::writes_by_operator;
use harness::fixture::SOON;
use harness::kubelet_status;
use harness::kubelet_status::container;
use harness::kubelet_status::terminated;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::DeleteParams;
use serde_json::Value;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::audit::Event;
use testbed::audit::Mark;

use crate::leadership::support::LEASE_DURATION;
use crate::leadership::support::NEXT_LEADER;
use crate::leadership::support::RETRY_PERIOD;
use crate::leadership::support::edit_and_wait;
use crate::leadership::support::leaders;
use crate::leadership::support::short_lease;
use crate::leadership::terms::ensure_only_recorded_leaders_wrote;
use crate::leadership::terms::leader_records;

/// A Lease that was renewed just before the crash does not expire earlier after it. A standby may have
/// observed its last renewal by one period before the crash.
const EXPIRY: Duration = LEASE_DURATION.saturating_sub(RETRY_PERIOD);
/// For this time after a crash, no finalizer is removed and no orphan collected.
const LATE_WRITES: Duration = Duration::from_secs(10);

/// A leader that was killed.
struct Crash {
    /// Its index in the cluster.
    index: usize,
    /// The name of its pod.
    pod: String,
    /// Its holder identity.
    holder: String,
    at: Instant,
}

/// Kills the leader.
async fn crash(cluster: &OperatorCluster) -> Result<Crash> {
    let (index, holder) = cluster.wait_leading_process().await?;
    let replica = &cluster.replicas[index];
    replica.process().kill()?;
    Ok(Crash { index, pod: replica.pod().name.clone(), holder, at: Instant::now() })
}

/// Writes the status of one container of a pod.
async fn show(cluster: &OperatorCluster, pod: &str, container: &Value) -> Result<()> {
    kubelet_status::show(cluster.control_plane.client(), pod, container).await
}

/// The status of a container that was killed, and runs again.
fn restarted(message: &str) -> Value {
    container(names::CONTAINER, &json!({"running": {}}), &terminated("Error", message))
}

/// Waits until another process holds the Lease. Returns how long after the crash.
async fn wait_replaced(cluster: &OperatorCluster, crash: &Crash) -> Result<Duration> {
    cluster.wait_next_holder(&crash.holder, NEXT_LEADER).await?;
    Ok(crash.at.elapsed())
}

/// Crashes the leader, runs `status` and measures the time to the next one; starts the process again.
async fn recovery(
    cluster: &mut OperatorCluster,
    status: impl AsyncFnOnce(&OperatorCluster, &Crash) -> Result<()>,
) -> Result<Duration> {
    let crashed = crash(cluster).await?;
    status(cluster, &crashed).await?;
    let took = wait_replaced(cluster, &crashed).await?;
    cluster.replicas[crashed.index].restart()?;
    cluster.replicas[crashed.index].wait_ready().await?;
    Ok(took)
}

#[tokio::test]
async fn a_standby_replaces_a_leader_that_provably_ended() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(2, short_lease()).await?;
    cluster.fixture().create_synced_copy(&[("a", "1")]).await?;
    for is_restarted in [false, true] {
        let took = recovery(&mut cluster, async |cluster, crash| {
            let ended = terminated("Error", &crash.holder);
            let status = if is_restarted {
                restarted(&crash.holder)
            } else {
                container(names::CONTAINER, &ended, &json!({}))
            };
            show(cluster, &crash.pod, &status).await
        })
        .await?;
        eprintln!("restarted: {is_restarted}: replaced after {:.2} s", took.as_secs_f32());
        ensure!(took < EXPIRY, "restarted: {is_restarted}: replaced after {took:?}");
        edit_and_wait(&cluster.fixture(), &is_restarted.to_string(), SOON).await?;
    }
    let events = cluster.audit().since(Mark::default()).await?;
    ensure_only_recorded_leaders_wrote(&events, Duration::ZERO)?;
    Ok(())
}

#[tokio::test]
async fn a_single_replica_leads_again_at_its_restart() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(1, short_lease()).await?;
    cluster.fixture().create_synced_copy(&[("a", "1")]).await?;
    let crashed = crash(&cluster).await?;
    show(&cluster, &crashed.pod, &restarted(&crashed.holder)).await?;
    cluster.replica()?.restart()?;
    let took = wait_replaced(&cluster, &crashed).await?;
    ensure!(took < EXPIRY, "it leads again after {took:?}");
    edit_and_wait(&cluster.fixture(), "2", SOON).await
}

#[tokio::test]
async fn a_status_without_the_identity_proves_nothing() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(2, short_lease()).await?;
    cluster.fixture().create_synced_copy(&[("a", "1")]).await?;
    let lost = "The container could not be located when the pod was terminated";
    for (what, reason, message) in [
        ("an empty message", "Error", ""),
        ("an unknown status", "ContainerStatusUnknown", lost),
        ("the message of an earlier process", "Error", "EARLIER"),
    ] {
        let took = recovery(&mut cluster, async |cluster, crash| {
            let (name, uid) = (&crash.pod, &cluster.replicas[crash.index].pod().uid);
            let message = message.replace("EARLIER", &format!("{name}_00000000_{uid}"));
            let ended = terminated(reason, &message);
            show(cluster, &crash.pod, &container(names::CONTAINER, &ended, &ended)).await
        })
        .await?;
        ensure!(took >= EXPIRY, "{what}: replaced after {took:?}");
    }
    edit_and_wait(&cluster.fixture(), "2", SOON).await
}

#[tokio::test]
async fn another_container_or_pod_proves_nothing() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(3, short_lease()).await?;
    cluster.fixture().create_synced_copy(&[("a", "1")]).await?;
    let took = recovery(&mut cluster, async |cluster, crash| {
        let ended = terminated("Error", &crash.holder);
        show(cluster, &crash.pod, &container("sidecar", &ended, &ended)).await
    })
    .await?;
    ensure!(took >= EXPIRY, "another container: replaced after {took:?}");

    let crashed = crash(&cluster).await?;
    let pods = Api::<Pod>::namespaced(cluster.fixture().client(), OPERATOR);
    let mut same_name = pods.get(&crashed.pod).await?;
    pods.delete(&crashed.pod, &DeleteParams::default().grace_period(0)).await?;
    same_name.metadata.uid = None;
    same_name.metadata.resource_version = None;
    pods.create(&kube::api::PostParams::default(), &same_name).await?;
    show(&cluster, &crashed.pod, &restarted(&crashed.holder)).await?;
    let took = wait_replaced(&cluster, &crashed).await?;
    ensure!(took >= EXPIRY, "a pod with another uid: replaced after {took:?}");
    edit_and_wait(&cluster.fixture(), "2", SOON).await
}

/// An earlier leader may not know yet that a user deleted its Lease.
#[tokio::test]
async fn a_holder_that_is_not_recorded_proves_nothing() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(2, short_lease()).await?;
    cluster.fixture().create_synced_copy(&[("a", "1")]).await?;
    let records = leaders(&cluster.fixture());
    records.delete(OPERATOR, &DeleteParams::default()).await?;
    let took = recovery(&mut cluster, async |cluster, crash| {
        show(cluster, &crash.pod, &restarted(&crash.holder)).await
    })
    .await?;
    ensure!(took >= EXPIRY, "without a leader record: replaced after {took:?}");
    edit_and_wait(&cluster.fixture(), "2", SOON).await
}

#[tokio::test]
async fn after_a_crash_finalizers_and_orphans_are_kept() -> Result<()> {
    let mut options: Options = short_lease();
    options.arguments.extend(["--sweep-period=1s", "--orphan-grace=1s"].map(str::to_owned));
    let mut cluster = OperatorCluster::start_with(2, options).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let mark = cluster.audit().mark().await?;
    recovery(&mut cluster, async |cluster, crash| {
        show(cluster, &crash.pod, &restarted(&crash.holder)).await
    })
    .await?;
    fixture.restore_copy("app", "orphan", "central/dead", "dead").await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_config_map("app", "shared", SOON).await?;
    fixture.wait_no_sync("central", "sync", LATE_WRITES + SOON).await?;
    fixture.wait_no_config_map("app", "orphan", LATE_WRITES + SOON).await?;

    let events = cluster.audit().since(mark).await?;
    let record = leader_records(&events).last().copied().context("no leader record")?;
    let after = |what: &str, event: Option<&Event>| -> Result<Duration> {
        let event = event.with_context(|| format!("{what} is not in the audit log"))?;
        Ok(since(record.stage_timestamp.0, event.stage_timestamp.0))
    };
    let writes = writes_by_operator(&events).into_iter().filter(|it| it.succeeded());
    let of =
        |verb: &str, name: &str| writes.clone().rfind(|it| it.verb == verb && it.name() == name);
    let copy = after("the deletion of the copy", of("delete", "shared"))?;
    let finalizer = after("the removal of the finalizer", of("patch", "sync"))?;
    let orphan = after("the collection of the orphan", of("delete", "orphan"))?;
    // The record is published some milliseconds after the Lease is acquired.
    let kept = LATE_WRITES.saturating_sub(Duration::from_secs(1));
    ensure!(copy < kept, "the copy was deleted {copy:?} after the crash");
    ensure!(finalizer >= kept, "the finalizer was removed {finalizer:?} after the crash");
    ensure!(orphan >= kept, "the orphan was collected {orphan:?} after the crash");
    Ok(())
}

#[tokio::test]
async fn a_leader_stopped_after_a_crash_keeps_the_lease() -> Result<()> {
    let cluster = OperatorCluster::start_with(2, short_lease()).await?;
    cluster.fixture().create_synced_copy(&[("a", "1")]).await?;
    let crashed = crash(&cluster).await?;
    show(&cluster, &crashed.pod, &restarted(&crashed.holder)).await?;
    wait_replaced(&cluster, &crashed).await?;
    edit_and_wait(&cluster.fixture(), "2", SOON).await?;
    let next = cluster.holder().await?;
    let leader = cluster.wait_leader().await?;
    cluster.replicas[leader].terminate_and_wait().await?;
    let now = cluster.holder().await?;
    ensure!(
        now == next,
        "the Lease of {next} was released {:?} after the crash",
        crashed.at.elapsed()
    );
    Ok(())
}

fn since(from: Timestamp, to: Timestamp) -> Duration {
    to.duration_since(from).unsigned_abs()
}
