//! Replicas that each have a network of their own, work for them, and all that is recorded.

use std::process::ExitStatus;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names;
use harness::fault_proxy::FaultProxy;
use harness::fixture::Fixture;
use harness::load::Load;
use harness::operator_cluster::OperatorCluster;
use harness::oracle;
use harness::oracle::History;
use harness::oracle::Kind;
use harness::oracle::Recorder;
use harness::oracle::live;
use harness::oracle::live::Handover;
use harness::oracle::terms;
use harness::replica;
use harness::replica::Options;
use harness::replica::Replica;
use k8s_openapi::jiff::Timestamp;
use testbed::accounts::OPERATOR;
use testbed::audit::Event;
use testbed::audit::Mark;

/// O6: all is in order so soon after the last fault.
pub const CONVERGED: Duration = Duration::from_mins(1);
/// How long another leader may take to write, with the default times: O6, on a machine under load.
pub const FOLLOWED: Duration = Duration::from_secs(40);
/// How long the Lease lasts of those that are to follow each other soon, in seconds; a leader goes
/// on for two thirds of that, so that a machine that stalls for a moment deposes nobody.
pub const LEASE: u32 = 12;
/// How soon a process that wakes up without the lead has ended: sooner than one that believes that
/// it has just renewed the Lease.
pub const ENDS: Duration = Duration::from_secs(5);
/// Between two edits.
const PAUSE: Duration = Duration::from_millis(50);
const SOURCES: usize = 3;

/// Replicas at work.
pub struct Stage {
    load: Option<Load>,
    recorder: Recorder,
    /// The network of each replica, in their order.
    pub proxies: Vec<FaultProxy>,
    /// The cluster and the replicas, of which none is ever taken out.
    pub world: OperatorCluster,
    mark: Mark,
}

/// What has happened, when all is in order again.
pub struct Outcome {
    pub history: History,
    pub events: Vec<Event>,
    /// What the oracles have found.
    pub violations: Vec<String>,
}

impl Stage {
    /// So many replicas that are alike, one of which leads, and work for them.
    pub async fn start(count: usize, options: &Options) -> Result<Self> {
        let mut stage = Self::without_replicas().await?;
        for _ in 0..count {
            stage.add(options).await?;
        }
        stage.work().await?;
        Ok(stage)
    }

    pub async fn without_replicas() -> Result<Self> {
        replica::built().await?;
        let world = OperatorCluster::start(0).await?;
        let recorder = Recorder::start(world.fixture().client()).await?;
        let mark = world.audit().mark().await?;
        Ok(Self { load: None, recorder, proxies: Vec::new(), world, mark })
    }

    /// Starts another replica behind a proxy of its own.
    pub async fn add(&mut self, options: &Options) -> Result<()> {
        let proxy = FaultProxy::start(&self.world.control_plane)?;
        let options = Options { server: Some(proxy.url()), ..options.clone() };
        self.add_behind(proxy, &options).await
    }

    /// Starts another replica; what it asks goes through `proxy`.
    pub async fn add_behind(&mut self, proxy: FaultProxy, options: &Options) -> Result<()> {
        let name = format!("{OPERATOR}-{}", self.proxies.len());
        let options = Options { server: Some(proxy.url()), ..options.clone() };
        let replica = Replica::start(&self.world.control_plane, &name, &options).await?;
        replica.wait_ready().await?;
        self.proxies.push(proxy);
        self.world.replicas.push(replica);
        Ok(())
    }

    /// Something to write, from now on.
    pub async fn work(&mut self) -> Result<()> {
        self.load = Some(Load::start(&self.fixture(), SOURCES, PAUSE).await?);
        Ok(())
    }

    /// Removes the fence, which holds until then, and waits until it holds no more.
    pub async fn remove_fence(&self) -> Result<()> {
        self.world.wait_fenced(true).await?;
        self.world.control_plane.remove_policy(names::POLICY_FENCE).await?;
        self.world.wait_fenced(false).await
    }

    pub fn fixture(&self) -> Fixture {
        self.world.fixture()
    }

    pub fn replica(&self, index: usize) -> &Replica {
        &self.world.replicas[index]
    }

    /// The replica that leads.
    pub async fn leader(&self) -> Result<usize> {
        self.world.wait_leader().await
    }

    /// Waits until another replica than `index` writes copies, and says which.
    pub async fn followed(&self, index: usize, deadline: Duration) -> Result<usize> {
        self.world.wait_follower(index, deadline).await
    }

    /// Waits until the process of a replica has ended with a failure, as one does that has lost
    /// the lead.
    pub async fn ends_with_failure(&self, index: usize, deadline: Duration) -> Result<ExitStatus> {
        let process = self.replica(index).process();
        let status = process.wait_exit(deadline).await?;
        ensure!(status.code() == Some(1), "it ended with {status}:\n{}", process.tail(10));
        Ok(status)
    }

    /// Makes sure that the process of a replica has gone on all the time.
    pub fn runs(&self, index: usize) -> Result<()> {
        let process = self.replica(index).process();
        process.expect_running().with_context(|| format!("replica {index} should go on"))
    }

    /// Ends the work, and waits until it is done.
    pub async fn end_work(&mut self) -> Result<()> {
        match self.load.take() {
            Some(load) => load.stop(CONVERGED).await,
            None => Ok(()),
        }
    }

    /// Ends the work, waits until all is in order, and asks the oracles.
    pub async fn end(&mut self) -> Result<Outcome> {
        self.end_work().await?;
        live::converged(&self.recorder, CONVERGED).await?;
        self.look().await
    }

    /// Asks the oracles now, whatever is still to be done.
    pub async fn look(&self) -> Result<Outcome> {
        let history = self.recorder.history().await?;
        let events = self.world.audit().since(self.mark).await?;
        let violations = oracle::violations(&history, &events);
        Ok(Outcome { history, events, violations })
    }

    /// As [`Stage::end`], when the oracles should find nothing.
    pub async fn end_well(&mut self) -> Result<Outcome> {
        let outcome = self.end().await?;
        ensure!(outcome.violations.is_empty(), "{}", outcome.violations.join("\n"));
        Ok(outcome)
    }
}

impl Outcome {
    /// The only handover that there was.
    pub fn handover(&self) -> Result<Handover> {
        let handovers = live::handovers(&self.events);
        ensure!(handovers.len() == 1, "{handovers:#?}");
        handovers.into_iter().next().context("no handover")
    }

    /// The revision that a pod made last.
    pub fn last_write_of(&self, pod: &str) -> Option<u64> {
        let writes = oracle::writes(&self.history, &self.events);
        let copies = writes.iter().filter(|it| it.kind == Kind::ConfigMap);
        copies.filter(|it| it.event.pod_uid() == pod).filter_map(|it| it.revision).max()
    }

    /// When a pod was answered last that it has written a copy.
    pub fn last_answer_to(&self, pod: &str) -> Option<Timestamp> {
        let writes = oracle::writes(&self.history, &self.events);
        let copies = writes.iter().filter(|it| it.kind == Kind::ConfigMap);
        copies.filter(|it| it.event.pod_uid() == pod).map(|it| it.event.stage_timestamp.0).max()
    }

    /// Makes sure that the Lease had one holder all the time.
    pub fn ensure_no_transition(&self) -> Result<()> {
        let transitions = terms::transitions(&self.history);
        ensure!(transitions == 0, "the Lease went to another {transitions} times");
        Ok(())
    }
}
