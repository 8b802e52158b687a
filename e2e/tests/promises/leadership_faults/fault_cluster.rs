//! A cluster whose replicas run behind fault proxies while sources are edited, with a record of all
//! revisions and requests.

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
use harness::oracle::leader_terms;
use harness::oracle::liveness;
use harness::oracle::liveness::Handover;
use harness::replica;
use harness::replica::Options;
use harness::replica::Replica;
use k8s_openapi::jiff::Timestamp;
use testbed::accounts::OPERATOR;
use testbed::audit::Event;
use testbed::audit::Mark;

/// O6: deadline for all copies to be in sync after the last fault.
pub const CONVERGED: Duration = Duration::from_mins(1);
/// O6: deadline for the first write of the next leader, with the default times on a machine under
/// load.
pub const TAKEOVER: Duration = Duration::from_secs(40);
/// Duration of a short Lease, in seconds. A leader keeps leading for two thirds of it, so that a
/// short stall of the machine causes no takeover.
pub const LEASE: u32 = 12;
/// Deadline for the exit of a resumed process that no longer leads. It is below the renew deadline,
/// so that a process that believes in its last renewal fails the test.
pub const EXITS: Duration = Duration::from_secs(5);
/// Time between two edits.
const PAUSE: Duration = Duration::from_millis(50);
const SOURCES: usize = 3;

/// The operator under faults.
pub struct FaultCluster {
    load: Option<Load>,
    recorder: Recorder,
    /// The fault proxy of each replica, in the same order.
    pub proxies: Vec<FaultProxy>,
    /// The cluster and its replicas. No replica is ever removed.
    pub operator: OperatorCluster,
    mark: Mark,
}

/// The record of a run.
pub struct Outcome {
    pub history: History,
    pub events: Vec<Event>,
    /// Violations found by the oracles.
    pub violations: Vec<String>,
}

impl FaultCluster {
    /// Starts `count` replicas with the same options, and the edits of sources.
    pub async fn start(count: usize, options: &Options) -> Result<Self> {
        let mut cluster = Self::without_replicas().await?;
        for _ in 0..count {
            cluster.add(options).await?;
        }
        cluster.start_edits().await?;
        Ok(cluster)
    }

    /// Starts a cluster without replicas and edits.
    pub async fn without_replicas() -> Result<Self> {
        replica::operator_binary().await?;
        let operator = OperatorCluster::start(0).await?;
        let recorder = Recorder::start(operator.fixture().client()).await?;
        let mark = operator.audit().mark().await?;
        Ok(Self { load: None, recorder, proxies: Vec::new(), operator, mark })
    }

    /// Starts another replica behind a new proxy.
    pub async fn add(&mut self, options: &Options) -> Result<()> {
        let proxy = FaultProxy::start(&self.operator.control_plane)?;
        let options = Options { server: Some(proxy.url()), ..options.clone() };
        self.add_behind(proxy, &options).await
    }

    /// Starts another replica behind `proxy`.
    pub async fn add_behind(&mut self, proxy: FaultProxy, options: &Options) -> Result<()> {
        let name = format!("{OPERATOR}-{}", self.proxies.len());
        let options = Options { server: Some(proxy.url()), ..options.clone() };
        let replica = Replica::start(&self.operator.control_plane, &name, &options).await?;
        replica.wait_ready().await?;
        self.proxies.push(proxy);
        self.operator.replicas.push(replica);
        Ok(())
    }

    /// Starts the edits of sources.
    pub async fn start_edits(&mut self) -> Result<()> {
        self.load = Some(Load::start(&self.fixture(), SOURCES, PAUSE).await?);
        Ok(())
    }

    /// Waits until the fence is enforced, removes it, and waits until it is no longer enforced.
    pub async fn remove_fence(&self) -> Result<()> {
        self.operator.wait_fenced(true).await?;
        self.operator.control_plane.remove_policy(names::POLICY_FENCE).await?;
        self.operator.wait_fenced(false).await
    }

    /// A user of the cluster.
    pub fn fixture(&self) -> Fixture {
        self.operator.fixture()
    }

    /// The replica with this index.
    pub fn replica(&self, index: usize) -> &Replica {
        &self.operator.replicas[index]
    }

    /// The index of the replica that leads.
    pub async fn leader(&self) -> Result<usize> {
        self.operator.wait_leader().await
    }

    /// Waits until another replica than `index` writes copies. Returns its index.
    pub async fn wait_takeover(&self, index: usize, deadline: Duration) -> Result<usize> {
        self.operator.wait_next_writer(index, deadline).await
    }

    /// Waits until a replica exits with code 1, as it does when it has lost the lead.
    pub async fn wait_failed(&self, index: usize, deadline: Duration) -> Result<ExitStatus> {
        let process = self.replica(index).process();
        let status = process.wait_exit(deadline).await?;
        ensure!(
            status.code() == Some(1),
            "replica {index} exited with {status}:\n{}",
            process.tail(10)
        );
        Ok(status)
    }

    /// Fails unless the process of a replica is running.
    pub fn ensure_running(&self, index: usize) -> Result<()> {
        let process = self.replica(index).process();
        process.expect_running().with_context(|| format!("replica {index} should be running"))
    }

    /// Stops the edits, and waits until the copies are updated.
    pub async fn stop_edits(&mut self) -> Result<()> {
        match self.load.take() {
            Some(load) => load.stop(CONVERGED).await,
            None => Ok(()),
        }
    }

    /// Stops the edits, waits until all copies are in sync, and runs the oracles.
    pub async fn finish(&mut self) -> Result<Outcome> {
        self.stop_edits().await?;
        liveness::converged(&self.recorder, CONVERGED).await?;
        self.judge().await
    }

    /// Runs the oracles on the record so far.
    pub async fn judge(&self) -> Result<Outcome> {
        let history = self.recorder.history().await?;
        let events = self.operator.audit().since(self.mark).await?;
        let violations = oracle::violations(&history, &events);
        Ok(Outcome { history, events, violations })
    }

    /// As [`FaultCluster::finish`]; fails if the oracles find a violation.
    pub async fn finish_without_violations(&mut self) -> Result<Outcome> {
        let outcome = self.finish().await?;
        ensure!(outcome.violations.is_empty(), "{}", outcome.violations.join("\n"));
        Ok(outcome)
    }
}

impl Outcome {
    /// The only handover. Fails unless there was exactly one.
    pub fn handover(&self) -> Result<Handover> {
        let handovers = liveness::handovers(&self.events);
        ensure!(handovers.len() == 1, "{handovers:#?}");
        handovers.into_iter().next().context("no handover")
    }

    /// The revision of the last write of a copy by a pod.
    pub fn last_write_of(&self, pod: &str) -> Option<u64> {
        let writes = oracle::writes(&self.history, &self.events);
        let copies = writes.iter().filter(|it| it.kind == Kind::ConfigMap);
        copies.filter(|it| it.event.pod_uid() == pod).filter_map(|it| it.revision).max()
    }

    /// The time of the last response to a write of a copy by a pod.
    pub fn last_response_to(&self, pod: &str) -> Option<Timestamp> {
        let writes = oracle::writes(&self.history, &self.events);
        let copies = writes.iter().filter(|it| it.kind == Kind::ConfigMap);
        copies.filter(|it| it.event.pod_uid() == pod).map(|it| it.event.stage_timestamp.0).max()
    }

    /// Fails unless the Lease had the same holder all the time.
    pub fn ensure_no_transition(&self) -> Result<()> {
        let transitions = leader_terms::transitions(&self.history);
        ensure!(transitions == 0, "the holder of the Lease changed {transitions} times");
        Ok(())
    }
}
