//! A ConfigMap that has ownership markers but not the uid label is foreign. If it is adopted, it is
//! released in the end, whatever markers it had.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::DeletionPolicy;
use configmapsync::names;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use crate::adoption::support::adopting_spec;
use crate::adoption::support::create_source_and_foreign;
use crate::adoption::support::ensure_released;

fn annotation<'a>(copy: &'a ConfigMap, key: &str) -> Option<&'a String> {
    copy.metadata.annotations.as_ref()?.get(key)
}

/// Waits until `app/shared` has the uid label again.
async fn wait_adopted(fixture: &Fixture) -> Result<ConfigMap> {
    let is_labelled = |copy: &ConfigMap| {
        let labels = copy.metadata.labels.as_ref();
        labels.is_some_and(|labels| labels.contains_key(names::LABEL_SYNC_UID))
    };
    fixture.wait_config_map("app", "shared", "app/shared is adopted", SOON, is_labelled).await
}

/// Deletes the ConfigMapSync `central/sync`. Returns what is left of its copy.
async fn delete_sync_of(fixture: &Fixture, copy: &ConfigMap) -> Result<ConfigMap> {
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    let left = fixture.config_map("app", "shared").await?;
    let left = left.context("the adopted ConfigMap was deleted")?;
    ensure!(left.metadata.uid == copy.metadata.uid, "the adopted ConfigMap was recreated");
    Ok(left)
}

#[tokio::test]
async fn a_copy_adopted_without_its_label_is_released() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy_with(adopting_spec("shared"), &[("a", "ours")]).await?;
    let created = fixture.config_map("app", "shared").await?.context("no copy")?;
    ensure!(annotation(&created, names::ANNOTATION_CREATED).is_some());

    let unlabelled = json!({"metadata": {"labels": {names::LABEL_SYNC_UID: null}}});
    fixture.patch_config_map("app", "shared", &unlabelled).await?;
    let adopted = wait_adopted(&fixture).await?;
    let mark = annotation(&adopted, names::ANNOTATION_CREATED);
    ensure!(mark.is_none(), "the adopted ConfigMap is marked as created: {mark:?}");
    let left = delete_sync_of(&fixture, &created).await?;
    ensure!(left.metadata.labels.is_none(), "{:?}", left.metadata.labels);
    ensure!(left.metadata.annotations.is_none(), "{:?}", left.metadata.annotations);
    Ok(())
}

#[tokio::test]
async fn leftover_markers_are_removed_on_adoption() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    let before = create_source_and_foreign(&fixture, "shared").await?;
    let markers = json!({
        names::ANNOTATION_SYNC: "central/sync",
        names::ANNOTATION_COPY: "app/shared",
        names::ANNOTATION_SOURCE: "central/other",
        names::ANNOTATION_CREATED: "true",
        names::ANNOTATION_DELETION_POLICY: "Delete",
    });
    let leftover = json!({"metadata": {"annotations": markers}});
    fixture.patch_config_map("app", "shared", &leftover).await?;
    let mut spec = adopting_spec("shared");
    spec.deletion_policy = DeletionPolicy::Retain;
    fixture.create_sync("central", "sync", spec).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let adopted = wait_adopted(&fixture).await?;
    for key in [names::ANNOTATION_CREATED, names::ANNOTATION_DELETION_POLICY] {
        let value = annotation(&adopted, key);
        ensure!(value.is_none(), "{key} is {value:?}");
    }

    let delete = json!({"spec": {"deletionPolicy": "Delete"}});
    fixture.patch_sync("central", "sync", &delete).await?;
    ensure_released(&before, &delete_sync_of(&fixture, &before).await?)
}

/// Only the operator writes `created`, and only as "true". A value that an administrator has set
/// does not make the copy one that the operator may delete, and is removed with the other markers.
#[tokio::test]
async fn a_release_removes_markers_with_unknown_values() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let before = fixture.config_map("app", "shared").await?.context("no copy")?;
    let edited = json!({"metadata": {"annotations": {names::ANNOTATION_CREATED: "yes"}}});
    fixture.patch_config_map("app", "shared", &edited).await?;
    let left = delete_sync_of(&fixture, &before).await?;
    ensure!(left.metadata.annotations.is_none(), "{:?}", left.metadata.annotations);
    Ok(())
}
