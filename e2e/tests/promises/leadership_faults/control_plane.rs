//! API servers and etcd that end, freeze, and are not one but two.

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

use crate::leadership_faults::stage::CONVERGED;
use crate::leadership_faults::stage::FOLLOWED;
use crate::leadership_faults::stage::LEASE;
use crate::leadership_faults::stage::Stage;

/// How soon a leader ends that gets no answer, with a Lease that lasts three seconds.
const UNANSWERED: Duration = Duration::from_secs(9);
/// Longer than such a leader goes on without an answer, and shorter than anything else waits.
const FROZEN: Duration = Duration::from_secs(5);
/// Long enough for a renewal to fail, and shorter than a leader goes on without one.
const GONE: Duration = Duration::from_secs(6);

#[tokio::test]
async fn a_leader_that_outlives_a_restart_of_etcd_goes_on() -> Result<()> {
    let mut stage = Stage::start(2, &Options::patient()).await?;
    let leader = stage.leader().await?;
    for _ in 0..2 {
        stage.world.control_plane.etcd().kill()?;
        stays("etcd is gone", GONE, || async { Ok(Seen::Done(())) }).await?;
        stage.world.control_plane.restart_etcd().await?;
        let mark = stage.world.audit().mark().await?;
        until("the leader writes again", SOON, || async {
            let pod = &stage.replica(leader).pod().uid;
            let events = stage.world.audit().since(mark).await?;
            let wrote = |it: &Event| it.is_write() && it.succeeded() && it.pod_uid() == pod;
            let copies = events.iter().filter(|it| it.resource() == "configmaps" && wrote(it));
            Ok(Seen::from_bool(copies.count() > 0, || format!("{} events", events.len())))
        })
        .await?;
    }
    let outcome = stage.end_well().await?;
    outcome.ensure_no_transition()
}

/// While etcd is frozen nothing is answered: no renewal, no write. The leader ends by its deadline,
/// and what the API server still had of it is done too late, or never.
#[tokio::test]
async fn while_etcd_is_frozen_nobody_leads_and_afterwards_one_does() -> Result<()> {
    let mut stage = Stage::start(3, &Options::quick(3)).await?;
    let leader = stage.leader().await?;
    stage.world.control_plane.etcd().freeze()?;
    let ended = stage.ends_with_failure(leader, UNANSWERED).await;
    stays("etcd is frozen", FROZEN, || async { Ok(Seen::Done(())) }).await?;
    stage.world.control_plane.etcd().thaw()?;
    ended?;
    stage.followed(leader, FOLLOWED).await?;
    stage.end_well().await?;
    Ok(())
}

/// Leader and standby each know another API server. The first, that of the leader, is restarted
/// while the leader is frozen; what the leader does there when it wakes up is refused.
#[tokio::test]
async fn two_api_servers_agree_on_who_leads() -> Result<()> {
    let mut stage = Stage::without_replicas().await?;
    let second = stage.world.control_plane.another_api_server(1).await?;
    // It is not restarted, so that no revision is missed.
    let recorder = Recorder::start(second.client()).await?;
    let first_mark = stage.world.audit().mark().await?;
    let second_mark = second.audit().mark().await?;
    stage.add(&Options::quick(LEASE)).await?;
    ensure!(stage.leader().await? == 0);
    let authority = stage.world.control_plane.authority();
    let proxy = FaultProxy::before(second.server(), authority)?;
    stage.add_behind(proxy, &Options::quick(LEASE)).await?;
    stage.work().await?;

    for leader in [0, 1, 0] {
        ensure!(stage.leader().await? == leader);
        let process = stage.replica(leader).process();
        process.freeze()?;
        let next = 1 - leader;
        until("the other leads", FOLLOWED, || async {
            let now = stage.leader().await?;
            Ok(Seen::from_bool(now == next, || format!("{now} leads")))
        })
        .await?;
        if leader == 0 {
            stage.world.control_plane.restart_api_server().await?;
        }
        stage.replica(leader).process().thaw()?;
        stage.ends_with_failure(leader, SOON).await?;
        stage.world.restart_ended().await?;
    }
    stage.end_work().await?;
    oracle::live::converged(&recorder, CONVERGED).await?;
    let history = recorder.history().await?;
    let mut events = stage.world.audit().since(first_mark).await?;
    events.extend(second.audit().since(second_mark).await?);
    oracle::ensure_all(&history, &events)
}
