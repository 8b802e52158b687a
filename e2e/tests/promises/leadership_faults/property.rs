//! Random failovers of five replicas never lead to two writers. The fault of each leader, and a
//! second fault at the same time, are drawn at random.
//!
//! A run makes as many failovers as fit into five minutes. With `E2E_FULL=1` there are 1,000, in
//! runs of 50 on a cluster each. A run that fails prints its seed; `E2E_SEED=SEED` repeats it.
//!
//! Two more runs end when the oracles detect a second writer: one without the fence, one with
//! replicas that use the crate kube-leader-election without the protections around it.

mod random_step;
mod run_step;

use std::env;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use harness::oracle::leader_terms;
use harness::oracle::liveness;
use harness::replica;
use harness::replica::Options;

use crate::leadership_faults::fault_cluster::FaultCluster;
use crate::leadership_faults::fault_cluster::Outcome;
use crate::leadership_faults::property::random_step::Step;
use crate::support::scale::quick_or_full;

const REPLICAS: usize = 5;
/// Duration of the Lease, in seconds.
const LEASE: u32 = 3;
/// Duration of a run without a number of failovers.
const TIME: Duration = Duration::from_mins(5);
/// Failovers of one run: the oracles take long for a longer history.
const FAILOVERS: usize = 50;
/// Runs that make 1,000 failovers.
const RUNS: usize = 20;
/// Runs in parallel: they mostly wait.
const CONCURRENT_RUNS: usize = 3;
/// Failovers within which the oracles have to find a second writer without the protections.
const ENOUGH: usize = 20;

/// The protections in effect.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protection {
    /// All of them.
    All,
    NoFence,
    BareCrate,
}

/// The result of a run.
struct Run {
    seed: u64,
    forced: usize,
    /// The error of the step that failed.
    failed: Result<()>,
    outcome: Outcome,
}

async fn start(protection: Protection) -> Result<FaultCluster> {
    let mut options = Options::quick(LEASE);
    options.arguments.push("--sweep-period=2s".to_owned());
    if protection == Protection::BareCrate {
        options.binary = Some(replica::unprotected_binary().await?.to_owned());
    }
    let cluster = FaultCluster::start(REPLICAS, &options).await?;
    match protection {
        Protection::All => cluster.operator.wait_fenced(true).await?,
        Protection::NoFence => cluster.remove_fence().await?,
        Protection::BareCrate => {}
    }
    Ok(cluster)
}

async fn run(seed: u64, until: impl Fn(usize) -> bool) -> Result<Run> {
    let mut cluster = start(Protection::All).await?;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut forced = 0;
    let mut failed = Ok(());
    while failed.is_ok() && !until(forced) {
        failed = Step::draw(&mut random).run(&mut cluster, forced).await;
        forced += 1;
    }
    let outcome = if failed.is_ok() { cluster.finish().await? } else { cluster.judge().await? };
    Ok(Run { seed, forced, failed, outcome })
}

/// Fails unless the oracles find a write by a replica that does not lead.
async fn find_second_writer(protection: Protection) -> Result<()> {
    let mut cluster = start(protection).await?;
    let mut random = fastrand::Rng::with_seed(1);
    for forced in 0..ENOUGH {
        // A second writer can be the cause of the failure.
        let result = Step::draw(&mut random).run(&mut cluster, forced).await;
        let violations = cluster.judge().await?.violations;
        if let Some(found) = violations.iter().find(|it| it.starts_with("O1")) {
            eprintln!("{} failovers until a write by a former leader: {found}", forced + 1);
            return Ok(());
        }
        result?;
    }
    bail!("{ENOUGH} failovers without a second writer")
}

impl Run {
    /// Fails on a failed step and on any violation.
    fn ensure_no_violation(self) -> Result<()> {
        let Self { seed, forced, failed, outcome } = self;
        let again = || format!("failed at failover {forced}; E2E_SEED={seed} repeats this run");
        let found = &outcome.violations;
        ensure!(found.is_empty(), "{}\n{}\n{failed:?}", again(), found.join("\n"));
        failed.with_context(again)?;
        let terms = leader_terms::terms(&outcome.history).len();
        let longest =
            liveness::handovers(&outcome.events).iter().map(liveness::Handover::gap).max();
        eprintln!(
            "seed {seed}: {forced} failovers, {terms} terms without overlap; at most {:.1} s without \
             a write",
            longest.unwrap_or_default().as_secs_f32()
        );
        Ok(())
    }
}

fn seed() -> Result<Option<u64>> {
    let seed = env::var("E2E_SEED").ok();
    seed.map(|seed| seed.parse().context("E2E_SEED must be a number")).transpose()
}

#[tokio::test]
async fn random_failovers_have_one_writer_at_a_time() -> Result<()> {
    if let Some(seed) = seed()? {
        return run(seed, |forced| forced >= FAILOVERS).await?.ensure_no_violation();
    }
    let began = Instant::now();
    if quick_or_full(true, false) {
        let is_over = |_| began.elapsed() >= TIME;
        return run(fastrand::u64(..), is_over).await?.ensure_no_violation();
    }
    let runs = (0..RUNS).map(|_| fastrand::u64(..));
    let runs = stream::iter(runs.map(|seed| run(seed, |forced| forced >= FAILOVERS)));
    runs.buffer_unordered(CONCURRENT_RUNS)
        .try_for_each(async |run| run.ensure_no_violation())
        .await?;
    eprintln!("{} failovers in {:.0} s", RUNS * FAILOVERS, began.elapsed().as_secs_f32());
    Ok(())
}

#[tokio::test]
async fn without_the_fence_the_oracles_find_a_late_write() -> Result<()> {
    find_second_writer(Protection::NoFence).await
}

#[tokio::test]
async fn with_the_crate_alone_the_oracles_find_two_writers() -> Result<()> {
    find_second_writer(Protection::BareCrate).await
}
