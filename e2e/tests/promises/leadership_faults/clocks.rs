//! Wrong, jumping, fast, slow and stopped clocks cause no takeover, neither delay nor hasten one,
//! and cause no second writer.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use anyhow::ensure;
use harness::replica::Options;
use testbed::accounts::OPERATOR;
use testbed::clock::Clock;
use testbed::clock::boot_clock_ahead;
use testbed::wait::Seen;
use testbed::wait::stays;

use crate::leadership_faults::fault_cluster::EXITS;
use crate::leadership_faults::fault_cluster::FaultCluster;
use crate::leadership_faults::fault_cluster::LEASE;
use crate::leadership_faults::fault_cluster::TAKEOVER;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// Deadline of a takeover after a crash. The Lease lasts for [`LEASE`] from its last renewal; the
/// next leader reads it twice a second, settles for one second, and lists. A replica that believed
/// a clock would be hours off.
const WITHIN: Duration = Duration::from_secs(30);

/// Starts three replicas with clocks that can be changed while they run.
async fn with_clocks(options: &Options) -> Result<(FaultCluster, Vec<Clock>)> {
    let mut cluster = FaultCluster::without_replicas().await?;
    let mut clocks = Vec::new();
    for number in 0..3 {
        let folder = cluster.operator.control_plane.folder();
        let clock = Clock::of_day(folder, &format!("{OPERATOR}-{number}")).await?;
        let environment = clock.environment();
        cluster.add(&Options { environment, ..options.clone() }).await?;
        clocks.push(clock);
    }
    cluster.start_edits().await?;
    Ok((cluster, clocks))
}

#[tokio::test]
async fn jumps_of_the_time_of_day_cause_no_takeover() -> Result<()> {
    let (mut cluster, clocks) = with_clocks(&Options::patient()).await?;
    let leader = cluster.leader().await?;
    for seconds in [HOUR, -HOUR, DAY, -DAY] {
        for clock in &clocks {
            clock.jump(seconds)?;
            // Twice the time between two reads of the Lease.
            stays("the same replica leads", Duration::from_secs(1), || async {
                let now = cluster.leader().await?;
                Ok(Seen::from_bool(now == leader, || {
                    format!("replica {now} leads instead of {leader}")
                }))
            })
            .await?;
            clock.jump(0)?;
        }
    }
    let outcome = cluster.finish_without_violations().await?;
    outcome.ensure_no_transition()
}

/// The leader crashes with its clock a day ahead, so that its Lease was renewed tomorrow. The
/// clocks of the standbys are behind, and jump until the takeover.
#[tokio::test]
async fn the_time_of_day_neither_delays_nor_hastens_a_takeover() -> Result<()> {
    let (mut cluster, clocks) = with_clocks(&Options::quick(LEASE)).await?;
    let leader = cluster.leader().await?;
    clocks[leader].jump(DAY)?;
    let ahead = Duration::from_secs(1);
    stays("the replica leads", ahead, || async { Ok(Seen::Done(())) }).await?;
    let standbys: Vec<_> = (0..3).filter(|index| *index != leader).collect();
    clocks[standbys[0]].jump(-HOUR)?;
    cluster.replica(leader).process().kill()?;
    let jumping = async {
        for seconds in [2 * DAY, -DAY, HOUR, -HOUR].into_iter().cycle() {
            clocks[standbys[0]].jump(seconds)?;
            clocks[standbys[1]].jump(-seconds)?;
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        taken_over = cluster.wait_takeover(leader, TAKEOVER) => taken_over?,
        failed = jumping => return failed,
    };
    let handover = cluster.finish_without_violations().await?.handover()?;
    // The last renewal was at most half a second before the crash.
    let soonest = Duration::from_secs(u64::from(LEASE) - 1);
    ensure!((soonest..=WITHIN).contains(&handover.gap()), "{handover:?}");
    Ok(())
}

/// One clock is 5 % fast, one 5 % slow, one correct; each replica leads once.
#[tokio::test]
async fn fast_and_slow_clocks_cause_no_second_writer() -> Result<()> {
    let mut cluster = FaultCluster::without_replicas().await?;
    for (number, rate) in [1.05, 0.95, 1.0].into_iter().enumerate() {
        let folder = cluster.operator.control_plane.folder();
        let name = format!("{OPERATOR}-{number}");
        let clock = Clock::at_rate(folder, &name, rate).await?;
        let environment = clock.environment();
        cluster.add(&Options { environment, ..Options::quick(LEASE) }).await?;
    }
    cluster.start_edits().await?;
    for _ in 0..2 {
        let leader = cluster.leader().await?;
        let process = cluster.replica(leader).process();
        process.freeze()?;
        cluster.wait_takeover(leader, TAKEOVER).await?;
        process.thaw()?;
        cluster.wait_failed(leader, EXITS).await?;
    }
    cluster.finish_without_violations().await?;
    Ok(())
}

/// A suspended machine: no process runs and the monotonic clock stops, while the boot-time clock
/// continues. The boot-time clock of the next leader is days ahead, as on another machine.
#[tokio::test]
async fn a_suspended_leader_exits_before_it_writes() -> Result<()> {
    let mut cluster = FaultCluster::without_replicas().await?;
    let folder = cluster.operator.control_plane.folder();
    let clock = Clock::with_monotonic(folder, &format!("{OPERATOR}-0")).await?;
    let environment = clock.environment();
    cluster.add(&Options { environment, ..Options::quick(LEASE) }).await?;
    let leader = cluster.leader().await?;
    let is_root = rustix::process::geteuid().is_root();
    let days = Duration::from_hours(240);
    let prefix = if is_root { boot_clock_ahead(days) } else { Vec::new() };
    cluster.add(&Options { prefix, ..Options::quick(LEASE) }).await?;

    let process = cluster.replica(leader).process();
    process.freeze()?;
    let began = Instant::now();
    // Edits start after the suspension, so that no request is in transit.
    cluster.start_edits().await?;
    cluster.wait_takeover(leader, TAKEOVER).await?;
    let sent = cluster.proxies[leader].count();
    clock.jump(-i64::try_from(began.elapsed().as_secs())?)?;
    cluster.replica(leader).process().thaw()?;
    cluster.wait_failed(leader, EXITS).await?;
    cluster.finish_without_violations().await?;
    let resumed = cluster.proxies[leader].requests_since(sent);
    let writes: Vec<_> = resumed.iter().filter(|it| it.is_mutating() && !it.is_lease()).collect();
    ensure!(writes.is_empty(), "the resumed leader sent writes: {writes:#?}");
    Ok(())
}
