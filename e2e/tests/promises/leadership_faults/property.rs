//! Five replicas, and one forced failover after the other: how each is forced, and what happens
//! beside it, is drawn by chance.
//!
//! There are as many as fit five minutes. With `E2E_FULL=1` there are 1,000, in runs of 50 on a
//! cluster each. A run that fails names its seed, and `E2E_SEED=<it>` draws the same again.
//!
//! That the oracles can fail is shown by two runs that are the same but for what makes leaders
//! safe: once the fence is gone, once the replicas use the crate of the Lease as it is.

mod draw;
mod step;

use std::env;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use harness::oracle::live;
use harness::oracle::terms;
use harness::replica;
use harness::replica::Options;

use crate::leadership_faults::property::draw::Step;
use crate::leadership_faults::stage::Outcome;
use crate::leadership_faults::stage::Stage;
use crate::support::scale::quick_or_full;

const REPLICAS: usize = 5;
/// How long the Lease lasts, in seconds.
const LEASE: u32 = 3;
/// Where there is no number, there is a time.
const TIME: Duration = Duration::from_mins(5);
/// Of one run: the history of more is long to read.
const AT_MOST: usize = 50;
/// Runs that make 1,000 failovers, and how many of them go on at a time: they wait more than they
/// work.
const RUNS: usize = 20;
const RUNS_AT_ONCE: usize = 3;
/// Enough of them to show what is not safe.
const FEW: usize = 6;

/// What of the product is at work.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Safety {
    Whole,
    NoFence,
    BareCrate,
}

/// One run, with what was forced in it.
struct Run {
    seed: u64,
    forced: usize,
    /// The step that failed, if one did.
    failed: Result<()>,
    outcome: Outcome,
}

async fn run(seed: u64, safety: Safety, until: impl Fn(usize) -> bool) -> Result<Run> {
    let mut options = Options::quick(LEASE);
    options.arguments.push("--sweep-period=2s".to_owned());
    if safety == Safety::BareCrate {
        options.binary = Some(replica::built_careless().await?.to_owned());
    }
    let mut stage = Stage::start(REPLICAS, &options).await?;
    match safety {
        Safety::Whole => stage.world.wait_fenced(true).await?,
        Safety::NoFence => stage.remove_fence().await?,
        Safety::BareCrate => {}
    }
    let mut random = fastrand::Rng::with_seed(seed);
    let mut forced = 0;
    let mut failed = Ok(());
    while failed.is_ok() && !until(forced) {
        let step = Step::draw(&mut random);
        failed = step.take(&mut stage, forced).await.with_context(|| format!("{step:?}"));
        forced += 1;
    }
    // What nobody swept or finished is not what this is about where safety is off.
    let outcome = if safety == Safety::Whole && failed.is_ok() {
        stage.end().await?
    } else {
        stage.look().await?
    };
    Ok(Run { seed, forced, failed, outcome })
}

impl Run {
    /// Nothing went wrong.
    fn ensure_well(self) -> Result<()> {
        let Self { seed, forced, failed, outcome } = self;
        let again = || format!("E2E_SEED={seed} draws this run again; it failed at {forced}");
        let found = &outcome.violations;
        ensure!(found.is_empty(), "{}\n{}\n{failed:?}", again(), found.join("\n"));
        failed.with_context(again)?;
        let terms = terms::terms(&outcome.history).len();
        let longest = live::handovers(&outcome.events).iter().map(live::Handover::gap).max();
        eprintln!(
            "seed {seed}: {forced} failovers forced, {terms} terms, none overlapped; nobody wrote \
             for {:.1} s at most",
            longest.unwrap_or_default().as_secs_f32()
        );
        Ok(())
    }

    /// Somebody wrote who did not lead.
    fn ensure_two_writers(self) -> Result<()> {
        let found = self.outcome.violations;
        let two: Vec<_> = found.into_iter().filter(|it| it.starts_with("O1")).collect();
        ensure!(!two.is_empty(), "{} failovers, and no second writer", self.forced);
        eprintln!("{} failovers, {} writes by others: {}", self.forced, two.len(), two[0]);
        Ok(())
    }
}

fn seed() -> Result<Option<u64>> {
    let seed = env::var("E2E_SEED").ok();
    seed.map(|seed| seed.parse().context("E2E_SEED is no number")).transpose()
}

#[tokio::test]
async fn whatever_forces_a_failover_one_replica_writes_at_a_time() -> Result<()> {
    if let Some(seed) = seed()? {
        return run(seed, Safety::Whole, |forced| forced >= AT_MOST).await?.ensure_well();
    }
    let began = Instant::now();
    if quick_or_full(true, false) {
        let is_over = |_| began.elapsed() >= TIME;
        return run(fastrand::u64(..), Safety::Whole, is_over).await?.ensure_well();
    }
    let runs = (0..RUNS).map(|_| fastrand::u64(..));
    let runs = stream::iter(runs.map(|seed| run(seed, Safety::Whole, |forced| forced >= AT_MOST)));
    runs.buffer_unordered(RUNS_AT_ONCE).try_for_each(async |run| run.ensure_well()).await?;
    eprintln!("{} failovers in {:.0} s", RUNS * AT_MOST, began.elapsed().as_secs_f32());
    Ok(())
}

#[tokio::test]
async fn without_the_fence_a_late_write_is_found() -> Result<()> {
    run(1, Safety::NoFence, |forced| forced >= FEW).await?.ensure_two_writers()
}

#[tokio::test]
async fn with_the_bare_crate_two_writers_are_found() -> Result<()> {
    run(1, Safety::BareCrate, |forced| forced >= FEW).await?.ensure_two_writers()
}
