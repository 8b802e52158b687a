//! One run: edits and disturbances at random, then the checks.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use fastrand::Rng;
use testbed::audit::Mark;
use testbed::terminal::Done;
use testbed::terminal::Now;
use testbed::terminal::Screen;
use tokio::time::Instant;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;

use crate::chaos_cluster::ChaosCluster;
use crate::checks::check_writes;
use crate::checks::reasons;
use crate::checks::stays_quiet;
use crate::checks::wait_settled;
use crate::disturbance::Disturbance;
use crate::memory_use::MemoryUse;
use crate::options::Options;
use crate::user_edit::UserEdit;
use crate::workload::Item;

/// Time between two edits.
const TICK: Duration = Duration::from_millis(500);
const TICKS_A_MINUTE: u32 = 120;
/// Edits between two disturbances, two samples of the memory, and two checks.
const DISTURBED: u32 = 10;
const SAMPLED: u32 = 20;
const CHECKED: u32 = TICKS_A_MINUTE;
/// Deadline for the first status of every `ConfigMapSync`.
const REPORTED: Duration = Duration::from_mins(3);

/// What happened in a run.
pub struct Outcome {
    pub seed: u64,
    pub length: Duration,
    /// Edits made and refused, by name.
    pub edits: BTreeMap<UserEdit, (usize, usize)>,
    pub disturbances: BTreeMap<Disturbance, usize>,
    /// Replicas that were started again.
    pub restarts: usize,
    /// The operator's writes.
    pub writes: usize,
    pub memory: MemoryUse,
    /// The number of `ConfigMapSync`s by reason, in the end.
    pub reasons: BTreeMap<String, usize>,
    pub violations: Vec<String>,
}

struct Run {
    cluster: ChaosCluster,
    items: Vec<Item>,
    random: Rng,
    began: Instant,
    length: Duration,
    checked: Mark,
    outcome: Outcome,
}

/// Runs everything. An error is a failure of the run itself; what the operator did wrong is in the
/// outcome.
pub async fn run(options: &Options, seed: u64) -> Result<Outcome> {
    let screen = Screen::new();
    let cluster = screen.step("cluster with three replicas", async {
        Ok(Done::new(ChaosCluster::start().await?, ""))
    });
    let cluster = cluster.await?;
    let items: Vec<_> = (0..options.syncs as usize).map(Item).collect();
    screen
        .step("ConfigMapSyncs of every shape", async {
            cluster.create_items(&items).await?;
            cluster.wait_reported(REPORTED).await?;
            Ok(Done::new((), items.len().to_string()))
        })
        .await?;
    let mut run = Run::new(cluster, items, seed, options);
    let now = screen.now();
    screen.step("faults and edits", run.disturb(&now)).await?;
    screen.step("end of the faults", run.settle()).await?;
    Ok(run.outcome)
}

// === impl Run ===

impl Run {
    fn new(cluster: ChaosCluster, items: Vec<Item>, seed: u64, options: &Options) -> Self {
        let length = Duration::from_mins(options.minutes.into());
        let outcome = Outcome {
            seed,
            length,
            edits: BTreeMap::new(),
            disturbances: BTreeMap::new(),
            restarts: 0,
            writes: 0,
            memory: MemoryUse::default(),
            reasons: BTreeMap::new(),
            violations: Vec::new(),
        };
        let (checked, random) = (cluster.mark, Rng::with_seed(seed));
        Self { cluster, items, random, began: Instant::now(), length, checked, outcome }
    }

    /// Edits and disturbs until the time is over. The number of both is bounded, too.
    async fn disturb(&mut self, now: &Now) -> Result<Done<()>> {
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let most = u32::try_from(self.length.as_secs() / 60)? * TICKS_A_MINUTE;
        for tick in 1..=most {
            ticks.tick().await;
            if self.began.elapsed() >= self.length {
                break;
            }
            self.edit(tick).await;
            if tick % DISTURBED == 0 {
                self.cause_one().await?;
            }
            if tick % SAMPLED == 0 {
                self.sample().await;
            }
            if tick % CHECKED == 0 {
                self.cluster.clear_faults();
                self.check().await?;
                now.set(&self.progress());
            }
        }
        Ok(Done::new((), self.progress()))
    }

    async fn edit(&mut self, tick: u32) {
        let edit = UserEdit::draw(&mut self.random);
        let item = self.items[self.random.usize(0..self.items.len())];
        let fixture = self.cluster.fixture();
        let made = edit.make(&fixture, item, &format!("value {tick}"), &mut self.random).await;
        let (done, refused) = self.outcome.edits.entry(edit).or_default();
        *if made.is_ok() { done } else { refused } += 1;
    }

    async fn cause_one(&mut self) -> Result<()> {
        self.outcome.restarts += self.cluster.restart_ended()?;
        // Later, the leader keeps running, so that a growth of its memory shows.
        let ends_leader = self.began.elapsed() < self.length / 3;
        let disturbance = Disturbance::draw(&mut self.random, ends_leader);
        match disturbance.cause(&mut self.cluster, &mut self.random).await {
            Ok(()) => *self.outcome.disturbances.entry(disturbance).or_default() += 1,
            Err(error) => self.violated([format!("{}: {error:#}", disturbance.name())]),
        }
        Ok(())
    }

    async fn sample(&mut self) {
        // The leader may end meanwhile.
        if let Ok(pid) = self.cluster.leader_pid().await {
            let _ = self.outcome.memory.sample(self.began.elapsed(), pid);
        }
    }

    async fn check(&mut self) -> Result<()> {
        let checked = check_writes(&self.cluster, self.checked).await?;
        self.checked = checked.next;
        self.outcome.writes += checked.writes;
        self.violated(checked.violations);
        Ok(())
    }

    /// Shows violations at once: the run may take another hour.
    fn violated(&mut self, violations: impl IntoIterator<Item = String>) {
        for violation in violations {
            eprintln!("\nviolated after {:.0?}: {violation}", self.began.elapsed());
            self.outcome.violations.push(violation);
        }
    }

    fn progress(&self) -> String {
        let Outcome { edits, disturbances, restarts, writes, memory, violations, .. } =
            &self.outcome;
        format!(
            "{} edits, {} disturbances, {restarts} restarts, {writes} writes, {} MiB, {} violations",
            edits.values().map(|(done, refused)| done + refused).sum::<usize>(),
            disturbances.values().sum::<usize>(),
            memory.last() / 1024,
            violations.len(),
        )
    }

    /// Ends all faults, and checks the end.
    async fn settle(&mut self) -> Result<Done<()>> {
        self.cluster.calm_down().await?;
        let settled = wait_settled(&self.cluster).await;
        let quiet = match &settled {
            Ok(()) => stays_quiet(&self.cluster).await,
            Err(_) => Ok(()),
        };
        let found = [settled, quiet].into_iter().filter_map(Result::err);
        self.violated(found.map(|error| format!("{error:#}")).collect::<Vec<_>>());
        self.check().await?;
        self.outcome.reasons = reasons(&self.cluster)?;
        Ok(Done::new((), format!("{} violations", self.outcome.violations.len())))
    }
}
