//! Copies, ConfigMapSyncs and sources may be restored from a backup in any order.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::stays;

use crate::support::orphan_collection::COLLECTED;
use crate::support::orphan_collection::fast_collection;
use crate::support::orphan_collection::stays_untouched;

/// A create that was in flight when a ConfigMapSync was deleted takes effect within this time.
const LATE_WRITES: Duration = Duration::from_mins(1);

/// Creates a copy, and deletes its ConfigMapSync and with it the copy. Returns the uid of the
/// ConfigMapSync.
async fn create_and_delete_sync(fixture: &Fixture) -> Result<String> {
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let lost = fixture.sync("central", "sync").await?.context("no ConfigMapSync")?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    lost.metadata.uid.context("no uid")
}

/// Restores the copy of the ConfigMapSync with the uid `lost` as backup tools do that restore
/// managedFields: the operator is its only field manager.
async fn restore_with_managed_fields(fixture: &Fixture, lost: &str) -> Result<ConfigMap> {
    fixture.restore_copy("app", "shared", "central/sync", lost).await?;
    let entry = json!({
        "manager": names::FIELD_MANAGER,
        "operation": "Update",
        "apiVersion": "v1",
        "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {".": {}, "f:a": {}}},
    });
    let fields = json!({"metadata": {"managedFields": [entry]}});
    fixture.patch_config_map("app", "shared", &fields).await
}

/// Waits until the ConfigMapSync `central/sync` has taken over the copy `before`, the same object.
async fn wait_taken_over(fixture: &Fixture, before: &ConfigMap) -> Result<()> {
    let sync = fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let copy = fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    ensure!(
        copy.metadata.uid == before.metadata.uid,
        "the copy was recreated instead of taken over"
    );
    let labels = copy.metadata.labels.unwrap_or_default();
    ensure!(labels.get(names::LABEL_SYNC_UID) == sync.metadata.uid.as_ref(), "{labels:?}");
    Ok(())
}

#[tokio::test]
async fn a_copy_restored_before_its_sync_is_taken_over() -> Result<()> {
    let cluster = OperatorCluster::start_with(1, fast_collection("10m")).await?;
    let fixture = cluster.fixture();
    let lost = create_and_delete_sync(&fixture).await?;

    // The leader has observed a ConfigMapSync with this uid, but did not create this copy.
    let copy = fixture.restore_copy("app", "shared", "central/sync", &lost).await?;
    stays_untouched(&fixture, &copy, Duration::from_secs(8)).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    wait_taken_over(&fixture, &copy).await
}

#[tokio::test]
async fn a_copy_restored_with_managed_fields_is_taken_over() -> Result<()> {
    let cluster = OperatorCluster::start_with(1, fast_collection("10m")).await?;
    let fixture = cluster.fixture();
    let lost = create_and_delete_sync(&fixture).await?;
    stays("no late write creates the copy again", LATE_WRITES, || async {
        let found = fixture.config_map("app", "shared").await?;
        Ok(Seen::from_bool(found.is_none(), || format!("{found:?}")))
    })
    .await?;

    let copy = restore_with_managed_fields(&fixture, &lost).await?;
    stays_untouched(&fixture, &copy, Duration::from_secs(8)).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    wait_taken_over(&fixture, &copy).await
}

#[tokio::test]
async fn a_late_write_of_a_deleted_sync_is_collected() -> Result<()> {
    let cluster = OperatorCluster::start_with(1, fast_collection("10m")).await?;
    let fixture = cluster.fixture();
    let lost = create_and_delete_sync(&fixture).await?;
    restore_with_managed_fields(&fixture, &lost).await?;
    fixture.wait_no_config_map("app", "shared", COLLECTED).await
}

#[tokio::test]
async fn a_copy_restored_before_its_source_is_not_collected() -> Result<()> {
    let cluster = OperatorCluster::start_with(1, fast_collection("1s")).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "SourceNotFound", SOON).await?;
    let copy = fixture.restore_copy("app", "shared", "central/sync", "lost").await?;
    stays_untouched(&fixture, &copy, Duration::from_secs(5)).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    wait_taken_over(&fixture, &copy).await
}
