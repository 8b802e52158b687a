//! A leader that loses its network, in one direction or both, exits by its deadline, and its
//! requests in transit have no effect.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fault_proxy::Direction;
use harness::replica::Options;
use testbed::wait::stays;

use crate::leadership_faults::fault_cluster::FaultCluster;
use crate::leadership_faults::fault_cluster::LEASE;
use crate::leadership_faults::fault_cluster::TAKEOVER;

/// The renew deadline of the leader: two thirds of the duration of the Lease.
const RENEW_DEADLINE: Duration = Duration::from_secs(8);
/// Deadline of the exit. A leader checks its renew deadline four times a second.
const EXITS: Duration = Duration::from_secs(14);

/// Blocks the network of the leader in these directions. Fails unless it exits by its deadline,
/// another replica takes over, and its requests in transit have no effect when they arrive.
async fn block_leader(directions: &[Direction]) -> Result<()> {
    let mut cluster = FaultCluster::start(3, &Options::quick(LEASE)).await?;
    let leader = cluster.leader().await?;
    let pod = cluster.replica(leader).pod().uid.clone();
    let before = cluster.operator.audit().mark().await?;
    cluster.proxies[leader].block(directions);
    cluster.wait_failed(leader, EXITS).await?;
    cluster.wait_takeover(leader, TAKEOVER).await?;
    let blocked = cluster.operator.audit().since(before).await?;

    let healed = cluster.operator.audit().mark().await?;
    cluster.proxies[leader].unblock();
    // The requests in transit arrive before these writes of the next leader.
    for _ in 0..3 {
        cluster.wait_takeover(leader, TAKEOVER).await?;
    }
    let outcome = cluster.finish_without_violations().await?;
    ensure!(outcome.handover()?.from == pod);
    let first = blocked.first().context("no request in the audit log")?.stage_timestamp.0;
    let last = outcome.last_response_to(&pod).context("the former leader wrote nothing")?;
    let late = last.duration_since(first);
    ensure!(
        late <= RENEW_DEADLINE.try_into()?,
        "the last write of the former leader came {late} after its network was blocked"
    );
    let delivered = cluster.operator.audit().since(healed).await?;
    // Writes of the status carry a resourceVersion, and may arrive late.
    let fenced = ["configmaps", "configmapsyncleaders", "leases"];
    let delivered = delivered.iter().filter(|it| it.pod_uid() == pod && it.is_write());
    let delivered: Vec<_> = delivered.filter(|it| fenced.contains(&it.resource())).collect();
    ensure!(delivered.iter().all(|it| !it.succeeded()), "{}", testbed::audit::lines(&delivered));
    Ok(())
}

#[tokio::test]
async fn a_disconnected_leader_exits_and_writes_nothing_late() -> Result<()> {
    block_leader(&Direction::BOTH).await
}

#[tokio::test]
async fn a_leader_with_blocked_requests_exits() -> Result<()> {
    block_leader(&[Direction::ToServer]).await
}

#[tokio::test]
async fn a_leader_with_blocked_responses_exits() -> Result<()> {
    block_leader(&[Direction::ToReplica]).await
}

#[tokio::test]
async fn a_disconnected_standby_causes_no_takeover() -> Result<()> {
    let mut cluster = FaultCluster::start(2, &Options::quick(LEASE)).await?;
    let leader = cluster.leader().await?;
    let standby = 1 - leader;
    cluster.proxies[standby].block(&Direction::BOTH);
    let period = Duration::from_secs(u64::from(LEASE) + 2);
    stays("both replicas are running", period, || async {
        cluster.ensure_running(leader)?;
        cluster.ensure_running(standby)?;
        Ok(testbed::wait::Seen::Done(()))
    })
    .await?;
    let sent = cluster.proxies[standby].count();
    cluster.proxies[standby].unblock();
    testbed::wait::until("the standby receives responses", TAKEOVER, || async {
        let since = cluster.proxies[standby].requests_since(sent);
        let answered = since.iter().filter(|it| it.status == Some(200)).count();
        Ok(testbed::wait::Seen::from_bool(answered >= 3, || format!("{answered} responses")))
    })
    .await?;
    let outcome = cluster.finish_without_violations().await?;
    outcome.ensure_no_transition()?;
    cluster.ensure_running(leader)?;
    cluster.ensure_running(standby)
}
