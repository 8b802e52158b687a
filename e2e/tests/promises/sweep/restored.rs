//! Backups are restored in any order.

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

use crate::support::orphan_collection::impatient;
use crate::support::orphan_collection::untouched;

/// Waits until the copy belongs to the sync that has its name now, and is still the same object.
async fn taken_over(fixture: &Fixture, before: &ConfigMap) -> Result<()> {
    let sync = fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let copy = fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    ensure!(copy.metadata.uid == before.metadata.uid, "taken over, not re-created");
    let labels = copy.metadata.labels.unwrap_or_default();
    ensure!(labels.get(names::LABEL_SYNC_UID) == sync.metadata.uid.as_ref(), "{labels:?}");
    Ok(())
}

#[tokio::test]
async fn a_copy_restored_long_before_its_sync_is_taken_over() -> Result<()> {
    let world = OperatorCluster::start_with(1, impatient("10m")).await?;
    let fixture = world.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let lost = fixture.sync("central", "sync").await?.context("the sync is there")?;
    let lost = lost.metadata.uid.context("with a uid")?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;

    // The leader has seen this uid alive, but not left this copy behind.
    let copy = fixture.restore_copy("app", "shared", "central/sync", &lost).await?;
    untouched(&fixture, &copy, Duration::from_secs(8)).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    taken_over(&fixture, &copy).await
}

#[tokio::test]
async fn a_copy_that_its_sync_will_take_over_is_not_swept_meanwhile() -> Result<()> {
    let world = OperatorCluster::start_with(1, impatient("1s")).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "SourceNotFound", SOON).await?;
    let copy = fixture.restore_copy("app", "shared", "central/sync", "lost").await?;
    untouched(&fixture, &copy, Duration::from_secs(5)).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    taken_over(&fixture, &copy).await
}
