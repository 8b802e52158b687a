//! Promise: whatever somebody does to a copy, it is restored, and nothing else of it is touched.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use configmapsync::names;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

/// "Copy data edited: restored within 5 seconds."
const RESTORED: Duration = Duration::from_secs(5);
const DATA: [(&str, &str); 2] = [("a", "1"), ("b", "2")];

async fn synced(world: &OperatorCluster) -> Result<Fixture> {
    let fixture = world.fixture();
    fixture.one_copy(&DATA).await?;
    Ok(fixture)
}

#[tokio::test]
async fn an_edit_an_extra_key_and_a_removed_key_are_undone() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = synced(&world).await?;
    for edit in [
        json!({"data": {"a": "edited"}}),
        json!({"data": {"extra": "key"}}),
        json!({"data": {"b": null}}),
        json!({"data": null}),
        json!({"binaryData": {"extra": "AAE="}}),
    ] {
        fixture.patch_config_map("app", "shared", &edit).await?;
        fixture.wait_data("app", "shared", &DATA, RESTORED).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_deleted_copy_is_created_again() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = synced(&world).await?;
    fixture.delete_config_map("app", "shared").await?;
    fixture.wait_data("app", "shared", &DATA, RESTORED).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn what_was_done_while_no_operator_ran_is_undone_at_the_next_start() -> Result<()> {
    let mut world = OperatorCluster::start(1).await?;
    let fixture = synced(&world).await?;
    // Of a removed key nobody becomes the owner: it shows in how many keys are still ours.
    for edit in [json!({"data": {"b": null}}), json!({"data": {"a": "edited"}})] {
        world.replica()?.terminate_and_wait().await?;
        fixture.patch_config_map("app", "shared", &edit).await?;
        world.replica()?.restart()?;
        fixture.wait_data("app", "shared", &DATA, SOON).await?;
    }
    Ok(())
}

#[tokio::test]
async fn each_state_mark_is_repaired() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = synced(&world).await?;
    let before = fixture.wait_data("app", "shared", &DATA, SOON).await?.metadata.annotations;
    for (mark, value) in [
        (names::ANNOTATION_SOURCE, Some("some/thing-else")),
        (names::ANNOTATION_DELETION_POLICY, None),
        (names::ANNOTATION_CONTENT_HASH, None),
    ] {
        let edit = json!({"metadata": {"annotations": {mark: value}}});
        fixture.patch_config_map("app", "shared", &edit).await?;
        let what = format!("{mark} is as it was");
        let repaired = |copy: &ConfigMap| copy.metadata.annotations == before;
        fixture.wait_config_map("app", "shared", &what, RESTORED, repaired).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_mark_created_is_never_set_again() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = synced(&world).await?;
    let off = json!({
        "metadata": {"annotations": {names::ANNOTATION_CREATED: null}},
        "data": {"a": "edited"},
    });
    fixture.patch_config_map("app", "shared", &off).await?;
    let copy = fixture.wait_data("app", "shared", &DATA, RESTORED).await?;
    let annotations = copy.metadata.annotations.unwrap_or_default();
    ensure!(!annotations.contains_key(names::ANNOTATION_CREATED), "{annotations:#?}");
    Ok(())
}

#[tokio::test]
async fn other_peoples_labels_and_annotations_stay() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = synced(&world).await?;
    let theirs = json!({
        "metadata": {"labels": {"team": "a"}, "annotations": {"note": "keep me"}},
        "data": {"a": "edited"},
    });
    fixture.patch_config_map("app", "shared", &theirs).await?;
    let copy = fixture.wait_data("app", "shared", &DATA, RESTORED).await?;
    let labels = copy.metadata.labels.unwrap_or_default();
    let annotations = copy.metadata.annotations.unwrap_or_default();
    ensure!(labels.get("team").is_some_and(|team| team == "a"), "{labels:#?}");
    ensure!(annotations.get("note").is_some_and(|note| note == "keep me"), "{annotations:#?}");
    Ok(())
}
