//! A response that is older than the latest watch event is not taken for the current state: a
//! change that the watch delivers during a read is copied, even if the response arrives later.

use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncSpec;
use configmapsync::api::SourceDeletionPolicy;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Hold;
use harness::fault_proxy::Rule;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use http::Method;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::json;

use crate::support::scale::propagation;

/// A replica behind the fault proxy, which holds responses back.
struct ProxiedCluster {
    proxy: FaultProxy,
    fixture: Fixture,
    _operators: OperatorCluster,
}

impl ProxiedCluster {
    /// Starts a replica, with a copy of `central/witness`, whose reads no test holds.
    async fn start() -> Result<Self> {
        let (operators, proxy) = OperatorCluster::behind_proxy().await?;
        let fixture = operators.fixture();
        fixture.create_namespaces(&["central", "app"]).await?;
        fixture.create_config_map("central", "witness", &[("edits", "0")]).await?;
        fixture.create_sync("central", "witness", one_to_one("central", "witness", "app")).await?;
        fixture.wait_data("app", "witness", &[("edits", "0")], SOON).await?;
        Ok(Self { proxy, fixture, _operators: operators })
    }

    /// As [`ProxiedCluster::start`], with a copy of `central/shared` that is in sync.
    async fn with_copy(spec: ConfigMapSyncSpec) -> Result<Self> {
        let cluster = Self::start().await?;
        cluster.fixture.create_config_map("central", "shared", &[("a", "1"), ("b", "1")]).await?;
        cluster.fixture.create_sync("central", "sync", spec).await?;
        cluster.fixture.wait_reason("central", "sync", "Synced", SOON).await?;
        Ok(cluster)
    }

    /// Holds back the response to the next read of the ConfigMap `shared` in `namespace`.
    fn hold_read(&self, namespace: &str) -> Hold {
        let hold = Hold::new();
        let path = format!("/namespaces/{namespace}/configmaps/shared");
        let rule = Rule::new(Fault::HoldAfter(hold.clone())).method(Method::GET);
        self.proxy.add(rule.path_contains(&path));
        hold
    }

    /// Waits until the operator has received every watch event so far. Events of one kind arrive in
    /// order, so a copy of a later edit shows that the earlier ones have arrived.
    async fn wait_events_received(&self) -> Result<()> {
        let edit = json!({"data": {"edits": "1"}});
        self.fixture.patch_config_map("central", "witness", &edit).await?;
        self.fixture.wait_data("app", "witness", &[("edits", "1")], propagation()).await?;
        Ok(())
    }

    async fn set_source(&self, a: &str) -> Result<()> {
        let edit = json!({"data": {"a": a}});
        self.fixture.patch_config_map("central", "shared", &edit).await?;
        Ok(())
    }

    /// Edits the source, and once more while the operator reads it.
    async fn edit_during_read(&self) -> Result<()> {
        let hold = self.hold_read("central");
        self.set_source("2").await?;
        hold.reached(propagation()).await?;
        self.set_source("3").await?;
        self.wait_events_received().await?;
        hold.release();
        Ok(())
    }
}

fn spec() -> ConfigMapSyncSpec {
    one_to_one("central", "shared", "app")
}

#[tokio::test]
async fn an_edit_during_a_read_of_the_source_is_copied() -> Result<()> {
    let cluster = ProxiedCluster::with_copy(spec()).await?;
    cluster.edit_during_read().await?;
    let copy = [("a", "3"), ("b", "1")];
    cluster.fixture.wait_data("app", "shared", &copy, propagation()).await?;
    Ok(())
}

#[tokio::test]
async fn an_edit_during_a_read_of_selected_keys_is_copied() -> Result<()> {
    let keys = Some(vec!["a".to_owned()]);
    let cluster = ProxiedCluster::with_copy(ConfigMapSyncSpec { keys, ..spec() }).await?;
    cluster.edit_during_read().await?;
    cluster.fixture.wait_data("app", "shared", &[("a", "3")], propagation()).await?;
    Ok(())
}

#[tokio::test]
async fn a_source_deleted_during_its_read_is_reported() -> Result<()> {
    let cluster = ProxiedCluster::with_copy(spec()).await?;
    let hold = cluster.hold_read("central");
    cluster.set_source("2").await?;
    hold.reached(propagation()).await?;
    cluster.fixture.delete_config_map("central", "shared").await?;
    cluster.wait_events_received().await?;
    hold.release();
    cluster.fixture.wait_reason("central", "sync", "SourceNotFound", propagation()).await?;
    Ok(())
}

#[tokio::test]
async fn a_source_created_during_its_read_is_copied() -> Result<()> {
    let cluster = ProxiedCluster::start().await?;
    let hold = cluster.hold_read("central");
    cluster.fixture.create_sync("central", "sync", spec()).await?;
    hold.reached(propagation()).await?;
    cluster.fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    cluster.wait_events_received().await?;
    hold.release();
    cluster.fixture.wait_data("app", "shared", &[("a", "1")], propagation()).await?;
    Ok(())
}

#[tokio::test]
async fn a_source_recreated_during_its_read_keeps_its_copy() -> Result<()> {
    let source_deletion_policy = SourceDeletionPolicy::Delete;
    let cluster =
        ProxiedCluster::with_copy(ConfigMapSyncSpec { source_deletion_policy, ..spec() }).await?;
    let before =
        cluster.fixture.wait_data("app", "shared", &[("a", "1"), ("b", "1")], SOON).await?;
    let hold = cluster.hold_read("central");
    cluster.fixture.delete_config_map("central", "shared").await?;
    hold.reached(propagation()).await?;
    cluster.fixture.create_config_map("central", "shared", &[("a", "2")]).await?;
    cluster.wait_events_received().await?;
    hold.release();
    let copy = cluster.fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    ensure!(copy.metadata.uid == before.metadata.uid, "the copy was recreated");
    Ok(())
}

#[tokio::test]
async fn a_copy_deleted_during_its_read_is_recreated() -> Result<()> {
    let cluster = ProxiedCluster::with_copy(spec()).await?;
    let hold = cluster.hold_read("app");
    // An apply without changes: only a read shows the operator that the data are unchanged.
    let same = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}});
    let copies = Api::<ConfigMap>::namespaced(cluster.fixture.client(), "app");
    copies.patch("shared", &PatchParams::apply("another-tool"), &Patch::Apply(&same)).await?;
    hold.reached(propagation()).await?;
    cluster.fixture.delete_config_map("app", "shared").await?;
    cluster.wait_events_received().await?;
    hold.release();
    let copy = [("a", "1"), ("b", "1")];
    cluster.fixture.wait_data("app", "shared", &copy, propagation()).await?;
    Ok(())
}
