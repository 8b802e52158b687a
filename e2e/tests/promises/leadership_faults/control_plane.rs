//! Restarts and freezes of API servers and etcd, and replicas on two API servers, cause no second
//! writer.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use harness::fault_proxy::FaultProxy;
use harness::fixture::SOON;
use harness::oracle;
use harness::oracle::Recorder;
use harness::replica::Options;
use testbed::audit::Event;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

use crate::leadership_faults::fault_cluster::CONVERGED;
use crate::leadership_faults::fault_cluster::FaultCluster;
use crate::leadership_faults::fault_cluster::LEASE;
use crate::leadership_faults::fault_cluster::TAKEOVER;

/// Deadline for the exit of a leader without responses, with a Lease of three seconds.
const NO_RESPONSE: Duration = Duration::from_secs(9);
/// Longer than such a leader leads without a response, and shorter than all other timeouts.
const FROZEN: Duration = Duration::from_secs(5);
/// Long enough for a renewal to fail, and shorter than the renew deadline.
const DOWN: Duration = Duration::from_secs(6);

#[tokio::test]
async fn a_leader_keeps_leading_after_a_restart_of_etcd() -> Result<()> {
    let mut cluster = FaultCluster::start(2, &Options::patient()).await?;
    let leader = cluster.leader().await?;
    for _ in 0..2 {
        cluster.operator.control_plane.etcd().kill()?;
        stays("etcd is down", DOWN, || async { Ok(Seen::Done(())) }).await?;
        cluster.operator.control_plane.restart_etcd().await?;
        let mark = cluster.operator.audit().mark().await?;
        until("the leader writes", SOON, || async {
            let pod = &cluster.replica(leader).pod().uid;
            let events = cluster.operator.audit().since(mark).await?;
            let wrote = |it: &Event| it.is_write() && it.succeeded() && it.pod_uid() == pod;
            let copies = events.iter().filter(|it| it.resource() == "configmaps" && wrote(it));
            Ok(Seen::from_bool(copies.count() > 0, || format!("{} events", events.len())))
        })
        .await?;
    }
    let outcome = cluster.finish_without_violations().await?;
    outcome.ensure_no_transition()
}

/// A frozen etcd answers neither renewals nor writes. The leader exits by its deadline; its pending
/// requests take effect too late, or never.
#[tokio::test]
async fn a_frozen_etcd_ends_the_leader_and_another_takes_over() -> Result<()> {
    let mut cluster = FaultCluster::start(3, &Options::quick(3)).await?;
    let leader = cluster.leader().await?;
    cluster.operator.control_plane.etcd().freeze()?;
    let ended = cluster.wait_failed(leader, NO_RESPONSE).await;
    stays("etcd is frozen", FROZEN, || async { Ok(Seen::Done(())) }).await?;
    cluster.operator.control_plane.etcd().thaw()?;
    ended?;
    cluster.wait_takeover(leader, TAKEOVER).await?;
    cluster.finish_without_violations().await?;
    Ok(())
}

/// Leader and standby use different API servers. That of the leader is restarted while the leader
/// is frozen; the writes of the resumed leader are refused.
#[tokio::test]
async fn two_api_servers_agree_on_the_leader() -> Result<()> {
    let mut cluster = FaultCluster::without_replicas().await?;
    let second = cluster.operator.control_plane.another_api_server(1).await?;
    // The recorder uses the API server that is not restarted, and so misses no revision.
    let recorder = Recorder::start(second.client()).await?;
    let first_mark = cluster.operator.audit().mark().await?;
    let second_mark = second.audit().mark().await?;
    cluster.add(&Options::quick(LEASE)).await?;
    ensure!(cluster.leader().await? == 0);
    let authority = cluster.operator.control_plane.authority();
    let proxy = FaultProxy::start_for(second.server(), authority)?;
    cluster.add_behind(proxy, &Options::quick(LEASE)).await?;
    cluster.start_edits().await?;

    for leader in [0, 1, 0] {
        ensure!(cluster.leader().await? == leader);
        let process = cluster.replica(leader).process();
        process.freeze()?;
        let next = 1 - leader;
        until("the other replica leads", TAKEOVER, || async {
            let now = cluster.leader().await?;
            Ok(Seen::from_bool(now == next, || format!("replica {now} leads")))
        })
        .await?;
        if leader == 0 {
            cluster.operator.control_plane.restart_api_server().await?;
        }
        cluster.replica(leader).process().thaw()?;
        cluster.wait_failed(leader, SOON).await?;
        cluster.operator.restart_ended().await?;
    }
    cluster.stop_edits().await?;
    oracle::liveness::converged(&recorder, CONVERGED).await?;
    let history = recorder.history().await?;
    let mut events = cluster.operator.audit().since(first_mark).await?;
    events.extend(second.audit().since(second_mark).await?);
    oracle::ensure_all(&history, &events)
}
