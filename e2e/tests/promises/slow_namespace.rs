//! Promise: one namespace that answers late holds up no other.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncSpec;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Rule;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use http::Method;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Api;
use kube::api::ListParams;
use kube::api::PostParams;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::until;

const NAMESPACES: usize = 20;
/// Below what the operator's client waits for, and far above what everybody else takes:
/// whoever waits for the slow one comes after it.
const DELAY: Duration = Duration::from_secs(10);

struct Scene {
    proxy: FaultProxy,
    fixture: Fixture,
    _world: OperatorCluster,
}

/// What was asked about each namespace, in order, without its name.
type Calls = BTreeMap<usize, Vec<String>>;

impl Scene {
    async fn start() -> Result<Self> {
        let (world, proxy) = OperatorCluster::behind_proxy().await?;
        let fixture = world.fixture();
        fixture.create_namespaces(&["central", "other"]).await?;
        fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
        Ok(Self { proxy, fixture, _world: world })
    }

    /// Creates the namespaces of a team, and a sync that selects them.
    async fn fan_out(&self, team: &str) -> Result<()> {
        let labels = BTreeMap::from([("team".to_owned(), team.to_owned())]);
        let namespaces = Api::<Namespace>::all(self.fixture.client());
        for n in 0..NAMESPACES {
            let mut namespace = Namespace::default();
            namespace.metadata.name = Some(format!("{team}-{n}"));
            namespace.metadata.labels = Some(labels.clone());
            namespaces.create(&PostParams::default(), &namespace).await?;
        }
        let spec = ConfigMapSyncSpec {
            destination_namespace: None,
            destination_namespace_selector: Some(LabelSelector {
                match_labels: Some(labels),
                ..LabelSelector::default()
            }),
            ..one_to_one("central", "shared", "")
        };
        self.fixture.create_sync("central", team, spec).await?;
        Ok(())
    }

    /// Delays the creation of the first copy of a team.
    fn slow_down(&self, team: &str) {
        let slow = format!("{team}-0");
        let rule = Rule::new(Fault::Delay(DELAY)).method(Method::POST).resource("configmaps");
        self.proxy.add(rule.when(move |request| request.namespace() == slow).always());
    }

    /// Waits until `count` copies of a team have this value.
    async fn wait_copies(&self, team: &str, count: usize, value: &str) -> Result<()> {
        let maps = Api::<ConfigMap>::all(self.fixture.client());
        let only = ListParams::default().fields("metadata.name=shared");
        let prefix = format!("{team}-");
        until(format!("{count} copies of {team} have the value {value}"), SOON, || async {
            let is_there = |map: &&ConfigMap| {
                let of = map.metadata.namespace.as_ref().is_some_and(|it| it.starts_with(&prefix));
                of && map.data.as_ref().is_some_and(|data| data["a"] == value)
            };
            let found = maps.list(&only).await?.items.iter().filter(is_there).count();
            Ok(Seen::from_bool(found >= count, || format!("{found}")))
        })
        .await
    }

    fn calls(&self, team: &str) -> Calls {
        let mut calls = Calls::new();
        for request in self.proxy.requests() {
            let Some(n) = request.namespace().strip_prefix(&format!("{team}-")) else { continue };
            let Ok(n) = n.parse() else { continue };
            let path = request.path.replace(request.namespace(), "");
            calls.entry(n).or_default().push(format!("{} {path}", request.method));
        }
        calls
    }

    /// Whether the delayed creation is over.
    fn is_slow_one_there(&self, team: &str) -> bool {
        let slow = format!("{team}-0");
        let requests = self.proxy.requests();
        requests.iter().any(|it| it.namespace() == slow && it.status.is_some())
    }
}

#[tokio::test]
async fn a_slow_namespace_delays_no_other_and_no_other_sync() -> Result<()> {
    let scene = Scene::start().await?;
    scene.fan_out("plain").await?;
    scene.fixture.wait_reason("central", "plain", "Synced", SOON).await?;
    scene.slow_down("late");
    scene.fan_out("late").await?;
    scene.wait_copies("late", NAMESPACES - 1, "1").await?;
    ensure!(!scene.is_slow_one_there("late"), "the other copies came after the slow one");

    scene.fixture.create_sync("central", "one", one_to_one("central", "shared", "other")).await?;
    scene.fixture.wait_reason("central", "one", "Synced", SOON).await?;
    ensure!(!scene.is_slow_one_there("late"), "another sync was Ready after the slow one");

    scene.fixture.wait_reason("central", "late", "Synced", SOON).await?;
    let (plain, mut late) = (scene.calls("plain"), scene.calls("late"));
    // The client counts what its connection was idle before as silence: it may give the slow one
    // up before the delay is over, and ask for it again.
    late.entry(0).or_default().dedup();
    ensure!(plain.len() == NAMESPACES && late == plain, "{late:?}\ninstead of\n{plain:?}");
    Ok(())
}

#[tokio::test]
async fn an_edit_of_the_source_does_not_wait_for_a_slow_namespace() -> Result<()> {
    let scene = Scene::start().await?;
    scene.slow_down("late");
    scene.fan_out("late").await?;
    scene.wait_copies("late", NAMESPACES - 1, "1").await?;
    let edit = json!({"data": {"a": "2"}});
    scene.fixture.patch_config_map("central", "shared", &edit).await?;
    scene.wait_copies("late", NAMESPACES - 1, "2").await?;
    ensure!(!scene.is_slow_one_there("late"), "the edit reached the others after the slow one");
    Ok(())
}
