//! Promise: a ConfigMap that is not ours is never touched, on any path.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use configmapsync::names;
use e2e::audit::Event;
use e2e::audit::lines;
use e2e::audit::writes_by_operator;
use e2e::fixture::Fixture;
use e2e::fixture::SOON;
use e2e::fixture::one_to_one;
use e2e::world::World;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

/// Writes of ConfigMaps that succeeded, by the operator, in `namespace`.
fn successes<'a>(events: &'a [Event], namespace: &str) -> Vec<&'a Event> {
    writes_by_operator(events)
        .into_iter()
        .filter(|event| event.resource() == "configmaps" && event.namespace() == namespace)
        .filter(|event| event.succeeded())
        .collect()
}

async fn standing(fixture: &Fixture) -> Result<ConfigMap> {
    fixture.config_map("app", "shared").await?.context("app/shared is gone")
}

#[tokio::test]
async fn a_config_map_that_stood_there_first_keeps_its_resource_version() -> Result<()> {
    let mut world = World::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "ours")]).await?;
    let foreign = fixture.create_config_map("app", "shared", &[("a", "theirs")]).await?;
    let mark = world.audit().mark().await?;

    // First sync.
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    let sync = fixture.wait_reason("central", "sync", "Conflict", SOON).await?;
    ensure!(message(&sync).contains("app/shared"), "{}", message(&sync));

    // A later round, after the source has changed, and one after a restart.
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "newer"}})).await?;
    fixture.patch_sync("central", "sync", &json!({"spec": {"deletionPolicy": "Retain"}})).await?;
    fixture.wait_reason("central", "sync", "Conflict", SOON).await?;
    world.replica()?.terminate_and_restart().await?;
    world.wait_leader().await?;
    fixture.patch_sync("central", "sync", &json!({"spec": {"deletionPolicy": "Delete"}})).await?;
    fixture.wait_reason("central", "sync", "Conflict", SOON).await?;

    // Status lost, and deletion.
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;

    let now = standing(&fixture).await?;
    ensure!(now.metadata.resource_version == foreign.metadata.resource_version, "{now:#?}");
    ensure!(now.metadata.uid == foreign.metadata.uid, "{now:#?}");
    let events = world.audit().since(mark).await?;
    ensure!(successes(&events, "app").is_empty(), "{}", lines(&successes(&events, "app")));
    Ok(())
}

#[tokio::test]
async fn when_it_goes_the_copy_is_created() -> Result<()> {
    let world = World::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "ours")]).await?;
    fixture.create_config_map("app", "shared", &[("a", "theirs")]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Conflict", SOON).await?;

    fixture.delete_config_map("app", "shared").await?;
    fixture.wait_data("app", "shared", &[("a", "ours")], SOON).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn a_copy_whose_identity_was_taken_off_is_left_alone_for_good() -> Result<()> {
    for mark in [names::ANNOTATION_SYNC, names::ANNOTATION_COPY] {
        let world = World::start(1).await?;
        let fixture = world.fixture();
        fixture.create_namespaces(&["central", "app"]).await?;
        fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
        fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
        fixture.wait_reason("central", "sync", "Synced", SOON).await?;

        let off = json!({"metadata": {"annotations": {mark: null}}});
        let taken = fixture.patch_config_map("app", "shared", &off).await?;
        fixture.wait_reason("central", "sync", "Conflict", SOON).await?;
        fixture.delete_sync("central", "sync").await?;
        fixture.wait_no_sync("central", "sync", SOON).await?;
        let now = standing(&fixture).await?;
        ensure!(now.metadata.resource_version == taken.metadata.resource_version, "{mark}");
    }
    Ok(())
}

#[tokio::test]
async fn a_clone_of_a_copy_is_no_copy() -> Result<()> {
    let world = World::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["other"]).await?;
    fixture.one_copy(&[("a", "1")]).await?;

    let original = standing(&fixture).await?;
    let clone = fixture.create_config_map("other", "clone", &[("a", "mine")]).await?;
    let marks = json!({"metadata": {
        "labels": original.metadata.labels,
        "annotations": original.metadata.annotations,
    }});
    let marked = fixture.patch_config_map("other", "clone", &marks).await?;
    ensure!(marked.metadata.uid == clone.metadata.uid, "the same clone");
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;

    let now = fixture.config_map("other", "clone").await?.context("the clone is gone")?;
    ensure!(now.metadata.resource_version == marked.metadata.resource_version, "{now:#?}");
    Ok(())
}

fn message(sync: &ConfigMapSync) -> String {
    let conditions = sync.status.iter().flat_map(|status| &status.conditions);
    conditions.map(|condition| condition.message.clone()).collect::<Vec<_>>().join("; ")
}
