//! Promise: of the operator's pods, the API server lets only the announced leader write copies. And
//! the fence itself stands in nobody's way: not while nobody is announced, not while its kind is
//! missing, and never for good.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use configmapsync::names::LABEL_SYNC_UID;
use configmapsync::names::POLICY_FENCE;
use harness::attempt::Answer;
use harness::attempt::Attempt;
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
/// "Each time ... within 60 s", also after the kind or the policies came back.
const FOLLOWED: Duration = Duration::from_mins(1);

/// The operator with two pods, of which none runs anything.
struct Stage {
    world: OperatorCluster,
    first: (Pod, Client),
    second: (Pod, Client),
}

impl Stage {
    async fn start() -> Result<Self> {
        let world = OperatorCluster::start(0).await?;
        world.fixture().create_namespaces(&["app"]).await?;
        let pod = async |name: &str| {
            let pod = Pod::create(&world.control_plane, name, None).await?;
            let client = pod.client().await?;
            anyhow::Ok((pod, client))
        };
        let (first, second) = (pod("first").await?, pod("second").await?);
        Ok(Self { world, first, second })
    }

    fn control_plane(&self) -> &ControlPlane {
        &self.world.control_plane
    }

    /// Announces a pod, as the pod itself does when it has won.
    async fn announce(&self, pod: &Pod, term: i64) -> Result<()> {
        replica::announce(self.control_plane(), &pod.uid, term).await
    }

    /// Waits until one pod is let through and the other is not.
    async fn wait_fenced(&self, leader: &Client, other: &Client) -> Result<()> {
        until("the announced pod writes, and no other", FOLLOWED, || async {
            let answers = (fence_probe().by(leader).await?, fence_probe().by(other).await?);
            let fenced = answers.0.passed() && answers.1.is_refused_by(POLICY_FENCE);
            Ok(Seen::from_bool(fenced, || format!("{answers:?}")))
        })
        .await
    }

    async fn wait_passes(&self, client: &Client) -> Result<Answer> {
        until("it is let through", FOLLOWED, || async {
            let answer = fence_probe().by(client).await?;
            let passed = answer.passed().then_some(answer.clone());
            Ok(Seen::from_option(passed, || answer.to_string()))
        })
        .await
    }
}

/// Everything that a leader does to copies; `seen` is there.
fn writes(seen: &str) -> Vec<Attempt> {
    let all = config_maps("app");
    let at = format!("{all}/{seen}");
    let unlabel = json!({"metadata": {"labels": {LABEL_SYNC_UID: null}}});
    let label = json!({"metadata": {"labels": {LABEL_SYNC_UID: "1-2"}}});
    vec![
        Attempt::create("create a copy", &all, copy(&format!("{seen}-created"))),
        Attempt::merge("edit a copy", &at, json!({"data": {"key": "value"}})),
        Attempt::merge("release a copy", &at, unlabel),
        Attempt::merge("adopt a foreign one", format!("{all}/{seen}-foreign"), label),
        Attempt::delete("delete a copy", format!("{all}/{seen}-old")),
    ]
}

#[tokio::test]
async fn a_deposed_pod_writes_nothing_and_the_announced_one_everything() -> Result<()> {
    let stage = Stage::start().await?;
    let ((first, former), (second, leader)) = (&stage.first, &stage.second);
    let admin = stage.control_plane().client();
    stage.announce(first, 1).await?;
    stage.wait_fenced(former, leader).await?;
    stage.announce(second, 2).await?;
    stage.wait_fenced(leader, former).await?;

    let unbound = replica::unbound_operator(stage.control_plane()).await?;
    for name in ["a", "a-old"] {
        let made = Attempt::create(name, config_maps("app"), copy(name)).by(&admin).await?;
        anyhow::ensure!(made.passed(), "{made}");
    }
    stage.world.fixture().create_config_map("app", "a-foreign", &[("key", "theirs")]).await?;
    let mut table = AttemptTable::default();
    for attempt in writes("a") {
        table.add(("deposed pod", former), &attempt, REFUSED).await?;
        table.add(("token of no pod", &unbound), &attempt, REFUSED).await?;
        table.add(("announced pod", leader), &attempt, Passes).await?;
    }
    for name in ["a", "a-created"] {
        let at = format!("{}/{name}", config_maps("app"));
        let delete = Attempt::delete(format!("delete {name}"), at);
        table.add(("administrator", &admin), &delete, Passes).await?;
    }
    table.finish()
}

#[tokio::test]
async fn while_nobody_is_announced_nobody_is_held_up() -> Result<()> {
    let stage = Stage::start().await?;
    let admin = stage.control_plane().client();
    let mut table = AttemptTable::default();
    let [first, second] = [&stage.first.1, &stage.second.1];
    for who in [("first pod", first), ("second pod", second), ("administrator", &admin)] {
        table.add(who, &fence_probe(), Passes).await?;
    }
    table.finish()
}

#[tokio::test]
async fn without_its_kind_it_holds_up_nobody() -> Result<()> {
    const KIND: &str = "configmapsyncleaders.apps.nishaf.info";
    let stage = Stage::start().await?;
    let (fixture, client) = (stage.world.fixture(), stage.control_plane().client());
    stage.announce(&stage.first.0, 1).await?;
    stage.wait_fenced(&stage.first.1, &stage.second.1).await?;
    let made = Attempt::create("a copy", config_maps("app"), copy("a")).by(&client).await?;
    anyhow::ensure!(made.passed(), "{made}");

    let definitions = Api::<CustomResourceDefinition>::all(client.clone());
    definitions.delete(KIND, &DeleteParams::default()).await.context("deleting the kind")?;
    until("the kind is gone", SOON, || async {
        let found = definitions.get_opt(KIND).await?;
        Ok(Seen::from_bool(found.is_none(), || "still there".to_owned()))
    })
    .await?;
    // Whoever asks is let through at once, and goes on being so when the server has noticed.
    let edit =
        Attempt::merge("edit", format!("{}/a", config_maps("app")), json!({"data": {"a": "b"}}));
    let answer = edit.by(&client).await?;
    anyhow::ensure!(answer.passed(), "{answer}");
    stage.wait_passes(&stage.second.1).await?;
    let answer = edit.by(&client).await?;
    anyhow::ensure!(answer.passed(), "{answer}");
    fixture.delete_namespace("app").await?;
    fixture.wait_no_namespace("app", FOLLOWED).await
}

#[tokio::test]
async fn deleted_and_created_again_it_knows_who_leads_now() -> Result<()> {
    let stage = Stage::start().await?;
    let ((first, former), (second, leader)) = (&stage.first, &stage.second);
    stage.announce(first, 1).await?;
    stage.wait_fenced(former, leader).await?;

    let client = stage.control_plane().client();
    let policies = Api::<ValidatingAdmissionPolicy>::all(client.clone());
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client);
    bindings.delete(POLICY_FENCE, &DeleteParams::default()).await?;
    policies.delete(POLICY_FENCE, &DeleteParams::default()).await?;
    stage.wait_passes(leader).await?;
    stage.announce(second, 2).await?;
    installation::install(stage.control_plane()).await?;
    stage.wait_fenced(leader, former).await?;
    // And it goes on following.
    stage.announce(first, 3).await?;
    stage.wait_fenced(former, leader).await
}
