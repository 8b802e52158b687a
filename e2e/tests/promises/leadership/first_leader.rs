//! The first leader of a cluster leads at once. Where the Lease or the leader record shows that a replica
//! has led, a missing Lease is created after its duration.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use kube::api::DeleteParams;
use testbed::accounts::OPERATOR;
use testbed::audit::Mark;

use crate::leadership::support::LEASE_DURATION;
use crate::leadership::support::edit_and_wait;
use crate::leadership::support::leaders;
use crate::leadership::support::leases;
use crate::leadership::support::short_lease;
use crate::leadership::terms::leader_records;

async fn delete_lease(cluster: &OperatorCluster) -> Result<()> {
    leases(&cluster.fixture()).delete(OPERATOR, &DeleteParams::default()).await?;
    Ok(())
}

/// How long after the first read of the Lease a replica created it.
async fn wait_before_creation(cluster: &OperatorCluster, since: Mark) -> Result<Duration> {
    cluster.wait_leader().await?;
    let events = cluster.audit().since(since).await?;
    let by_replica = |verb| {
        let of_lease = events.iter().filter(|it| it.resource() == "leases" && it.is_final());
        of_lease.clone().find(|it| it.verb == verb && !it.pod_uid().is_empty())
    };
    let read = by_replica("get").context("no replica has read the Lease")?;
    let created = by_replica("create").context("no replica has created the Lease")?;
    Ok(created.stage_timestamp.0.duration_since(read.stage_timestamp.0).unsigned_abs())
}

#[tokio::test]
async fn the_first_leader_creates_the_lease_at_once() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(0, short_lease()).await?;
    delete_lease(&cluster).await?;
    let mark = cluster.audit().mark().await?;
    cluster.add_replicas(3).await?;
    let waited = wait_before_creation(&cluster, mark).await?;
    ensure!(waited < LEASE_DURATION, "the first Lease was created after {waited:?}");
    cluster.fixture().create_synced_copy(&[("a", "1")]).await?;
    let events = cluster.audit().since(mark).await?;
    let records = leader_records(&events).len();
    ensure!(records == 1, "{records} replicas have led");
    Ok(())
}

#[tokio::test]
async fn after_a_leader_a_missing_lease_is_created_late() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(1, short_lease()).await?;
    cluster.fixture().create_synced_copy(&[("a", "1")]).await?;
    cluster.replica()?.terminate_and_wait().await?;
    delete_lease(&cluster).await?;
    let mark = cluster.audit().mark().await?;
    cluster.replica()?.restart()?;
    let waited = wait_before_creation(&cluster, mark).await?;
    ensure!(waited >= LEASE_DURATION, "the Lease was created after {waited:?}");
    Ok(())
}

#[tokio::test]
async fn a_replaced_leader_stops_if_both_are_deleted() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(1, short_lease()).await?;
    cluster.fixture().create_synced_copy(&[("a", "1")]).await?;
    let mark = cluster.audit().mark().await?;
    leaders(&cluster.fixture()).delete(OPERATOR, &DeleteParams::default()).await?;
    delete_lease(&cluster).await?;
    cluster.add_replicas(1).await?;
    let status = cluster.replica()?.process().wait_exit(SOON).await?;
    ensure!(status.code() == Some(1), "the former leader exited with {status}");
    edit_and_wait(&cluster.fixture(), "2", SOON).await?;
    let events = cluster.audit().since(mark).await?;
    let holders: Vec<_> = leader_records(&events).iter().map(|it| it.pod_uid()).collect();
    let next = cluster.replicas[1].pod().uid.as_str();
    ensure!(holders.last() == Some(&next), "leader records of {holders:?}, not of {next}");
    Ok(())
}
