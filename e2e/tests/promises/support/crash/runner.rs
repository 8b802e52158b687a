//! One control plane, a leader and a standby behind the fault proxy, and the runs on it.

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

use crate::support::crash::fault_case::Blow;
use crate::support::crash::fault_case::Case;
use crate::support::crash::fault_case::Plain;
use crate::support::crash::fault_case::Which;
use crate::support::crash::fault_case::is_about;
use crate::support::crash::scenario::RunNamespaces;
use crate::support::crash::scenario::Scenario;
use crate::support::crash::state::state;

/// How long to rest between two looks at whether the operator is silent.
const LOOK: Duration = Duration::from_millis(25);
/// In how many looks in a row the operator has to be silent before something happens. A round
/// takes some milliseconds. Not a time: while a machine stands still, nobody can ask anything.
const SETTLED: usize = 6;
/// In how many to count as done: what it says last may be late, and whatever comes later counts
/// as a change after all was done.
const DONE: usize = 40;
/// How long to wait for a request that came in the run without faults.
const REACHED: Duration = Duration::from_secs(5);
/// How long a watch lags behind: long enough to decide wrongly many times.
const LAG: Duration = Duration::from_millis(500);

pub struct Runner {
    recorder: Recorder,
    proxy: FaultProxy,
    /// With a leader and a standby, both behind the proxy.
    world: OperatorCluster,
    runs: usize,
    /// Where runs have ended, and at which revision.
    ended: Vec<(String, u64)>,
}

/// Whether a fault came to pass.
pub enum Struck {
    Yes,
    /// The request never came that was to be struck; these came.
    No(Vec<Request>),
}

impl Runner {
    pub async fn start() -> Result<Self> {
        harness::replica::operator_binary().await?;
        let mut world = OperatorCluster::start(0).await?;
        let proxy = FaultProxy::start(&world.control_plane)?;
        let arguments = ["--leader-election-retry-period=500ms".to_owned()].to_vec();
        let options = Options { server: Some(proxy.url()), arguments, ..Options::default() };
        let recorder = Recorder::start(world.fixture().client()).await?;
        for name in ["one", "other"] {
            let replica = Replica::start(&world.control_plane, name, &options).await?;
            replica.wait_ready().await?;
            world.replicas.push(replica);
        }
        world.wait_leader().await?;
        Ok(Self { recorder, proxy, world, runs: 0, ended: Vec::new() })
    }

    /// Runs the scenario as it is meant to go.
    pub async fn without_faults(&mut self, scenario: &impl Scenario) -> Result<Plain> {
        let place = self.place();
        let mark = self.world.audit().mark().await?;
        scenario.set_up(&place).await?;
        // What is left of it would be taken for a request that every run has.
        self.wait_silent(&place, DONE).await?;
        let (requests, events) = (self.proxy.count(), self.proxy.events().len());
        scenario.trigger(&place).await?;
        let ended = scenario.end(&place).await;
        self.wait_silent(&place, DONE).await?;
        both(ended, self.check(&place, mark).await)?;

        let requests = self.proxy.requests_since(requests);
        let requests = requests.into_iter().filter(|it| is_about(it, &place.prefix)).collect();
        let mut told = BTreeMap::new();
        for event in self.proxy.events().split_off(events) {
            if place.holds(&event.namespace) || place.holds(&event.name) {
                *told.entry(event.resource).or_default() += 1;
            }
        }
        let state = state(&place).await?;
        Ok(Plain { prefix: place.prefix, requests, events: told, state })
    }

    /// Runs it with a fault, if it comes to that; all has to be well in either case.
    pub async fn with_fault(
        &mut self,
        scenario: &impl Scenario,
        plain: &Plain,
        case: &Case,
    ) -> Result<Struck> {
        let place = self.place();
        let mark = self.world.audit().mark().await?;
        scenario.set_up(&place).await?;
        self.wait_silent(&place, SETTLED).await?;
        let asked = self.proxy.count();
        let struck = match case {
            Case::Request { which, blow: Blow::Freeze } => {
                self.freeze(scenario, &place, which, plain).await?
            }
            Case::Request { which, blow } => self.strike(scenario, &place, which, *blow).await?,
            Case::Lag { resource, events } => {
                self.proxy.lag(resource, *events);
                scenario.trigger(&place).await?;
                // The one wait for a time: a lag is a time.
                tokio::time::sleep(LAG).await;
                self.proxy.lag(resource, 0);
                true
            }
        };
        let ended = wait_end(&place, plain).await;
        self.wait_silent(&place, DONE).await?;
        both(ended, self.check(&place, mark).await)?;
        let instead = self.proxy.requests_since(asked);
        let instead = instead.iter().filter(|it| is_about(it, &place.prefix));
        Ok(if struck { Struck::Yes } else { Struck::No(instead.cloned().collect()) })
    }

    /// As [`Stage::strike`], with a leader that is frozen on its way to the request, which arrives
    /// when another has done all of it. The leader then wakes up, and ends.
    async fn freeze(
        &mut self,
        scenario: &impl Scenario,
        place: &RunNamespaces,
        which: &Which,
        plain: &Plain,
    ) -> Result<bool> {
        let hold = Hold::new();
        self.proxy.add(which.rule(Fault::HoldBefore(hold.clone()), &place.prefix));
        let leader = self.world.wait_leader().await?;
        scenario.trigger(place).await?;
        let Ok(request) = hold.reached(REACHED).await else {
            hold.release();
            return Ok(false);
        };
        let process = self.world.replicas[leader].process();
        process.freeze()?;
        self.free_lease().await?;
        let ended = wait_end(place, plain).await;
        hold.release();
        until("the request that was held is answered", SOON, || async {
            let answer = self.proxy.requests_since(request.number).first().and_then(|it| it.status);
            Ok(Seen::from_bool(answer.is_some(), || "it is not".to_owned()))
        })
        .await?;
        process.thaw()?;
        let status = process.wait_exit(SOON).await?;
        ensure!(status.code() == Some(1), "it woke up and ended with {status}");
        ended.map(|()| true)
    }

    /// Whether the request came that was to be struck.
    async fn strike(
        &mut self,
        scenario: &impl Scenario,
        place: &RunNamespaces,
        which: &Which,
        blow: Blow,
    ) -> Result<bool> {
        let hold = Hold::new();
        let fault = match blow {
            Blow::KillBefore => Fault::HoldBefore(hold.clone()),
            _ => Fault::HoldAfter(hold.clone()),
        };
        self.proxy.add(which.rule(fault, &place.prefix));
        let leader = self.world.wait_leader().await?;
        scenario.trigger(place).await?;
        let Ok(_) = hold.reached(REACHED).await else {
            hold.release();
            return Ok(false);
        };
        if blow != Blow::LoseResponse {
            self.world.replicas[leader].process().kill()?;
            self.free_lease().await?;
        }
        hold.cut();
        Ok(true)
    }

    /// After a run: no fault is left, and there is a standby again.
    pub async fn mend(&mut self) -> Result<()> {
        self.proxy.clear();
        for kind in Kind::ALL {
            self.proxy.lag(kind.resource(), 0);
        }
        self.world.restart_ended().await
    }

    /// What has changed in a place after the run there had ended: nothing should.
    pub async fn later_changes(&self) -> Result<Vec<String>> {
        let history = self.recorder.history().await?;
        let mut found = Vec::new();
        for (prefix, end) in &self.ended {
            let here = history.clone().only(|it| is_in(it, prefix) && it.kind != Kind::Namespace);
            for change in Kind::ALL.iter().flat_map(|kind| here.changes(*kind)) {
                if change.revision > *end && change.at.name != "kube-root-ca.crt" {
                    found.push(format!("{} changed after all was done", change.at));
                }
            }
        }
        Ok(found)
    }

    /// Asks the oracles about a run that has ended.
    async fn check(&mut self, place: &RunNamespaces, mark: testbed::audit::Mark) -> Result<()> {
        let history = self.recorder.history().await?;
        let history = history.only(|it| is_in(it, &place.prefix) || is_about_leadership(it));
        let events = self.world.audit().since(mark).await?;
        let events: Vec<_> = events.into_iter().filter(|it| place.holds(it.namespace())).collect();
        oracle::ensure_all(&history, &events)?;
        self.ended.push((place.prefix.clone(), history.end()));
        Ok(())
    }

    fn place(&mut self) -> RunNamespaces {
        self.runs += 1;
        RunNamespaces { fixture: self.world.fixture(), prefix: format!("run-{}-", self.runs) }
    }

    /// Waits until the operator has asked nothing about a place in so many looks.
    async fn wait_silent(&self, place: &RunNamespaces, looks: usize) -> Result<()> {
        let count = || {
            let requests = self.proxy.requests();
            requests.iter().filter(|it| is_about(it, &place.prefix)).count()
        };
        let (mut last, mut silent) = (count(), 0);
        until_every(LOOK, "the operator has nothing left to do", SOON, || {
            let now = count();
            silent = if now == last { silent + 1 } else { 0 };
            last = now;
            let is_silent = silent >= looks;
            async move { Ok(Seen::from_bool(is_silent, || format!("{now} requests"))) }
        })
        .await
    }

    /// Lets the next process lead at once, as if the Lease of the killed one had expired.
    async fn free_lease(&self) -> Result<()> {
        let leases = Api::<Lease>::namespaced(self.world.fixture().client(), OPERATOR);
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

/// Waits until a place is as the run without faults has left its own.
async fn wait_end(place: &RunNamespaces, plain: &Plain) -> Result<()> {
    until("the end is that of the run without faults", SOON, || async {
        let state = state(place).await?;
        Ok(Seen::from_bool(state == plain.state, || {
            format!("\n{state}\ninstead of\n{}", plain.state)
        }))
    })
    .await
}

/// What is wrong with an end, and what the oracles say: they often know how it came about.
fn both(ended: Result<()>, checked: Result<()>) -> Result<()> {
    match (ended, checked) {
        (Err(ended), Err(checked)) => bail!("{ended:#}\n{checked:#}"),
        (ended, checked) => ended.and(checked),
    }
}

/// Who leads is part of every place.
fn is_about_leadership(change: &Change) -> bool {
    Kind::OF_LEADERSHIP.contains(&change.kind)
}

fn is_in(change: &Change, prefix: &str) -> bool {
    change.at.namespace.starts_with(prefix) || change.at.name.starts_with(prefix)
}
