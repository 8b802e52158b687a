//! Any change of the data or the state markers of a copy is undone, and its foreign metadata is
//! kept.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use configmapsync::names;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

/// An edited copy is restored within this time.
const RESTORED: Duration = Duration::from_secs(5);
const DATA: [(&str, &str); 2] = [("a", "1"), ("b", "2")];

async fn create_copy(cluster: &OperatorCluster) -> Result<Fixture> {
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&DATA).await?;
    Ok(fixture)
}

#[tokio::test]
async fn edited_extra_and_removed_keys_are_undone() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster).await?;
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
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster).await?;
    fixture.delete_config_map("app", "shared").await?;
    fixture.wait_data("app", "shared", &DATA, RESTORED).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn drift_while_the_operator_is_down_is_undone() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster).await?;
    // A removed key gets no new field manager: the number of keys that we own has changed.
    for edit in [json!({"data": {"b": null}}), json!({"data": {"a": "edited"}})] {
        cluster.replica()?.terminate_and_wait().await?;
        fixture.patch_config_map("app", "shared", &edit).await?;
        cluster.replica()?.restart()?;
        fixture.wait_data("app", "shared", &DATA, SOON).await?;
    }
    Ok(())
}

#[tokio::test]
async fn each_state_marker_is_repaired() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster).await?;
    let before = fixture.wait_data("app", "shared", &DATA, SOON).await?.metadata.annotations;
    for (marker, value) in [
        (names::ANNOTATION_SOURCE, Some("some/thing-else")),
        (names::ANNOTATION_DELETION_POLICY, None),
        (names::ANNOTATION_CONTENT_HASH, None),
    ] {
        let edit = json!({"metadata": {"annotations": {marker: value}}});
        fixture.patch_config_map("app", "shared", &edit).await?;
        let what = format!("{marker} of app/shared is restored");
        let repaired = |copy: &ConfigMap| copy.metadata.annotations == before;
        fixture.wait_config_map("app", "shared", &what, RESTORED, repaired).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_marker_created_is_never_set_again() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster).await?;
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
async fn foreign_labels_and_annotations_are_kept() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster).await?;
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
