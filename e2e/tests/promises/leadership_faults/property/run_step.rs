//! Runs a failover.

use std::time::Duration;

use anyhow::Context as _;
use anyhow::Result;
use configmapsync::names;
use harness::fault_proxy::Fault;
use harness::fault_proxy::Hold;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::kubelet_status;
use harness::kubelet_status::container;
use harness::kubelet_status::terminated;
use harness::load::COPIES;
use harness::load::SOURCES;
use http::Method;
use serde_json::json;

use crate::leadership_faults::fault_cluster::FaultCluster;
use crate::leadership_faults::fault_cluster::TAKEOVER;
use crate::leadership_faults::property::random_step::LeaderFault;
use crate::leadership_faults::property::random_step::SideFault;
use crate::leadership_faults::property::random_step::Step;

/// How long to wait for a request to hold back: there may be none.
const REACHED: Duration = Duration::from_secs(2);
/// How long to wait for the former leader to exit. A replica that had lost the lead before its
/// fault keeps running.
const EXITS: Duration = Duration::from_secs(3);
/// Number of lost responses.
const LOST: usize = 3;

impl Step {
    /// Forces the failover, waits for the takeover, and removes the faults.
    pub async fn run(&self, cluster: &mut FaultCluster, number: usize) -> Result<()> {
        let forced = self.force(cluster, number).await;
        forced.with_context(|| format!("failover {}: {self:?}", number + 1))
    }

    async fn force(&self, cluster: &mut FaultCluster, number: usize) -> Result<()> {
        let (leader, holder) = cluster.operator.wait_leading_process().await?;
        let hold = Hold::new();
        let late_create = self.inject_side_fault(cluster, leader, number, &hold).await?;
        self.inject_leader_fault(cluster, leader, &hold)?;
        self.show_end(cluster, leader, &holder).await?;
        if self.freed {
            cluster.fixture().set_lease_holder("").await?;
        }
        if matches!(self.leader_fault, LeaderFault::Restart) {
            cluster.operator.replicas[leader].restart()?;
            cluster.operator.wait_next_holder(&holder, TAKEOVER).await?;
            cluster.operator.wait_any_writer(TAKEOVER).await?;
        } else {
            cluster.wait_takeover(leader, TAKEOVER).await?;
        }
        if let Some(late_create) = late_create {
            let fixture = cluster.fixture();
            fixture.wait_reason(SOURCES, &late_create, "Synced", SOON).await?;
            fixture.delete_sync(SOURCES, &late_create).await?;
            fixture.wait_no_sync(SOURCES, &late_create, SOON).await?;
        }
        hold.release();
        for proxy in &cluster.proxies {
            proxy.clear();
            proxy.unblock();
        }
        if !matches!(self.leader_fault, LeaderFault::Restart) {
            let process = cluster.replica(leader).process();
            if process.exit_status()?.is_none() {
                process.thaw()?;
            }
            let _ = process.wait_exit(EXITS).await;
        }
        cluster.operator.restart_ended().await
    }

    /// Injects the second fault. Returns the name of the ConfigMapSync whose create is held back.
    async fn inject_side_fault(
        &self,
        cluster: &FaultCluster,
        leader: usize,
        number: usize,
        hold: &Hold,
    ) -> Result<Option<String>> {
        let standby = (leader + 1 + self.standby) % cluster.proxies.len();
        match self.side_fault {
            SideFault::Nothing => {}
            SideFault::LateCreate => {
                let late_create = format!("late-create-{number}");
                let rule = Rule::new(Fault::HoldBefore(hold.clone()));
                cluster.proxies[leader].add(rule.when(is_create_of(&late_create)));
                let fixture = cluster.fixture();
                fixture.create_config_map(SOURCES, &late_create, &[("a", "1")]).await?;
                let spec = one_to_one(SOURCES, &late_create, COPIES);
                fixture.create_sync(SOURCES, &late_create, spec).await?;
                let _ = hold.reached(REACHED).await;
                return Ok(Some(late_create));
            }
            SideFault::SlowLease(by) => {
                // The first matching rule applies: a request to hold back must not match this one.
                let spared =
                    matches!(self.leader_fault, LeaderFault::LateRenewal).then_some(leader);
                let proxies = cluster.proxies.iter().enumerate();
                for (_, proxy) in proxies.filter(|(index, _)| Some(*index) != spared) {
                    proxy.add(Rule::new(Fault::Delay(by)).resource("leases").always());
                }
            }
            SideFault::LateAcquisition => {
                let rule = Rule::new(Fault::HoldBefore(hold.clone()));
                cluster.proxies[standby].add(rule.resource("leases").method(Method::PATCH));
            }
            SideFault::LostResponses => {
                let is_write = |it: &Request| it.is_mutating() && !it.is_lease();
                let rule = Rule::new(Fault::LoseResponse).when(is_write).times(LOST);
                cluster.proxies[leader].add(rule);
            }
            SideFault::BrokenConnections => cluster.proxies[standby].break_connections(),
        }
        Ok(None)
    }

    /// Writes the status of the pod of a leader that was killed, if a kubelet is to have seen it.
    async fn show_end(&self, cluster: &FaultCluster, leader: usize, holder: &str) -> Result<()> {
        let ended = terminated("Error", holder);
        let status = match self.leader_fault {
            LeaderFault::ProvenKill => container(names::CONTAINER, &ended, &json!({})),
            LeaderFault::Restart => container(names::CONTAINER, &json!({"running": {}}), &ended),
            _ => return Ok(()),
        };
        let client = cluster.operator.control_plane.client();
        kubelet_status::show(client, &cluster.replica(leader).pod().name, &status).await
    }

    fn inject_leader_fault(
        &self,
        cluster: &FaultCluster,
        leader: usize,
        hold: &Hold,
    ) -> Result<()> {
        let process = cluster.replica(leader).process();
        if process.exit_status()?.is_some() {
            // It exited because of the second fault.
            return Ok(());
        }
        match self.leader_fault {
            LeaderFault::Kill | LeaderFault::ProvenKill | LeaderFault::Restart => process.kill(),
            LeaderFault::Freeze => process.freeze(),
            LeaderFault::Terminate => process.terminate(),
            LeaderFault::CutOff(directions) => {
                cluster.proxies[leader].block(directions);
                Ok(())
            }
            LeaderFault::LateRenewal => {
                let rule = Rule::new(Fault::HoldBefore(hold.clone())).resource("leases");
                cluster.proxies[leader].add(rule.method(Method::PATCH).always());
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
