//! Runs of scenarios on one control plane, with a leader and a standby behind the fault proxy.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use anyhow::ensure;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Hold;
use harness::fault_proxy::Request;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use harness::oracle;
use harness::oracle::Change;
use harness::oracle::Kind;
use harness::oracle::Recorder;
use harness::replica::Options;
use harness::replica::Replica;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::wait::Seen;
use testbed::wait::until;
use testbed::wait::until_every;

use crate::support::crash::fault_case::Case;
use crate::support::crash::fault_case::Faultless;
use crate::support::crash::fault_case::RequestFault;
use crate::support::crash::fault_case::RequestKey;
use crate::support::crash::fault_case::is_about;
use crate::support::crash::scenario::RunNamespaces;
use crate::support::crash::scenario::Scenario;
use crate::support::crash::state::state;

/// Pause between two checks whether the operator has sent further requests.
const PAUSE: Duration = Duration::from_millis(25);
/// Consecutive checks without a request before the change is made; a reconcile takes milliseconds.
/// Not a duration, since nothing sends requests while the machine stalls.
const SETTLED: usize = 6;
/// Consecutive checks without a request before a run counts as finished. More than [`SETTLED`],
/// since the last status may be late, and any later change is a failure.
const FINISHED: usize = 40;
/// How long to wait for a request of the run without faults.
const REACHED: Duration = Duration::from_secs(5);
/// How long watch events are late: long enough for many decisions on an old state.
const LAG: Duration = Duration::from_millis(500);

/// Runs scenarios one after another.
pub struct Runner {
    recorder: Recorder,
    proxy: FaultProxy,
    /// A leader and a standby, both behind the proxy.
    cluster: OperatorCluster,
    runs: usize,
    /// The prefix of each finished run, and the revision at its end.
    finished: Vec<(String, u64)>,
}

/// Whether a fault was injected.
pub enum Injected {
    Yes,
    /// The operator did not send the request that the fault applies to, but these.
    No(Vec<Request>),
}

impl Runner {
    pub async fn start() -> Result<Self> {
        harness::replica::operator_binary().await?;
        let mut cluster = OperatorCluster::start(0).await?;
        let proxy = FaultProxy::start(&cluster.control_plane)?;
        let arguments = ["--leader-election-retry-period=500ms".to_owned()].to_vec();
        let options = Options { server: Some(proxy.url()), arguments, ..Options::default() };
        let recorder = Recorder::start(cluster.fixture().client()).await?;
        for name in ["one", "other"] {
            let replica = Replica::start(&cluster.control_plane, name, &options).await?;
            replica.wait_ready().await?;
            cluster.replicas.push(replica);
        }
        cluster.wait_leader().await?;
        Ok(Self { recorder, proxy, cluster, runs: 0, finished: Vec::new() })
    }

    /// Runs a scenario without faults.
    pub async fn without_faults(&mut self, scenario: &impl Scenario) -> Result<Faultless> {
        let namespaces = self.next_namespaces();
        let mark = self.cluster.audit().mark().await?;
        scenario.set_up(&namespaces).await?;
        // A late request of the set-up would be recorded as one of the scenario.
        self.wait_silent(&namespaces, FINISHED).await?;
        let (requests, events) = (self.proxy.count(), self.proxy.events().len());
        scenario.trigger(&namespaces).await?;
        let ended = scenario.end(&namespaces).await;
        self.wait_silent(&namespaces, FINISHED).await?;
        combine_errors(ended, self.check(&namespaces, mark).await)?;

        let requests = self.proxy.requests_since(requests);
        let requests = requests.into_iter().filter(|it| is_about(it, &namespaces.prefix)).collect();
        let mut watched = BTreeMap::new();
        for event in self.proxy.events().split_off(events) {
            if namespaces.holds(&event.namespace) || namespaces.holds(&event.name) {
                *watched.entry(event.resource).or_default() += 1;
            }
        }
        let state = state(&namespaces).await?;
        Ok(Faultless { prefix: namespaces.prefix, requests, events: watched, state })
    }

    /// Runs a scenario with a fault. Fails unless the final state is that of the run without faults
    /// and the oracles are satisfied, even if the fault could not be injected.
    pub async fn with_fault(
        &mut self,
        scenario: &impl Scenario,
        faultless: &Faultless,
        case: &Case,
    ) -> Result<Injected> {
        let namespaces = self.next_namespaces();
        let mark = self.cluster.audit().mark().await?;
        scenario.set_up(&namespaces).await?;
        self.wait_silent(&namespaces, SETTLED).await?;
        let start = self.proxy.count();
        let is_injected = match case {
            Case::Request { key, fault: RequestFault::Freeze } => {
                self.freeze(scenario, &namespaces, key, faultless).await?
            }
            Case::Request { key, fault } => {
                self.kill_or_cut(scenario, &namespaces, key, *fault).await?
            }
            Case::Lag { resource, events } => {
                self.proxy.lag(resource, *events);
                scenario.trigger(&namespaces).await?;
                // The delay itself; everything else waits for a state.
                tokio::time::sleep(LAG).await;
                self.proxy.lag(resource, 0);
                true
            }
        };
        let ended = wait_end(&namespaces, faultless).await;
        self.wait_silent(&namespaces, FINISHED).await?;
        combine_errors(ended, self.check(&namespaces, mark).await)?;
        let requests = self.proxy.requests_since(start);
        let requests = requests.iter().filter(|it| is_about(it, &namespaces.prefix));
        Ok(if is_injected { Injected::Yes } else { Injected::No(requests.cloned().collect()) })
    }

    /// Freezes the leader at the request, which arrives when another replica has finished the work.
    /// Then resumes the leader, which must exit. Returns whether the request was sent.
    async fn freeze(
        &mut self,
        scenario: &impl Scenario,
        namespaces: &RunNamespaces,
        key: &RequestKey,
        faultless: &Faultless,
    ) -> Result<bool> {
        let hold = Hold::new();
        self.proxy.add(key.rule(Fault::HoldBefore(hold.clone()), &namespaces.prefix));
        let leader = self.cluster.wait_leader().await?;
        scenario.trigger(namespaces).await?;
        let Ok(request) = hold.reached(REACHED).await else {
            hold.release();
            return Ok(false);
        };
        let process = self.cluster.replicas[leader].process();
        process.freeze()?;
        self.free_lease().await?;
        let ended = wait_end(namespaces, faultless).await;
        hold.release();
        until("the request that was held has a response", SOON, || async {
            let status = self.proxy.requests_since(request.number).first().and_then(|it| it.status);
            Ok(Seen::from_bool(status.is_some(), || "no response".to_owned()))
        })
        .await?;
        process.thaw()?;
        let status = process.wait_exit(SOON).await?;
        ensure!(status.code() == Some(1), "the resumed leader exited with {status}");
        ended.map(|()| true)
    }

    /// Kills the leader before or after the request, or cuts off its response. Returns whether the
    /// request was sent.
    async fn kill_or_cut(
        &mut self,
        scenario: &impl Scenario,
        namespaces: &RunNamespaces,
        key: &RequestKey,
        request_fault: RequestFault,
    ) -> Result<bool> {
        let hold = Hold::new();
        let fault = match request_fault {
            RequestFault::KillBefore => Fault::HoldBefore(hold.clone()),
            _ => Fault::HoldAfter(hold.clone()),
        };
        self.proxy.add(key.rule(fault, &namespaces.prefix));
        let leader = self.cluster.wait_leader().await?;
        scenario.trigger(namespaces).await?;
        let Ok(_) = hold.reached(REACHED).await else {
            hold.release();
            return Ok(false);
        };
        if request_fault != RequestFault::LoseResponse {
            self.cluster.replicas[leader].process().kill()?;
            self.free_lease().await?;
        }
        hold.cut();
        Ok(true)
    }

    /// After a run: removes all faults, and restarts replicas that have exited.
    pub async fn recover(&mut self) -> Result<()> {
        self.proxy.clear();
        for kind in Kind::ALL {
            self.proxy.lag(kind.resource(), 0);
        }
        self.cluster.restart_ended().await
    }

    /// Describes every object that changed after its run had finished; none should.
    pub async fn later_changes(&self) -> Result<Vec<String>> {
        let history = self.recorder.history().await?;
        let mut found = Vec::new();
        for (prefix, end) in &self.finished {
            let here = history.clone().only(|it| is_in(it, prefix) && it.kind != Kind::Namespace);
            for change in Kind::ALL.iter().flat_map(|kind| here.changes(*kind)) {
                if change.revision > *end && change.at.name != "kube-root-ca.crt" {
                    found.push(format!("{} changed after its run had finished", change.at));
                }
            }
        }
        Ok(found)
    }

    /// Checks the oracles for a finished run.
    async fn check(
        &mut self,
        namespaces: &RunNamespaces,
        mark: testbed::audit::Mark,
    ) -> Result<()> {
        let history = self.recorder.history().await?;
        let history = history.only(|it| is_in(it, &namespaces.prefix) || is_about_leadership(it));
        let events = self.cluster.audit().since(mark).await?;
        let events: Vec<_> =
            events.into_iter().filter(|it| namespaces.holds(it.namespace())).collect();
        oracle::ensure_all(&history, &events)?;
        self.finished.push((namespaces.prefix.clone(), history.end()));
        Ok(())
    }

    /// The namespaces of the next run.
    fn next_namespaces(&mut self) -> RunNamespaces {
        self.runs += 1;
        RunNamespaces { fixture: self.cluster.fixture(), prefix: format!("run-{}-", self.runs) }
    }

    /// Waits until the operator has sent no request in these namespaces for `checks` consecutive
    /// checks.
    async fn wait_silent(&self, namespaces: &RunNamespaces, checks: usize) -> Result<()> {
        let count = || {
            let requests = self.proxy.requests();
            requests.iter().filter(|it| is_about(it, &namespaces.prefix)).count()
        };
        let (mut last, mut silent) = (count(), 0);
        until_every(PAUSE, "the operator sends no more requests", SOON, || {
            let now = count();
            silent = if now == last { silent + 1 } else { 0 };
            last = now;
            let is_silent = silent >= checks;
            async move { Ok(Seen::from_bool(is_silent, || format!("{now} requests"))) }
        })
        .await
    }

    /// Lets the next replica lead at once, as if the Lease had expired.
    async fn free_lease(&self) -> Result<()> {
        let leases = Api::<Lease>::namespaced(self.cluster.fixture().client(), OPERATOR);
        let spec = json!({
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "renewTime": "2020-01-01T00:00:00.000000Z",
        });
        let patch = Patch::Merge(json!({"spec": spec}));
        let freed = leases.patch(OPERATOR, &PatchParams::default(), &patch).await;
        freed.context("freeing the Lease")?;
        Ok(())
    }
}

/// Waits until the state is the final state of the run without faults.
async fn wait_end(namespaces: &RunNamespaces, faultless: &Faultless) -> Result<()> {
    until("the final state is that of the run without faults", SOON, || async {
        let state = state(namespaces).await?;
        Ok(Seen::from_bool(state == faultless.state, || {
            format!("\n{state}\nexpected\n{}", faultless.state)
        }))
    })
    .await
}

/// Combines the errors of the final state and of the oracles; the latter often show the cause.
fn combine_errors(ended: Result<()>, checked: Result<()>) -> Result<()> {
    match (ended, checked) {
        (Err(ended), Err(checked)) => bail!("{ended:#}\n{checked:#}"),
        (ended, checked) => ended.and(checked),
    }
}

/// Whether an object is about leadership, which concerns every run.
fn is_about_leadership(change: &Change) -> bool {
    Kind::OF_LEADERSHIP.contains(&change.kind)
}

fn is_in(change: &Change, prefix: &str) -> bool {
    change.at.namespace.starts_with(prefix) || change.at.name.starts_with(prefix)
}
