//! Promise: the operator knows by trying whether the API server holds back pods that do not lead,
//! says so in its log and by a metric, and goes on without that.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names::LABEL_SYNC_UID;
use configmapsync::names::POLICY_FENCE;
use harness::attempt::Attempt;
use harness::audit_queries::by_operator;
use harness::cli::configmapsync;
use harness::fixture::SOON;
use harness::installation;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use harness::replica::Replica;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DeleteParams;
use kube::api::ListParams;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::audit::Mark;
use testbed::control_plane::ControlPlane;
use testbed::control_plane::Settings;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::metrics_page::Metrics;

/// A standby is patient at first, so that the leader is announced meanwhile.
const TRIED: Duration = Duration::from_mins(1);

/// Waits until a replica has found the fence to be in this state, and has said so.
async fn wait_state(replica: &Replica, state: &str) -> Result<()> {
    let name = &replica.pod().name;
    until(format!("{name} finds the fence {state}, and says so"), TRIED, || async {
        let metrics = Metrics::of(replica).await?;
        let found = metrics.value("configmapsync_fence", &[("state", state)])?;
        let said = replica.logs().iter().any(|line| line["fence"] == state);
        let last = || format!("metric {found}, said {said}: {}", replica.process().tail(3));
        Ok(Seen::from_bool(found > 0.0 && said, last))
    })
    .await
}

/// The leader, and the other one.
async fn both(world: &OperatorCluster) -> Result<(&Replica, &Replica)> {
    let leader = world.wait_leader().await?;
    let mut others = world.replicas.iter().enumerate().filter(|(index, _)| *index != leader);
    let standby = others.next().context("no standby")?.1;
    Ok((&world.replicas[leader], standby))
}

/// Announces the one replica that there is, unless it has done so itself.
async fn announce_leader(world: &OperatorCluster) -> Result<()> {
    let pod = world.replicas[world.wait_leader().await?].pod();
    let path = format!("/apis/apps.nishaf.info/v1/namespaces/{OPERATOR}/configmapsyncleaders");
    let object = json!({
        "apiVersion": "apps.nishaf.info/v1",
        "kind": "ConfigMapSyncLeader",
        "metadata": {"name": OPERATOR},
        "spec": {
            "podUID": pod.uid,
            "holder": pod.name,
            "term": 1,
            "since": "2026-01-02T03:04:05Z",
        },
    });
    let announce = Attempt::create("announce the leader", path, object);
    let answer = announce.by(&world.control_plane.client()).await?;
    ensure!(answer.passed() || answer.code == 409, "{answer}");
    Ok(())
}

#[tokio::test]
async fn a_standby_is_held_back_and_the_leader_is_not() -> Result<()> {
    let mut world = OperatorCluster::start(1).await?;
    announce_leader(&world).await?;
    world.wait_fenced(true).await?;
    world.add_replicas(1).await?;
    let (leader, standby) = both(&world).await?;
    wait_state(leader, "admitted").await?;
    wait_state(standby, "enforced").await?;
    let all = Api::<ConfigMap>::all(world.control_plane.client());
    let marked = ListParams::default().labels(LABEL_SYNC_UID);
    ensure!(all.list(&marked).await?.items.is_empty(), "nothing is ever stored");
    let events = world.audit().since(Mark::default()).await?;
    let mut tried =
        by_operator(&events).filter(|event| event.verb == "create" && event.is_dry_run());
    ensure!(tried.all(|event| event.namespace() == "default"), "in one namespace alone");
    Ok(())
}

#[tokio::test]
async fn without_the_fence_it_says_so_and_goes_on() -> Result<()> {
    let mut world = OperatorCluster::start(0).await?;
    let client = world.control_plane.client();
    let policies = Api::<ValidatingAdmissionPolicy>::all(client.clone());
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client);
    bindings.delete(POLICY_FENCE, &DeleteParams::default()).await?;
    policies.delete(POLICY_FENCE, &DeleteParams::default()).await?;
    world.add_replicas(2).await?;
    let (leader, standby) = both(&world).await?;
    wait_state(leader, "admitted").await?;
    wait_state(standby, "absent").await?;
    let fixture = world.fixture();
    fixture.one_copy(&[("a", "1")]).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    Ok(())
}

#[tokio::test]
async fn where_the_api_server_knows_no_policies_it_says_so_and_goes_on() -> Result<()> {
    let control_plane = ControlPlane::start_as(Settings::without_policies()).await?;
    let policies = Api::<ValidatingAdmissionPolicy>::all(control_plane.client());
    let listed = policies.list(&ListParams::default()).await;
    ensure!(listed.is_err(), "a cluster that knows policies shows nothing");
    installation::install_without_policies(&control_plane).await?;
    let mut world = OperatorCluster::of(control_plane, 2, Options::default()).await?;
    let fixture = world.fixture();
    fixture.one_copy(&[("a", "1")]).await?;
    let (leader, standby) = both(&world).await?;
    wait_state(leader, "admitted").await?;
    wait_state(standby, "absent").await?;
    let ended = configmapsync(world.control_plane.kubeconfig(), &["check"]).await?;
    ensure!(ended.code == 1 && ended.printed.contains(POLICY_FENCE), "{ended:?}");

    world.take_leader().await?.terminate_and_wait().await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], SOON).await?;
    Ok(())
}
