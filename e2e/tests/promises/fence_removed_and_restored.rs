//! The fence may be removed and restored, alone, with the other policies, or with the whole
//! installation, on one API server or on two. While it is missing, copies are updated. Within a
//! minute after it is restored, each API server refuses a pod that no longer leads, and admits the
//! leader.

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

/// Within this time copies are updated and former leaders are refused again.
const RESTORED: Duration = Duration::from_mins(1);
/// Deadline for the next leader: a Lease that could not be released lasts for a minute.
const NEXT_LEADER: Duration = Duration::from_secs(90);
const REPLICAS: usize = 2;

/// What is removed and restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Fence,
    Policies,
    /// The installation with its replicas. The `ConfigMapSync`s stay.
    Everything,
}

/// Two replicas, and one or two API servers, each used by at least one of the replicas.
struct FencedCluster {
    // Declared first, so that it is dropped before the folder that it writes into.
    second: Option<ApiServer>,
    operator: OperatorCluster,
    started: usize,
    edits: u32,
}

impl Part {
    const ALL: [Self; 3] = [Self::Fence, Self::Policies, Self::Everything];
}

impl FencedCluster {
    async fn start(with_second: bool) -> Result<Self> {
        let operator = OperatorCluster::start(0).await?;
        let second = if with_second {
            Some(operator.control_plane.another_api_server(1).await?)
        } else {
            None
        };
        let mut cluster = Self { second, operator, started: 0, edits: 0 };
        cluster.add_replicas().await?;
        cluster.operator.fixture().create_synced_copy(&[("a", "0")]).await?;
        Ok(cluster)
    }

    fn servers(&self) -> Vec<String> {
        let second = self.second.iter().map(|it| it.server().to_owned());
        [self.operator.control_plane.server()].into_iter().chain(second).collect()
    }

    async fn add_replicas(&mut self) -> Result<()> {
        for server in self.servers().into_iter().cycle().take(REPLICAS) {
            let name = format!("{OPERATOR}-{}", self.started);
            self.started += 1;
            let options = Options { server: Some(server), ..Options::patient() };
            let replica = Replica::start(&self.operator.control_plane, &name, &options).await?;
            replica.wait_ready().await?;
            self.operator.replicas.push(replica);
        }
        Ok(())
    }

    async fn stop_replicas(&mut self) -> Result<()> {
        for replica in self.operator.replicas.drain(..) {
            replica.terminate_and_wait().await?;
        }
        Ok(())
    }

    async fn restart_second(&mut self) -> Result<()> {
        if let Some(second) = &mut self.second {
            second.restart(&self.operator.control_plane).await?;
            // A leader that used only this API server may have exited.
            self.operator.restart_ended().await?;
        }
        Ok(())
    }

    /// Edits the source, and waits until the copy is updated.
    async fn edit_and_wait(&mut self) -> Result<()> {
        self.edits += 1;
        let value = self.edits.to_string();
        let fixture = self.operator.fixture();
        fixture.patch_config_map("central", "shared", &json!({"data": {"a": value}})).await?;
        fixture.wait_data("app", "shared", &[("a", &value)], RESTORED).await?;
        Ok(())
    }

    /// Stops the leader, waits until another one writes, and restarts the first as a standby.
    /// Returns the pods of the former leader and of the new one.
    async fn hand_over(&mut self) -> Result<(Pod, Pod)> {
        let former = self.operator.wait_leader().await?;
        self.operator.replicas[former].terminate_and_wait().await?;
        let next = until("another replica leads", NEXT_LEADER, || async {
            let leader = self.operator.wait_leader().await?;
            let next = (leader != former).then_some(leader);
            Ok(Seen::from_option(next, || "the former leader leads".to_owned()))
        })
        .await?;
        self.edit_and_wait().await?;
        self.operator.replicas[former].restart()?;
        self.operator.replicas[former].wait_ready().await?;
        let pod = |index: usize| self.operator.replicas[index].pod().clone();
        Ok((pod(former), pod(next)))
    }

    /// Removes the part. Returns when the API servers refuse no pod any more.
    async fn remove(&mut self, part: Part, former: &Pod) -> Result<()> {
        let control_plane = &self.operator.control_plane;
        match part {
            Part::Fence => control_plane.remove_policy(POLICY_FENCE).await?,
            Part::Policies => installation::remove_policies(control_plane).await?,
            Part::Everything => {
                self.stop_replicas().await?;
                installation::remove_policies(&self.operator.control_plane).await?;
            }
        }
        self.wait_fenced(former, false).await?;
        if part == Part::Everything {
            installation::uninstall(&self.operator.control_plane).await?;
        }
        Ok(())
    }

    /// Restores the part, as `kubectl apply` does.
    async fn install(&mut self, part: Part) -> Result<()> {
        if part != Part::Everything {
            return installation::install_policies(&self.operator.control_plane).await;
        }
        installation::install(&self.operator.control_plane).await?;
        self.add_replicas().await
    }

    /// Waits until every API server refuses the pod (`wanted`), or admits it.
    async fn wait_fenced(&self, pod: &Pod, wanted: bool) -> Result<()> {
        for server in self.servers() {
            let client = pod.client_of(&server).await?;
            let what = if wanted { "refuses" } else { "admits" };
            until(format!("{server} {what} pod {}", pod.name), RESTORED, || async {
                let response = fence_probe().send_as(&client).await?;
                let as_wanted = if wanted {
                    response.is_refused_by(POLICY_FENCE)
                } else {
                    response.is_allowed()
                };
                Ok(Seen::from_bool(as_wanted, || response.to_string()))
            })
            .await?;
        }
        Ok(())
    }

    /// Fails unless every write of a copy by the former leader is refused, and the leader is
    /// admitted.
    async fn ensure_fenced(&self, former: &Pod, leader: &Pod) -> Result<()> {
        let mut table = AttemptTable::default();
        let at = format!("{}/shared", config_maps("app"));
        let edit = Attempt::merge("edit a copy", &at, json!({"data": {"a": "stale"}}));
        let create = Attempt::create("create a copy", config_maps("app"), copy("stale"));
        let delete = Attempt::delete("delete a copy", &at);
        for server in self.servers() {
            let client: Client = former.client_of(&server).await?;
            for attempt in [&edit, &create, &delete] {
                let who = ("former leader", &client);
                table.add(who, attempt, RefusedBy(POLICY_FENCE)).await?;
            }
            let client = leader.client_of(&server).await?;
            table.add(("leader", &client), &fence_probe(), Passes).await?;
        }
        table.finish()
    }

    async fn remove_and_restore(&mut self, part: Part) -> Result<()> {
        let (former, _) = self.hand_over().await?;
        self.wait_fenced(&former, true).await.context("before the removal")?;
        self.remove(part, &former).await?;
        if part != Part::Everything {
            // The leader changes while no API server enforces the fence.
            self.edit_and_wait().await?;
            self.hand_over().await?;
        }
        self.restart_second().await?;
        self.install(part).await?;
        let began = Instant::now();
        self.edit_and_wait().await?;
        let converged = began.elapsed();
        // The duration of the handover does not count: other tests limit it.
        let (former, leader) = self.hand_over().await?;
        let began = Instant::now();
        self.wait_fenced(&former, true).await.context("after the restoration")?;
        let took = converged + began.elapsed();
        eprintln!("{part:?}: enforced again after {:.1} s", took.as_secs_f32());
        ensure!(took < RESTORED, "{part:?} was enforced again after {took:?}");
        self.ensure_fenced(&former, &leader).await
    }
}

#[tokio::test]
async fn a_restored_fence_refuses_former_leaders() -> Result<()> {
    let mut cluster = FencedCluster::start(false).await?;
    for part in Part::ALL {
        cluster.remove_and_restore(part).await.with_context(|| format!("{part:?}"))?;
    }
    Ok(())
}

#[tokio::test]
async fn two_api_servers_enforce_a_restored_fence_alike() -> Result<()> {
    let mut cluster = FencedCluster::start(true).await?;
    for part in Part::ALL {
        cluster.remove_and_restore(part).await.with_context(|| format!("{part:?}"))?;
    }
    Ok(())
}
