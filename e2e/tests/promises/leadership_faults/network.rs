//! Replicas whose network fails, without a word or in one direction.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fault_proxy::Direction;
use harness::replica::Options;
use testbed::wait::stays;

use crate::leadership_faults::stage::FOLLOWED;
use crate::leadership_faults::stage::LEASE;
use crate::leadership_faults::stage::Stage;

/// How long a leader goes on without renewing the Lease: two thirds of what that lasts.
const DEADLINE: Duration = Duration::from_secs(8);
/// A leader looks at its deadline four times a second.
const ENDS: Duration = Duration::from_secs(14);

/// The leader is cut off in these directions: it ends by its deadline, another follows, and nothing
/// that was kept on the way takes effect when it arrives.
async fn leader_is_cut_off(directions: &[Direction]) -> Result<()> {
    let mut stage = Stage::start(3, &Options::quick(LEASE)).await?;
    let leader = stage.leader().await?;
    let pod = stage.replica(leader).pod().uid.clone();
    let before = stage.world.audit().mark().await?;
    stage.proxies[leader].block(directions);
    stage.ends_with_failure(leader, ENDS).await?;
    stage.followed(leader, FOLLOWED).await?;
    let blocked = stage.world.audit().since(before).await?;

    let healed = stage.world.audit().mark().await?;
    stage.proxies[leader].unblock();
    // Whatever arrives now arrives before the next leader has written this much more.
    for _ in 0..3 {
        stage.followed(leader, FOLLOWED).await?;
    }
    let outcome = stage.end_well().await?;
    ensure!(outcome.handover()?.from == pod);
    let first = blocked.first().context("nothing happened")?.stage_timestamp.0;
    let last = outcome.last_answer_to(&pod).context("it wrote nothing")?;
    let late = last.duration_since(first);
    ensure!(late <= DEADLINE.try_into()?, "its last write came {late} after it was cut off");
    let kept = stage.world.audit().since(healed).await?;
    // A status carries the version that it is about, and may arrive late.
    let matters = ["configmaps", "configmapsyncleaders", "leases"];
    let kept = kept.iter().filter(|it| it.pod_uid() == pod && it.is_write());
    let kept: Vec<_> = kept.filter(|it| matters.contains(&it.resource())).collect();
    ensure!(kept.iter().all(|it| !it.succeeded()), "{}", testbed::audit::lines(&kept));
    Ok(())
}

#[tokio::test]
async fn a_leader_that_is_cut_off_ends_and_leaves_nothing_behind() -> Result<()> {
    leader_is_cut_off(&Direction::BOTH).await
}

#[tokio::test]
async fn a_leader_that_is_not_heard_ends_and_leaves_nothing_behind() -> Result<()> {
    leader_is_cut_off(&[Direction::ToServer]).await
}

#[tokio::test]
async fn a_leader_that_is_heard_and_hears_nothing_ends() -> Result<()> {
    leader_is_cut_off(&[Direction::ToReplica]).await
}

#[tokio::test]
async fn a_standby_that_is_cut_off_changes_nothing_and_steals_nothing() -> Result<()> {
    let mut stage = Stage::start(2, &Options::quick(LEASE)).await?;
    let leader = stage.leader().await?;
    let standby = 1 - leader;
    stage.proxies[standby].block(&Direction::BOTH);
    let longer = Duration::from_secs(u64::from(LEASE) + 2);
    stays("both go on", longer, || async {
        stage.runs(leader)?;
        stage.runs(standby)?;
        Ok(testbed::wait::Seen::Done(()))
    })
    .await?;
    let asked = stage.proxies[standby].count();
    stage.proxies[standby].unblock();
    testbed::wait::until("the standby is heard again", FOLLOWED, || async {
        let since = stage.proxies[standby].requests_since(asked);
        let answered = since.iter().filter(|it| it.status == Some(200)).count();
        Ok(testbed::wait::Seen::from_bool(answered >= 3, || format!("{answered} answers")))
    })
    .await?;
    let outcome = stage.end_well().await?;
    outcome.ensure_no_transition()?;
    stage.runs(leader)?;
    stage.runs(standby)
}
