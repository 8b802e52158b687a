//! Promise: the fence may go and come back, alone, with the other policies, or with all that is
//! installed, on one API server, and on two of which one is restarted meanwhile. While it is gone
//! syncs are followed. Soon after it is back a pod that leads no more is refused, by each API
//! server, and the one that leads is not.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names::POLICY_FENCE;
use harness::attempt::Attempt;
use harness::attempt::config_maps;
use harness::attempt::copy;
use harness::attempt::fence_probe;
use harness::installation;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use harness::replica::Pod;
use harness::replica::Replica;
use kube::Client;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::control_plane::api_server::ApiServer;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::attempt_table::AttemptTable;
use crate::support::attempt_table::Expected::Passes;
use crate::support::attempt_table::Expected::RefusedBy;

/// "Each time a sync converges within 60 s and a deposed pod gets 403."
const AGAIN: Duration = Duration::from_mins(1);
/// Where the Lease could not be given back, it lasts for a minute.
const LED_AGAIN: Duration = Duration::from_secs(90);
const REPLICAS: usize = 2;

/// What goes, and comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Fence,
    Policies,
    /// With the replicas. The `ConfigMapSync`s stay.
    Everything,
}

/// Replicas, as many as API servers at least, and each API server with one of them.
struct Stage {
    // Dropped before the folder that it writes into.
    second: Option<ApiServer>,
    world: OperatorCluster,
    started: usize,
    edits: u32,
}

impl Part {
    const ALL: [Self; 3] = [Self::Fence, Self::Policies, Self::Everything];
}

impl Stage {
    async fn start(with_second: bool) -> Result<Self> {
        let world = OperatorCluster::start(0).await?;
        let second =
            if with_second { Some(world.control_plane.another_api_server(1).await?) } else { None };
        let mut stage = Self { second, world, started: 0, edits: 0 };
        stage.add_replicas().await?;
        stage.world.fixture().one_copy(&[("a", "0")]).await?;
        Ok(stage)
    }

    fn servers(&self) -> Vec<String> {
        let second = self.second.iter().map(|it| it.server().to_owned());
        [self.world.control_plane.server()].into_iter().chain(second).collect()
    }

    async fn add_replicas(&mut self) -> Result<()> {
        for server in self.servers().into_iter().cycle().take(REPLICAS) {
            let name = format!("{OPERATOR}-{}", self.started);
            self.started += 1;
            let options = Options { server: Some(server), ..Options::patient() };
            let replica = Replica::start(&self.world.control_plane, &name, &options).await?;
            replica.wait_ready().await?;
            self.world.replicas.push(replica);
        }
        Ok(())
    }

    async fn stop_replicas(&mut self) -> Result<()> {
        for replica in self.world.replicas.drain(..) {
            replica.terminate_and_wait().await?;
        }
        Ok(())
    }

    async fn restart_second(&mut self) -> Result<()> {
        if let Some(second) = &mut self.second {
            second.restart(&self.world.control_plane).await?;
            // A leader that had no other API server may have ended.
            self.world.restart_ended().await?;
        }
        Ok(())
    }

    /// An edit of the source is followed.
    async fn converges(&mut self) -> Result<()> {
        self.edits += 1;
        let value = self.edits.to_string();
        let fixture = self.world.fixture();
        fixture.patch_config_map("central", "shared", &json!({"data": {"a": value}})).await?;
        fixture.wait_data("app", "shared", &[("a", &value)], AGAIN).await?;
        Ok(())
    }

    /// The leader is asked to stop, another leads and writes, and the first is a standby. Answers
    /// the pod that was deposed, and the one that leads.
    async fn hand_over(&mut self) -> Result<(Pod, Pod)> {
        let former = self.world.wait_leader().await?;
        self.world.replicas[former].terminate_and_wait().await?;
        let next = until("another leads", LED_AGAIN, || async {
            let leader = self.world.wait_leader().await?;
            let next = (leader != former).then_some(leader);
            Ok(Seen::from_option(next, || "the former does".to_owned()))
        })
        .await?;
        self.converges().await?;
        self.world.replicas[former].restart()?;
        self.world.replicas[former].wait_ready().await?;
        let pod = |index: usize| self.world.replicas[index].pod().clone();
        Ok((pod(former), pod(next)))
    }

    /// Takes it away, and returns when nobody is fenced any more.
    async fn remove(&mut self, part: Part, deposed: &Pod) -> Result<()> {
        let control_plane = &self.world.control_plane;
        match part {
            Part::Fence => control_plane.remove_policy(POLICY_FENCE).await?,
            Part::Policies => installation::remove_policies(control_plane).await?,
            Part::Everything => {
                self.stop_replicas().await?;
                installation::remove_policies(&self.world.control_plane).await?;
            }
        }
        self.wait_fenced(deposed, false).await?;
        if part == Part::Everything {
            installation::uninstall(&self.world.control_plane).await?;
        }
        Ok(())
    }

    /// Brings all of it back, as `kubectl apply` does.
    async fn install(&mut self, part: Part) -> Result<()> {
        if part != Part::Everything {
            return installation::install_policies(&self.world.control_plane).await;
        }
        installation::install(&self.world.control_plane).await?;
        self.add_replicas().await
    }

    /// Waits until every API server refuses the pod, or none does.
    async fn wait_fenced(&self, pod: &Pod, wanted: bool) -> Result<()> {
        for server in self.servers() {
            let client = pod.client_of(&server).await?;
            until(format!("{server} refuses {}: {wanted}", pod.name), AGAIN, || async {
                let answer = fence_probe().by(&client).await?;
                let as_wanted =
                    if wanted { answer.is_refused_by(POLICY_FENCE) } else { answer.passed() };
                Ok(Seen::from_bool(as_wanted, || answer.to_string()))
            })
            .await?;
        }
        Ok(())
    }

    /// What the pod that was deposed tries, and what the leader may.
    async fn try_all(&self, deposed: &Pod, leader: &Pod) -> Result<()> {
        let mut table = AttemptTable::default();
        let at = format!("{}/shared", config_maps("app"));
        let edit = Attempt::merge("edit a copy", &at, json!({"data": {"a": "stale"}}));
        let create = Attempt::create("create a copy", config_maps("app"), copy("stale"));
        let delete = Attempt::delete("delete a copy", &at);
        for server in self.servers() {
            let client: Client = deposed.client_of(&server).await?;
            for attempt in [&edit, &create, &delete] {
                let who = ("deposed pod", &client);
                table.add(who, attempt, RefusedBy(POLICY_FENCE)).await?;
            }
            let client = leader.client_of(&server).await?;
            table.add(("announced pod", &client), &fence_probe(), Passes).await?;
        }
        table.finish()
    }

    async fn goes_and_comes(&mut self, part: Part) -> Result<()> {
        let (deposed, _) = self.hand_over().await?;
        self.wait_fenced(&deposed, true).await.context("before it goes")?;
        self.remove(part, &deposed).await?;
        if part != Part::Everything {
            // Who leads changes while no API server looks.
            self.converges().await?;
            self.hand_over().await?;
        }
        self.restart_second().await?;
        self.install(part).await?;
        let began = Instant::now();
        self.converges().await?;
        let converged = began.elapsed();
        // How long that takes is another promise.
        let (deposed, leader) = self.hand_over().await?;
        let began = Instant::now();
        self.wait_fenced(&deposed, true).await.context("after it came back")?;
        let took = converged + began.elapsed();
        eprintln!("{part:?}: fenced again after {:.1} s", took.as_secs_f32());
        ensure!(took < AGAIN, "it took {took:?}");
        self.try_all(&deposed, &leader).await
    }
}

#[tokio::test]
async fn whatever_goes_and_comes_back_who_leads_no_more_is_refused_again() -> Result<()> {
    let mut stage = Stage::start(false).await?;
    for part in Part::ALL {
        stage.goes_and_comes(part).await.with_context(|| format!("{part:?}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn two_api_servers_of_which_one_is_restarted_meanwhile_agree_on_who_is_refused() -> Result<()>
{
    let mut stage = Stage::start(true).await?;
    for part in Part::ALL {
        stage.goes_and_comes(part).await.with_context(|| format!("{part:?}"))?;
    }
    Ok(())
}
