//! A finalizer that the API server refuses to set or to remove is reported in the status.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::permissions;
use serde_json::json;

use crate::support::conditions::message;

const FINALIZER: &str = "apps.nishaf.info/cleanup";
/// The delay has grown to at most a minute when the permission is back.
const RETRIED: Duration = Duration::from_secs(90);

/// Waits until the ConfigMapSync has this reason. Fails unless its message names finalizer and cause.
async fn wait_reported(fixture: &Fixture, reason: &str) -> Result<()> {
    let sync = fixture.wait_reason("central", "sync", reason, SOON).await?;
    let message = message(&sync);
    ensure!(message.contains(FINALIZER), "{message}");
    ensure!(message.contains("cannot patch resource \"configmapsyncs\""), "{message}");
    ensure!(message.contains("grant this permission"), "{message}");
    Ok(())
}

#[tokio::test]
async fn a_refused_removal_of_the_finalizer_is_reported() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    permissions::revoke(&cluster.control_plane, "configmapsyncs", &["patch"]).await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_config_map("app", "shared", SOON).await?;
    wait_reported(&fixture, "Deleting").await?;
    permissions::restore(&cluster.control_plane, "configmapsyncs", &["patch"]).await?;
    fixture.wait_no_sync("central", "sync", RETRIED).await
}

#[tokio::test]
async fn a_refused_addition_of_the_finalizer_is_reported() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    permissions::revoke(&cluster.control_plane, "configmapsyncs", &["patch"]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    wait_reported(&fixture, "Forbidden").await?;
    permissions::restore(&cluster.control_plane, "configmapsyncs", &["patch"]).await?;
    fixture.wait_reason("central", "sync", "Synced", RETRIED).await?;
    Ok(())
}

#[tokio::test]
async fn a_finalizer_lost_and_refused_is_reported() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    permissions::revoke(&cluster.control_plane, "configmapsyncs", &["patch"]).await?;
    let none = json!({"metadata": {"finalizers": null}});
    fixture.patch_sync("central", "sync", &none).await?;
    wait_reported(&fixture, "Forbidden").await
}
