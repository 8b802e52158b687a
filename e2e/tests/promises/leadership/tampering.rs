//! Whatever is written into the Lease, and when it is deleted, at most one replica leads, and one
//! leads again within the deadline.
//!
//! The declared duration of a Lease counts up to a minute: with `E2E_FULL=1` it is eleven days,
//! otherwise twelve seconds.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::DeleteParams;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use serde_json::Value;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::audit::Event;
use testbed::audit::Mark;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::leadership::support::LEASE_DURATION;
use crate::leadership::support::NEXT_LEADER;
use crate::leadership::support::RETRY_PERIOD;
use crate::leadership::support::edit_and_wait;
use crate::leadership::support::leases;
use crate::leadership::support::short_lease;
use crate::leadership::terms::ensure_only_recorded_leaders_wrote;
use crate::leadership::terms::leader_records;
use crate::support::scale::quick_or_full;

/// Time until a leader notices that it lost the Lease: the retry period, and one second for a
/// machine under load.
const UNAWARE: Duration = RETRY_PERIOD.saturating_add(Duration::from_secs(1));

/// Patches the spec of the Lease. Returns the new resourceVersion.
async fn patch(cluster: &OperatorCluster, spec: &Value) -> Result<Option<String>> {
    let patch = Patch::Merge(json!({"spec": spec}));
    // Metadata only: the patched spec may be invalid as a Lease.
    let leases = leases(&cluster.fixture());
    let patched = leases.patch_metadata(OPERATOR, &PatchParams::default(), &patch).await?;
    Ok(patched.metadata.resource_version)
}

/// Waits until the Lease is changed after `version`, so that each case starts with a renewed Lease.
async fn wait_renewed(cluster: &OperatorCluster, version: Option<&str>) -> Result<()> {
    let leases = leases(&cluster.fixture());
    until("the Lease is renewed", SOON, || async {
        let now = leases.get_metadata(OPERATOR).await?.metadata.resource_version;
        Ok(Seen::from_bool(now.as_deref() != version, || format!("resourceVersion {now:?}")))
    })
    .await
}

async fn delete(cluster: &OperatorCluster) -> Result<()> {
    leases(&cluster.fixture()).delete(OPERATOR, &DeleteParams::default()).await?;
    Ok(())
}

/// Waits until a replica holds the Lease again and writes. If it is another than `before`, the
/// former leader must exit, and is restarted. All other replicas must keep running.
async fn wait_recovery(
    cluster: &mut OperatorCluster,
    before: usize,
    what: &str,
    value: &str,
) -> Result<()> {
    let began = Instant::now();
    let leader = cluster.wait_leader().await.with_context(|| format!("the Lease was {what}"))?;
    let took = began.elapsed();
    eprintln!("the Lease was {what}: next leader after {:.1} s", took.as_secs_f32());
    ensure!(took < NEXT_LEADER, "the Lease was {what}: next leader after {took:?}");
    if leader != before {
        let status = cluster.replicas[before].process().wait_exit(SOON).await?;
        ensure!(
            status.code() == Some(1),
            "the Lease was {what}: the former leader exited with {status}"
        );
        cluster.replicas[before].restart()?;
    }
    for replica in &cluster.replicas {
        let is_ready = replica.wait_ready().await;
        is_ready.with_context(|| format!("the Lease was {what}"))?;
    }
    edit_and_wait(&cluster.fixture(), value, SOON).await
}

/// Waits until the holder of the Lease is the pod of the newest leader record.
async fn wait_holder_recorded(cluster: &OperatorCluster, mark: Mark) -> Result<()> {
    until("the leader record names the holder of the Lease", SOON, || async {
        let leader = cluster.wait_leader().await?;
        let events = cluster.audit().since(mark).await?;
        let newest = leader_records(&events).last().map(|it| it.pod_uid().to_owned());
        let holder = &cluster.replicas[leader].pod().uid;
        Ok(Seen::from_bool(newest.as_ref() == Some(holder), || {
            format!("record of {newest:?}, holder {holder}")
        }))
    })
    .await
}

#[tokio::test]
async fn after_any_change_of_the_lease_one_replica_leads() -> Result<()> {
    let begin = Mark::default();
    let mut cluster = OperatorCluster::start_with(2, short_lease()).await?;
    cluster.fixture().create_synced_copy(&[("a", "1")]).await?;
    let changes = [
        ("left without a holder", json!({"holderIdentity": null})),
        ("left without a duration", json!({"leaseDurationSeconds": null})),
        ("left without a time of renewal", json!({"renewTime": null})),
        ("left without a time of acquisition", json!({"acquireTime": null})),
        ("left without transitions", json!({"leaseTransitions": null})),
        ("given an empty holder", json!({"holderIdentity": ""})),
        ("renewed in the year 9999", json!({"renewTime": "9999-12-31T23:59:59.999999Z"})),
        ("acquired in the year 9999", json!({"acquireTime": "9999-12-31T23:59:59.999999Z"})),
        ("made to last for eleven days", json!({"leaseDurationSeconds": 1_000_000})),
        ("set to the maximum of transitions", json!({"leaseTransitions": i32::MAX})),
        ("given to another", json!({"holderIdentity": "another"})),
    ];
    for (what, spec) in changes {
        let before = cluster.wait_leader().await?;
        let version = patch(&cluster, &spec).await?;
        wait_recovery(&mut cluster, before, what, what).await?;
        wait_renewed(&cluster, version.as_deref()).await?;
    }
    wait_holder_recorded(&cluster, begin).await?;
    let events = cluster.audit().since(begin).await?;
    ensure_only_recorded_leaders_wrote(&events, UNAWARE)?;
    Ok(())
}

#[tokio::test]
async fn a_deleted_lease_is_created_after_its_duration() -> Result<()> {
    let begin = Mark::default();
    let mut cluster = OperatorCluster::start_with(2, short_lease()).await?;
    cluster.fixture().create_synced_copy(&[("a", "1")]).await?;
    let before = cluster.wait_leader().await?;
    delete(&cluster).await?;
    wait_recovery(&mut cluster, before, "deleted", "2").await?;

    let before = cluster.wait_leader().await?;
    delete(&cluster).await?;
    let empty: Lease = serde_json::from_value(json!({"metadata": {"name": OPERATOR}}))?;
    leases(&cluster.fixture()).create(&PostParams::default(), &empty).await?;
    wait_recovery(&mut cluster, before, "deleted, and created empty", "3").await?;

    wait_holder_recorded(&cluster, begin).await?;
    let events = cluster.audit().since(begin).await?;
    let of_leases = events.iter().filter(|it| it.resource() == "leases" && it.succeeded());
    let deleted = of_leases
        .clone()
        .find(|it| it.verb == "delete")
        .context("no deletion of the Lease in the audit log")?;
    let created = of_leases.filter(|it| it.verb == "create" && !it.pod_uid().is_empty());
    let created: Vec<_> = created.collect();
    let [created] = created[..] else {
        anyhow::bail!("expected one creation by the operator:\n{created:#?}")
    };
    let waited = created.stage_timestamp.0.duration_since(deleted.stage_timestamp.0);
    ensure!(waited.unsigned_abs() >= LEASE_DURATION, "the Lease was created after {waited:?}");
    ensure_only_recorded_leaders_wrote(&events, UNAWARE)?;
    Ok(())
}

#[tokio::test]
async fn the_declared_lease_duration_is_awaited_up_to_a_minute() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(1, short_lease()).await?;
    cluster.fixture().create_synced_copy(&[("a", "1")]).await?;
    let (declared, capped) = quick_or_full((12, 12), (1_000_000, 60));
    let mark = cluster.audit().mark().await?;
    patch(&cluster, &json!({"holderIdentity": "another", "leaseDurationSeconds": declared}))
        .await?;
    let status = cluster.replica()?.process().wait_exit(SOON).await?;
    ensure!(status.code() == Some(1), "the leader exited with {status} after it lost the Lease");
    cluster.replica()?.restart()?;
    let within = Duration::from_secs(capped) + SOON;
    edit_and_wait(&cluster.fixture(), "2", within).await?;
    let events = cluster.audit().since(mark).await?;
    let records = leader_records(&events);
    let [record] = records[..] else { anyhow::bail!("{} leader records", records.len()) };
    let is_test = |it: &&Event| it.resource() == "leases" && it.pod_uid().is_empty();
    let taken = events.iter().find(|it| is_test(it) && it.verb == "patch");
    let taken = taken.context("no patch of the Lease by the test")?.stage_timestamp.0;
    let waited = record.stage_timestamp.0.duration_since(taken).unsigned_abs();
    ensure!(waited >= Duration::from_secs(capped), "it waited only {waited:?}");
    Ok(())
}
