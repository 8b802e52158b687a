//! Promise: a copy equals its source, byte for byte, whatever happens to the source.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use e2e::audit::writes_by_operator;
use e2e::fixture::Fixture;
use e2e::fixture::SOON;
use e2e::world::World;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use serde_json::json;

/// "Copy data edited: restored within 5 seconds", and a source is followed no later.
const FOLLOWED: Duration = Duration::from_secs(5);
/// What Kubernetes accepts as the data of a ConfigMap, in bytes, keys included.
const LARGEST: usize = 1024 * 1024;

async fn synced(world: &World) -> Result<Fixture> {
    let fixture = world.fixture();
    fixture.one_copy(&[("a", "1"), ("b", "2")]).await?;
    fixture.wait_data("app", "shared", &[("a", "1"), ("b", "2")], FOLLOWED).await?;
    Ok(fixture)
}

#[tokio::test]
async fn a_value_changed_a_key_added_and_a_key_removed_are_followed() -> Result<()> {
    let world = World::start(1).await?;
    let fixture = synced(&world).await?;

    let mark = world.audit().mark().await?;
    let edit = json!({"data": {"a": "one", "b": null, "c": "3"}});
    fixture.patch_config_map("central", "shared", &edit).await?;
    fixture.wait_data("app", "shared", &[("a", "one"), ("c", "3")], FOLLOWED).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;

    let events = world.audit().since(mark).await?;
    let copies = writes_by_operator(&events);
    let copies: Vec<_> = copies.iter().filter(|event| event.resource() == "configmaps").collect();
    ensure!(copies.len() == 1, "one edit is one write of the copy: {copies:#?}");
    Ok(())
}

#[tokio::test]
async fn binary_data_is_copied_byte_for_byte() -> Result<()> {
    let world = World::start(1).await?;
    let fixture = synced(&world).await?;

    let every_byte = ByteString((0..=u8::MAX).collect());
    let edit = json!({
        "data": {"a": null, "b": "moved elsewhere"},
        "binaryData": {"a": every_byte, "empty": ""},
    });
    fixture.patch_config_map("central", "shared", &edit).await?;
    let wanted = BTreeMap::from([
        ("a".to_owned(), every_byte),
        ("empty".to_owned(), ByteString(Vec::new())),
    ]);
    let what = "every byte is there, and the key that moved to binaryData has moved";
    fixture
        .wait_config_map("app", "shared", what, FOLLOWED, |copy| {
            copy.binary_data.as_ref() == Some(&wanted)
                && copy.data
                    == Some(BTreeMap::from([("b".to_owned(), "moved elsewhere".to_owned())]))
        })
        .await?;

    let back = json!({"data": {"a": "text again"}, "binaryData": null});
    fixture.patch_config_map("central", "shared", &back).await?;
    let data = [("a", "text again"), ("b", "moved elsewhere")];
    fixture.wait_data("app", "shared", &data, FOLLOWED).await?;
    Ok(())
}

#[tokio::test]
async fn the_largest_and_the_empty_source_are_copied() -> Result<()> {
    let world = World::start(1).await?;
    let fixture = synced(&world).await?;

    let value = "x".repeat(LARGEST - 1 - "key".len());
    let edit = json!({"data": {"a": null, "b": null, "key": value}});
    fixture.patch_config_map("central", "shared", &edit).await?;
    fixture.wait_data("app", "shared", &[("key", &value)], FOLLOWED).await?;

    fixture.patch_config_map("central", "shared", &json!({"data": null})).await?;
    fixture.wait_data("app", "shared", &[], FOLLOWED).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn an_immutable_source_that_is_recreated_replaces_its_copy() -> Result<()> {
    let world = World::start(1).await?;
    let fixture = synced(&world).await?;

    fixture.patch_config_map("central", "shared", &json!({"immutable": true})).await?;
    let what = "the copy is immutable too";
    let immutable = |copy: &ConfigMap| copy.immutable == Some(true);
    let before = fixture.wait_config_map("app", "shared", what, FOLLOWED, immutable).await?;

    fixture.delete_config_map("central", "shared").await?;
    let mut source: ConfigMap = fixture.create_config_map("central", "other", &[]).await?;
    source.metadata = kube::core::ObjectMeta {
        name: Some("shared".to_owned()),
        ..kube::core::ObjectMeta::default()
    };
    source.data = Some(BTreeMap::from([("new".to_owned(), "value".to_owned())]));
    source.immutable = Some(true);
    let sources: Api<ConfigMap> = Api::namespaced(fixture.client(), "central");
    sources.create(&PostParams::default(), &source).await.context("re-creating the source")?;

    let after = fixture.wait_data("app", "shared", &[("new", "value")], FOLLOWED).await?;
    ensure!(after.metadata.uid != before.metadata.uid, "an immutable copy cannot be patched");
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn a_source_that_goes_and_comes_back_is_followed() -> Result<()> {
    let world = World::start(1).await?;
    let fixture = synced(&world).await?;

    fixture.delete_config_map("central", "shared").await?;
    fixture.wait_reason("central", "sync", "SourceNotFound", SOON).await?;
    fixture.wait_data("app", "shared", &[("a", "1"), ("b", "2")], FOLLOWED).await?;

    fixture.create_config_map("central", "shared", &[("a", "back")]).await?;
    fixture.wait_data("app", "shared", &[("a", "back")], FOLLOWED).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn another_destination_is_written_before_the_old_one_goes() -> Result<()> {
    let world = World::start(1).await?;
    let fixture = synced(&world).await?;
    fixture.create_namespaces(&["elsewhere"]).await?;

    let mark = world.audit().mark().await?;
    let moved =
        json!({"spec": {"destinationNamespace": "elsewhere", "destinationName": "renamed"}});
    fixture.patch_sync("central", "sync", &moved).await?;
    fixture.wait_data("elsewhere", "renamed", &[("a", "1"), ("b", "2")], FOLLOWED).await?;
    fixture.wait_no_config_map("app", "shared", FOLLOWED).await?;

    let events = world.audit().since(mark).await?;
    let writes = writes_by_operator(&events);
    let order: Vec<_> = writes
        .iter()
        .filter(|event| event.resource() == "configmaps")
        .map(|event| (event.verb.as_str(), event.namespace()))
        .collect();
    ensure!(order == [("create", "elsewhere"), ("delete", "app")], "{order:?}");
    Ok(())
}
