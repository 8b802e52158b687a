//! One forced failover.

use std::time::Duration;

use anyhow::Result;
use harness::fault_proxy::Fault;
use harness::fault_proxy::Hold;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::load::COPIES;
use harness::load::SOURCES;
use http::Method;

use crate::leadership_faults::property::draw::Beside;
use crate::leadership_faults::property::draw::Blow;
use crate::leadership_faults::property::draw::Step;
use crate::leadership_faults::stage::FOLLOWED;
use crate::leadership_faults::stage::Stage;

/// How long to wait for a request that is to be held: there may be none.
const REACHED: Duration = Duration::from_secs(2);
/// How long a process that has lost the lead may take to end: it may have lost it before it was
/// struck, and then goes on.
const ENDS: Duration = Duration::from_secs(3);
/// How many answers get lost.
const LOST: usize = 3;

impl Step {
    /// Takes the step, and leaves five replicas without a fault.
    pub async fn take(&self, stage: &mut Stage, number: usize) -> Result<()> {
        let leader = stage.leader().await?;
        let hold = Hold::new();
        let doomed = self.begin(stage, leader, number, &hold).await?;
        self.strike(stage, leader, &hold)?;
        if self.freed {
            stage.fixture().take_lease("").await?;
        }
        stage.followed(leader, FOLLOWED).await?;
        if let Some(doomed) = doomed {
            let fixture = stage.fixture();
            fixture.wait_reason(SOURCES, &doomed, "Synced", SOON).await?;
            fixture.delete_sync(SOURCES, &doomed).await?;
            fixture.wait_no_sync(SOURCES, &doomed, SOON).await?;
        }
        hold.release();
        for proxy in &stage.proxies {
            proxy.clear();
            proxy.unblock();
        }
        let process = stage.replica(leader).process();
        if process.exit_status()?.is_none() {
            process.thaw()?;
        }
        let _ = process.wait_exit(ENDS).await;
        stage.world.restart_ended().await
    }

    /// What happens beside it. Answers the name of the sync whose create is late.
    async fn begin(
        &self,
        stage: &Stage,
        leader: usize,
        number: usize,
        hold: &Hold,
    ) -> Result<Option<String>> {
        let standby = (leader + 1 + self.standby) % stage.proxies.len();
        match self.beside {
            Beside::Nothing => {}
            Beside::LateCreate => {
                let doomed = format!("doomed-{number}");
                let rule = Rule::new(Fault::HoldBefore(hold.clone()));
                stage.proxies[leader].add(rule.when(is_create_of(&doomed)));
                let fixture = stage.fixture();
                fixture.create_config_map(SOURCES, &doomed, &[("a", "1")]).await?;
                let spec = one_to_one(SOURCES, &doomed, COPIES);
                fixture.create_sync(SOURCES, &doomed, spec).await?;
                let _ = hold.reached(REACHED).await;
                return Ok(Some(doomed));
            }
            Beside::SlowLease(by) => {
                // The first rule counts: what is to be held must not be delayed instead.
                let spared = matches!(self.blow, Blow::LateRenewal).then_some(leader);
                let proxies = stage.proxies.iter().enumerate();
                for (_, proxy) in proxies.filter(|(index, _)| Some(*index) != spared) {
                    proxy.add(Rule::new(Fault::Delay(by)).resource("leases").always());
                }
            }
            Beside::LateAcquisition => {
                let rule = Rule::new(Fault::HoldBefore(hold.clone()));
                stage.proxies[standby].add(rule.resource("leases").method(Method::PATCH));
            }
            Beside::LostAnswers => {
                let is_write = |it: &Request| it.is_mutating() && !it.is_lease();
                let rule = Rule::new(Fault::LoseAnswer).when(is_write).times(LOST);
                stage.proxies[leader].add(rule);
            }
            Beside::BrokenConnections => stage.proxies[standby].break_connections(),
        }
        Ok(None)
    }

    fn strike(&self, stage: &Stage, leader: usize, hold: &Hold) -> Result<()> {
        let process = stage.replica(leader).process();
        if process.exit_status()?.is_some() {
            // It has lost the lead by what happens beside.
            return Ok(());
        }
        match self.blow {
            Blow::Kill => process.kill(),
            Blow::Freeze => process.freeze(),
            Blow::Terminate => process.terminate(),
            Blow::CutOff(directions) => {
                stage.proxies[leader].block(directions);
                Ok(())
            }
            Blow::LateRenewal => {
                let rule = Rule::new(Fault::HoldBefore(hold.clone())).resource("leases");
                stage.proxies[leader].add(rule.method(Method::PATCH).always());
                Ok(())
            }
        }
    }
}

/// Whether a request creates the `ConfigMap` with this name.
fn is_create_of(name: &str) -> impl Fn(&Request) -> bool + Send + Sync + use<> {
    let name = format!("\"name\":\"{name}\"");
    move |request| {
        let body = String::from_utf8_lossy(&request.body);
        request.method == Method::POST && request.resource() == "configmaps" && body.contains(&name)
    }
}
