//! Promise: what was read before the latest change is not taken for the latest. A change that the
//! watch tells while a read is under way counts, also if the answer of the read comes after it.

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

struct Scene {
    proxy: FaultProxy,
    fixture: Fixture,
    _world: OperatorCluster,
}

impl Scene {
    /// A replica at work for a sync that has nothing to do with what is held.
    async fn start() -> Result<Self> {
        let (world, proxy) = OperatorCluster::behind_proxy().await?;
        let fixture = world.fixture();
        fixture.create_namespaces(&["central", "app"]).await?;
        fixture.create_config_map("central", "witness", &[("edits", "0")]).await?;
        fixture.create_sync("central", "witness", one_to_one("central", "witness", "app")).await?;
        fixture.wait_data("app", "witness", &[("edits", "0")], SOON).await?;
        Ok(Self { proxy, fixture, _world: world })
    }

    /// As [`Scene::start`], with a copy that is in order.
    async fn synced(spec: ConfigMapSyncSpec) -> Result<Self> {
        let scene = Self::start().await?;
        scene.fixture.create_config_map("central", "shared", &[("a", "1"), ("b", "1")]).await?;
        scene.fixture.create_sync("central", "sync", spec).await?;
        scene.fixture.wait_reason("central", "sync", "Synced", SOON).await?;
        Ok(scene)
    }

    /// Holds the answer to the next read of a `ConfigMap` that is called `shared`.
    fn hold_read(&self, namespace: &str) -> Hold {
        let hold = Hold::new();
        let path = format!("/namespaces/{namespace}/configmaps/shared");
        let rule = Rule::new(Fault::HoldAfter(hold.clone())).method(Method::GET);
        self.proxy.add(rule.path_contains(&path));
        hold
    }

    /// Waits until the operator has heard of all that has happened: events of one kind come in
    /// their order, so whoever follows a later one knows those before.
    async fn heard(&self) -> Result<()> {
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

    /// Edits the source once more while it is read.
    async fn edit_while_it_is_read(&self) -> Result<()> {
        let hold = self.hold_read("central");
        self.set_source("2").await?;
        hold.reached(propagation()).await?;
        self.set_source("3").await?;
        self.heard().await?;
        hold.release();
        Ok(())
    }
}

fn spec() -> ConfigMapSyncSpec {
    one_to_one("central", "shared", "app")
}

#[tokio::test]
async fn an_edit_while_the_source_is_read_is_copied() -> Result<()> {
    let scene = Scene::synced(spec()).await?;
    scene.edit_while_it_is_read().await?;
    let copy = [("a", "3"), ("b", "1")];
    scene.fixture.wait_data("app", "shared", &copy, propagation()).await?;
    Ok(())
}

#[tokio::test]
async fn so_it_is_where_only_some_keys_are_copied() -> Result<()> {
    let keys = Some(vec!["a".to_owned()]);
    let scene = Scene::synced(ConfigMapSyncSpec { keys, ..spec() }).await?;
    scene.edit_while_it_is_read().await?;
    scene.fixture.wait_data("app", "shared", &[("a", "3")], propagation()).await?;
    Ok(())
}

#[tokio::test]
async fn a_source_that_goes_while_it_is_read_is_told() -> Result<()> {
    let scene = Scene::synced(spec()).await?;
    let hold = scene.hold_read("central");
    scene.set_source("2").await?;
    hold.reached(propagation()).await?;
    scene.fixture.delete_config_map("central", "shared").await?;
    scene.heard().await?;
    hold.release();
    scene.fixture.wait_reason("central", "sync", "SourceNotFound", propagation()).await?;
    Ok(())
}

#[tokio::test]
async fn a_source_that_comes_while_it_is_missed_is_copied() -> Result<()> {
    let scene = Scene::start().await?;
    let hold = scene.hold_read("central");
    scene.fixture.create_sync("central", "sync", spec()).await?;
    hold.reached(propagation()).await?;
    scene.fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    scene.heard().await?;
    hold.release();
    scene.fixture.wait_data("app", "shared", &[("a", "1")], propagation()).await?;
    Ok(())
}

#[tokio::test]
async fn a_source_that_is_back_before_it_is_missed_takes_no_copy() -> Result<()> {
    let source_deletion_policy = SourceDeletionPolicy::Delete;
    let scene = Scene::synced(ConfigMapSyncSpec { source_deletion_policy, ..spec() }).await?;
    let before = scene.fixture.wait_data("app", "shared", &[("a", "1"), ("b", "1")], SOON).await?;
    let hold = scene.hold_read("central");
    scene.fixture.delete_config_map("central", "shared").await?;
    hold.reached(propagation()).await?;
    scene.fixture.create_config_map("central", "shared", &[("a", "2")]).await?;
    scene.heard().await?;
    hold.release();
    let copy = scene.fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    ensure!(copy.metadata.uid == before.metadata.uid, "it was deleted, and created again");
    Ok(())
}

#[tokio::test]
async fn a_copy_that_goes_while_it_is_read_is_created_again() -> Result<()> {
    let scene = Scene::synced(spec()).await?;
    let hold = scene.hold_read("app");
    // Somebody applies what is there already: only a read tells that the content is in order.
    let same = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}});
    let copies = Api::<ConfigMap>::namespaced(scene.fixture.client(), "app");
    copies.patch("shared", &PatchParams::apply("somebody"), &Patch::Apply(&same)).await?;
    hold.reached(propagation()).await?;
    scene.fixture.delete_config_map("app", "shared").await?;
    scene.heard().await?;
    hold.release();
    let copy = [("a", "1"), ("b", "1")];
    scene.fixture.wait_data("app", "shared", &copy, propagation()).await?;
    Ok(())
}
