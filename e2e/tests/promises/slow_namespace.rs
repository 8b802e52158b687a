//! A namespace in which writes are slow delays no other namespace and no other ConfigMapSync.

mod many_syncs;
mod syncs_and_events;

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
/// The delay of the slow write: less than the timeout of the operator's client, and far more than
/// any other write takes, so that what waits for the slow one comes after it.
const DELAY: Duration = Duration::from_secs(10);

/// A replica behind the fault proxy.
struct ProxiedCluster {
    proxy: FaultProxy,
    fixture: Fixture,
    _operators: OperatorCluster,
}

/// The requests for each namespace, by its number, in order and without its name.
type Calls = BTreeMap<usize, Vec<String>>;

impl ProxiedCluster {
    async fn start() -> Result<Self> {
        let (operators, proxy) = OperatorCluster::behind_proxy().await?;
        let fixture = operators.fixture();
        fixture.create_namespaces(&["central", "other"]).await?;
        fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
        Ok(Self { proxy, fixture, _operators: operators })
    }

    /// Creates the namespaces of a team, and a ConfigMapSync that selects them.
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
                let namespace = map.metadata.namespace.as_deref().unwrap_or_default();
                namespace.starts_with(&prefix)
                    && map.data.as_ref().is_some_and(|data| data["a"] == value)
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

    /// Whether the delayed create has a response.
    fn is_delayed_create_done(&self, team: &str) -> bool {
        let slow = format!("{team}-0");
        let requests = self.proxy.requests();
        requests.iter().any(|it| it.namespace() == slow && it.status.is_some())
    }
}

#[tokio::test]
async fn a_slow_namespace_delays_no_other_namespace_or_sync() -> Result<()> {
    let cluster = ProxiedCluster::start().await?;
    cluster.fan_out("plain").await?;
    cluster.fixture.wait_reason("central", "plain", "Synced", SOON).await?;
    cluster.slow_down("late");
    cluster.fan_out("late").await?;
    cluster.wait_copies("late", NAMESPACES - 1, "1").await?;
    ensure!(!cluster.is_delayed_create_done("late"), "the other copies came after the slow one");

    cluster.fixture.create_sync("central", "one", one_to_one("central", "shared", "other")).await?;
    cluster.fixture.wait_reason("central", "one", "Synced", SOON).await?;
    ensure!(!cluster.is_delayed_create_done("late"), "another sync was Ready after the slow one");

    cluster.fixture.wait_reason("central", "late", "Synced", SOON).await?;
    let (plain, mut late) = (cluster.calls("plain"), cluster.calls("late"));
    // The client's timeout includes the time for which the connection was idle before, so the
    // client may abandon the slow request before its delay is over, and send it again.
    late.entry(0).or_default().dedup();
    ensure!(plain.len() == NAMESPACES && late == plain, "{late:?}\nexpected\n{plain:?}");
    Ok(())
}

#[tokio::test]
async fn an_edit_of_the_source_does_not_wait_for_a_slow_namespace() -> Result<()> {
    let cluster = ProxiedCluster::start().await?;
    cluster.slow_down("late");
    cluster.fan_out("late").await?;
    cluster.wait_copies("late", NAMESPACES - 1, "1").await?;
    let edit = json!({"data": {"a": "2"}});
    cluster.fixture.patch_config_map("central", "shared", &edit).await?;
    cluster.wait_copies("late", NAMESPACES - 1, "2").await?;
    ensure!(
        !cluster.is_delayed_create_done("late"),
        "the edit reached the others after the slow one"
    );
    Ok(())
}
