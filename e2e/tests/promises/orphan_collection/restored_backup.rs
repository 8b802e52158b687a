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

use crate::support::orphan_collection::fast_collection;
use crate::support::orphan_collection::stays_untouched;

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
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let lost = fixture.sync("central", "sync").await?.context("no ConfigMapSync")?;
    let lost = lost.metadata.uid.context("no uid")?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;

    // The leader has observed a ConfigMapSync with this uid, but did not create this copy.
    let copy = fixture.restore_copy("app", "shared", "central/sync", &lost).await?;
    stays_untouched(&fixture, &copy, Duration::from_secs(8)).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    wait_taken_over(&fixture, &copy).await
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
