//! Of the operator's pods, only the one in the leader record may write copies. The fence blocks no
//! write while there is no leader record, or while the kind of the record is missing.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use configmapsync::names::LABEL_SYNC_UID;
use configmapsync::names::POLICY_FENCE;
use harness::attempt::Attempt;
use harness::attempt::AttemptResult;
use harness::attempt::config_maps;
use harness::attempt::copy;
use harness::attempt::fence_probe;
use harness::fixture::SOON;
use harness::installation;
use harness::operator_cluster::OperatorCluster;
use harness::replica;
use harness::replica::Pod;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use kube::Client;
use kube::api::DeleteParams;
use serde_json::json;
use testbed::control_plane::ControlPlane;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::attempt_table::AttemptTable;
use crate::support::attempt_table::Expected;
use crate::support::attempt_table::Expected::Passes;
use crate::support::attempt_table::Expected::RefusedBy;

const REFUSED: Expected<'static> = RefusedBy(POLICY_FENCE);
/// Deadline for the API server to enforce a new leader record or a change of the fence.
const ENFORCED: Duration = Duration::from_mins(1);

/// A cluster with two pods of the operator, in which nothing runs.
struct TwoPods {
    cluster: OperatorCluster,
    first: (Pod, Client),
    second: (Pod, Client),
}

impl TwoPods {
    async fn start() -> Result<Self> {
        let cluster = OperatorCluster::start(0).await?;
        cluster.fixture().create_namespaces(&["app"]).await?;
        let pod = async |name: &str| {
            let pod = Pod::create(&cluster.control_plane, name, None).await?;
            let client = pod.client().await?;
            anyhow::Ok((pod, client))
        };
        let (first, second) = (pod("first").await?, pod("second").await?);
        Ok(Self { cluster, first, second })
    }

    fn control_plane(&self) -> &ControlPlane {
        &self.cluster.control_plane
    }

    /// Publishes the leader record of a pod, as the pod itself does after its election.
    async fn publish(&self, pod: &Pod, term: i64) -> Result<()> {
        replica::publish_leader_record(self.control_plane(), &pod.uid, term).await
    }

    /// Waits until the API server admits one pod and refuses the other.
    async fn wait_fenced(&self, leader: &Client, other: &Client) -> Result<()> {
        until("only the recorded leader is admitted", ENFORCED, || async {
            let responses =
                (fence_probe().send_as(leader).await?, fence_probe().send_as(other).await?);
            let fenced = responses.0.is_allowed() && responses.1.is_refused_by(POLICY_FENCE);
            Ok(Seen::from_bool(fenced, || format!("{responses:?}")))
        })
        .await
    }

    async fn wait_admitted(&self, client: &Client) -> Result<AttemptResult> {
        until("the pod is admitted", ENFORCED, || async {
            let response = fence_probe().send_as(client).await?;
            let passed = response.is_allowed().then_some(response.clone());
            Ok(Seen::from_option(passed, || response.to_string()))
        })
        .await
    }
}

/// All kinds of writes of a leader. The ConfigMaps `NAME`, `NAME-old` and `NAME-foreign` must
/// exist.
fn writes(name: &str) -> Vec<Attempt> {
    let all = config_maps("app");
    let at = format!("{all}/{name}");
    let unlabel = json!({"metadata": {"labels": {LABEL_SYNC_UID: null}}});
    let label = json!({"metadata": {"labels": {LABEL_SYNC_UID: "1-2"}}});
    vec![
        Attempt::create("create a copy", &all, copy(&format!("{name}-created"))),
        Attempt::merge("edit a copy", &at, json!({"data": {"key": "value"}})),
        Attempt::merge("release a copy", &at, unlabel),
        Attempt::merge("adopt a foreign one", format!("{all}/{name}-foreign"), label),
        Attempt::delete("delete a copy", format!("{all}/{name}-old")),
    ]
}

#[tokio::test]
async fn only_the_recorded_leader_writes_copies() -> Result<()> {
    let pods = TwoPods::start().await?;
    let ((first, former), (second, leader)) = (&pods.first, &pods.second);
    let admin = pods.control_plane().client();
    pods.publish(first, 1).await?;
    pods.wait_fenced(former, leader).await?;
    pods.publish(second, 2).await?;
    pods.wait_fenced(leader, former).await?;

    let unbound = replica::unbound_operator(pods.control_plane()).await?;
    for name in ["a", "a-old"] {
        let made = Attempt::create(name, config_maps("app"), copy(name)).send_as(&admin).await?;
        anyhow::ensure!(made.is_allowed(), "{made}");
    }
    pods.cluster.fixture().create_config_map("app", "a-foreign", &[("key", "theirs")]).await?;
    let mut table = AttemptTable::default();
    for attempt in writes("a") {
        table.add(("former leader", former), &attempt, REFUSED).await?;
        table.add(("token of no pod", &unbound), &attempt, REFUSED).await?;
        table.add(("leader", leader), &attempt, Passes).await?;
    }
    for name in ["a", "a-created"] {
        let at = format!("{}/{name}", config_maps("app"));
        let delete = Attempt::delete(format!("delete {name}"), at);
        table.add(("administrator", &admin), &delete, Passes).await?;
    }
    table.finish()
}

#[tokio::test]
async fn without_a_leader_record_every_pod_is_admitted() -> Result<()> {
    let pods = TwoPods::start().await?;
    let admin = pods.control_plane().client();
    let mut table = AttemptTable::default();
    let [first, second] = [&pods.first.1, &pods.second.1];
    for who in [("first pod", first), ("second pod", second), ("administrator", &admin)] {
        table.add(who, &fence_probe(), Passes).await?;
    }
    table.finish()
}

#[tokio::test]
async fn without_its_kind_every_pod_is_admitted() -> Result<()> {
    const KIND: &str = "configmapsyncleaders.apps.nishaf.info";
    let pods = TwoPods::start().await?;
    let (fixture, client) = (pods.cluster.fixture(), pods.control_plane().client());
    pods.publish(&pods.first.0, 1).await?;
    pods.wait_fenced(&pods.first.1, &pods.second.1).await?;
    let made = Attempt::create("a copy", config_maps("app"), copy("a")).send_as(&client).await?;
    anyhow::ensure!(made.is_allowed(), "{made}");

    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    definitions.delete(KIND, &DeleteParams::default()).await.context("deleting the kind")?;
    until("the CustomResourceDefinition is deleted", SOON, || async {
        let found = definitions.get_opt(KIND).await?;
        Ok(Seen::from_bool(found.is_none(), || "still there".to_owned()))
    })
    .await?;
    // Writes are admitted at once, and after the API server has noticed the deletion.
    let edit =
        Attempt::merge("edit", format!("{}/a", config_maps("app")), json!({"data": {"a": "b"}}));
    let response = edit.send_as(&client).await?;
    anyhow::ensure!(response.is_allowed(), "{response}");
    pods.wait_admitted(&pods.second.1).await?;
    let response = edit.send_as(&client).await?;
    anyhow::ensure!(response.is_allowed(), "{response}");
    fixture.delete_namespace("app").await?;
    fixture.wait_no_namespace("app", ENFORCED).await
}

#[tokio::test]
async fn a_recreated_fence_enforces_the_current_leader_record() -> Result<()> {
    let pods = TwoPods::start().await?;
    let ((first, former), (second, leader)) = (&pods.first, &pods.second);
    pods.publish(first, 1).await?;
    pods.wait_fenced(former, leader).await?;

    let client = pods.control_plane().client();
    let policies = Api::<ValidatingAdmissionPolicy>::all(client.clone());
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client);
    bindings.delete(POLICY_FENCE, &DeleteParams::default()).await?;
    policies.delete(POLICY_FENCE, &DeleteParams::default()).await?;
    pods.wait_admitted(leader).await?;
    pods.publish(second, 2).await?;
    installation::install(pods.control_plane()).await?;
    pods.wait_fenced(leader, former).await?;
    // It also enforces the next leader record.
    pods.publish(first, 3).await?;
    pods.wait_fenced(former, leader).await
}
