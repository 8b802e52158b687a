//! Replicas whose clocks are wrong, jump, run fast or slow, or stand still.

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

use crate::leadership_faults::stage::ENDS;
use crate::leadership_faults::stage::FOLLOWED;
use crate::leadership_faults::stage::LEASE;
use crate::leadership_faults::stage::Stage;

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// A leader that dies leaves a Lease that lasts so long ([`LEASE`]) from its last renewal; the next one looks
/// twice a second, settles for one, and lists. Whoever believed a clock would be hours off.
const WITHIN: Duration = Duration::from_secs(30);

/// Three replicas with clocks that are set while they run.
async fn with_clocks(options: &Options) -> Result<(Stage, Vec<Clock>)> {
    let mut stage = Stage::without_replicas().await?;
    let mut clocks = Vec::new();
    for number in 0..3 {
        let folder = stage.world.control_plane.folder();
        let clock = Clock::of_day(folder, &format!("{OPERATOR}-{number}")).await?;
        let environment = clock.environment();
        stage.add(&Options { environment, ..options.clone() }).await?;
        clocks.push(clock);
    }
    stage.work().await?;
    Ok((stage, clocks))
}

#[tokio::test]
async fn the_time_of_day_moves_no_lease() -> Result<()> {
    let (mut stage, clocks) = with_clocks(&Options::patient()).await?;
    let leader = stage.leader().await?;
    for seconds in [HOUR, -HOUR, DAY, -DAY] {
        for clock in &clocks {
            clock.jump(seconds)?;
            // Twice as long as between two looks at the Lease.
            stays("the leader leads", Duration::from_secs(1), || async {
                let now = stage.leader().await?;
                Ok(Seen::from_bool(now == leader, || format!("{now} leads, and not {leader}")))
            })
            .await?;
            clock.jump(0)?;
        }
    }
    let outcome = stage.end_well().await?;
    outcome.ensure_no_transition()
}

/// The leader dies with its clock a day ahead, so that its Lease says that it was renewed tomorrow;
/// those that contend for it are behind, and jump about while they do.
#[tokio::test]
async fn the_time_of_day_neither_delays_nor_hastens_who_follows() -> Result<()> {
    let (mut stage, clocks) = with_clocks(&Options::quick(LEASE)).await?;
    let leader = stage.leader().await?;
    clocks[leader].jump(DAY)?;
    let ahead = Duration::from_secs(1);
    stays("it leads", ahead, || async { Ok(Seen::Done(())) }).await?;
    let standbys: Vec<_> = (0..3).filter(|index| *index != leader).collect();
    clocks[standbys[0]].jump(-HOUR)?;
    stage.replica(leader).process().kill()?;
    let jumping = async {
        for seconds in [2 * DAY, -DAY, HOUR, -HOUR].into_iter().cycle() {
            clocks[standbys[0]].jump(seconds)?;
            clocks[standbys[1]].jump(-seconds)?;
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        followed = stage.followed(leader, FOLLOWED) => followed?,
        failed = jumping => return failed,
    };
    let handover = stage.end_well().await?.handover()?;
    // No sooner than the Lease has lasted, from its last renewal at the latest half a second ago.
    let soonest = Duration::from_secs(u64::from(LEASE) - 1);
    ensure!((soonest..=WITHIN).contains(&handover.gap()), "{handover:?}");
    Ok(())
}

/// One clock runs 5 % fast, one 5 % slow, one is right; each leads once.
#[tokio::test]
async fn clocks_that_run_fast_or_slow_make_no_second_writer() -> Result<()> {
    let mut stage = Stage::without_replicas().await?;
    for (number, rate) in [1.05, 0.95, 1.0].into_iter().enumerate() {
        let folder = stage.world.control_plane.folder();
        let name = format!("{OPERATOR}-{number}");
        let clock = Clock::at_rate(folder, &name, rate).await?;
        let environment = clock.environment();
        stage.add(&Options { environment, ..Options::quick(LEASE) }).await?;
    }
    stage.work().await?;
    for _ in 0..2 {
        let leader = stage.leader().await?;
        let process = stage.replica(leader).process();
        process.freeze()?;
        stage.followed(leader, FOLLOWED).await?;
        process.thaw()?;
        stage.ends_with_failure(leader, ENDS).await?;
    }
    stage.end_well().await?;
    Ok(())
}

/// As a machine does that is suspended: nothing runs, and the monotonic clock stands still, while
/// the boot-time clock goes on. The next leader's boot-time clock is days ahead, as that of
/// another machine is.
#[tokio::test]
async fn a_leader_that_was_suspended_ends_before_it_writes() -> Result<()> {
    let mut stage = Stage::without_replicas().await?;
    let folder = stage.world.control_plane.folder();
    let clock = Clock::with_monotonic(folder, &format!("{OPERATOR}-0")).await?;
    let environment = clock.environment();
    stage.add(&Options { environment, ..Options::quick(LEASE) }).await?;
    let leader = stage.leader().await?;
    let is_root = rustix::process::geteuid().is_root();
    let days = Duration::from_hours(240);
    let prefix = if is_root { boot_clock_ahead(days) } else { Vec::new() };
    stage.add(&Options { prefix, ..Options::quick(LEASE) }).await?;

    let process = stage.replica(leader).process();
    process.freeze()?;
    let began = Instant::now();
    // From now on, so that nothing is on its way when the machine is suspended.
    stage.work().await?;
    stage.followed(leader, FOLLOWED).await?;
    let asked = stage.proxies[leader].count();
    clock.jump(-i64::try_from(began.elapsed().as_secs())?)?;
    stage.replica(leader).process().thaw()?;
    stage.ends_with_failure(leader, ENDS).await?;
    stage.end_well().await?;
    let awake = stage.proxies[leader].requests_since(asked);
    let tried: Vec<_> = awake.iter().filter(|it| it.is_mutating() && !it.is_lease()).collect();
    ensure!(tried.is_empty(), "it wanted to write after it woke up: {tried:#?}");
    Ok(())
}
