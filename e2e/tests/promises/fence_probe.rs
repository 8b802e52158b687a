//! The operator finds out by a dry run whether the API server enforces the fence, reports it in its
//! log and by a metric, and works without the fence.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names::LABEL_SYNC_UID;
use configmapsync::names::POLICY_FENCE;
use harness::attempt::Attempt;
use harness::audit_queries::requests_by_operator;
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

/// Deadline of the first dry run. A standby delays it until the leader record is published.
const PROBED: Duration = Duration::from_mins(1);

/// Waits until the metric and the log of a replica report this state of the fence.
async fn wait_state(replica: &Replica, state: &str) -> Result<()> {
    let name = &replica.pod().name;
    until(format!("{name} reports the fence as {state}"), PROBED, || async {
        let metrics = Metrics::of(replica).await?;
        let found = metrics.value("configmapsync_fence", &[("state", state)])?;
        let is_logged = replica.logs().iter().any(|line| line["fence"] == state);
        let last = || format!("metric {found}, logged: {is_logged}: {}", replica.process().tail(3));
        Ok(Seen::from_bool(found > 0.0 && is_logged, last))
    })
    .await
}

/// The leader and the standby.
async fn leader_and_standby(cluster: &OperatorCluster) -> Result<(&Replica, &Replica)> {
    let leader = cluster.wait_leader().await?;
    let mut others = cluster.replicas.iter().enumerate().filter(|(index, _)| *index != leader);
    let standby = others.next().context("no standby")?.1;
    Ok((&cluster.replicas[leader], standby))
}

/// Publishes the leader record of the only replica, unless it has done so itself.
async fn publish_leader_record(cluster: &OperatorCluster) -> Result<()> {
    let pod = cluster.replicas[cluster.wait_leader().await?].pod();
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
    let publish = Attempt::create("publish the leader record", path, object);
    let response = publish.send_as(&cluster.control_plane.client()).await?;
    ensure!(response.is_allowed() || response.code == 409, "{response}");
    Ok(())
}

#[tokio::test]
async fn standby_reports_enforced_and_leader_admitted() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    publish_leader_record(&cluster).await?;
    cluster.wait_fenced(true).await?;
    cluster.add_replicas(1).await?;
    let (leader, standby) = leader_and_standby(&cluster).await?;
    wait_state(leader, "admitted").await?;
    wait_state(standby, "enforced").await?;
    let all = Api::<ConfigMap>::all(cluster.control_plane.client());
    let marked = ListParams::default().labels(LABEL_SYNC_UID);
    ensure!(all.list(&marked).await?.items.is_empty(), "a dry run stored a copy");
    let events = cluster.audit().since(Mark::default()).await?;
    let mut probes =
        requests_by_operator(&events).filter(|event| event.verb == "create" && event.is_dry_run());
    ensure!(
        probes.all(|event| event.namespace() == "default"),
        "dry runs in another namespace than default"
    );
    Ok(())
}

#[tokio::test]
async fn a_missing_fence_is_reported_and_copies_are_written() -> Result<()> {
    let mut cluster = OperatorCluster::start(0).await?;
    let client = cluster.control_plane.client();
    let policies = Api::<ValidatingAdmissionPolicy>::all(client.clone());
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client);
    bindings.delete(POLICY_FENCE, &DeleteParams::default()).await?;
    policies.delete(POLICY_FENCE, &DeleteParams::default()).await?;
    cluster.add_replicas(2).await?;
    let (leader, standby) = leader_and_standby(&cluster).await?;
    wait_state(leader, "admitted").await?;
    wait_state(standby, "absent").await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    Ok(())
}

#[tokio::test]
async fn without_policies_in_the_api_server_copies_are_written() -> Result<()> {
    let control_plane = ControlPlane::start_as(Settings::without_policies()).await?;
    let policies = Api::<ValidatingAdmissionPolicy>::all(control_plane.client());
    let listed = policies.list(&ListParams::default()).await;
    ensure!(listed.is_err(), "this cluster serves admission policies");
    installation::install_without_policies(&control_plane).await?;
    let mut cluster = OperatorCluster::start_in(control_plane, 2, Options::default()).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let (leader, standby) = leader_and_standby(&cluster).await?;
    wait_state(leader, "admitted").await?;
    wait_state(standby, "absent").await?;
    let ended = configmapsync(cluster.control_plane.kubeconfig(), &["check"]).await?;
    ensure!(ended.code == 1 && ended.stdout.contains(POLICY_FENCE), "{ended:?}");

    cluster.take_leader().await?.terminate_and_wait().await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], SOON).await?;
    Ok(())
}
