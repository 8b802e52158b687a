//! The operator waits for a copy that the finalizer of another tool keeps terminating, and never
//! removes that finalizer.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names;
use harness::audit_queries::copy_writes_in;
use harness::audit_queries::succeeded_after_retries;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::stays;

use crate::support::conditions::message;
use crate::support::scale::propagation;

/// How long the copy is observed to stay unchanged.
const UNCHANGED: Duration = Duration::from_secs(5);
/// The finalizer of another tool.
const FINALIZER: &str = "example.com/hold";

/// Creates the copy `app/NAME`, and adds a finalizer to it.
async fn create_copy_with_finalizer(fixture: &Fixture, name: &str) -> Result<()> {
    fixture.create_config_map("central", name, &[("a", "1")]).await?;
    fixture.create_sync("central", name, one_to_one("central", name, "app")).await?;
    fixture.wait_reason("central", name, "Synced", SOON).await?;
    let finalizer = json!({"metadata": {"finalizers": [FINALIZER]}});
    fixture.patch_config_map("app", name, &finalizer).await?;
    Ok(())
}

async fn remove_finalizer(fixture: &Fixture, name: &str) -> Result<()> {
    let patch = json!({"metadata": {"finalizers": null}});
    fixture.patch_config_map("app", name, &patch).await?;
    Ok(())
}

/// Waits until the copy is terminating with its finalizer, and fails if it changes afterwards.
async fn stays_terminating(fixture: &Fixture, name: &str) -> Result<ConfigMap> {
    let is_terminating = |copy: &ConfigMap| {
        let finalizers = copy.metadata.finalizers.as_deref();
        copy.metadata.deletion_timestamp.is_some() && finalizers == Some(&[FINALIZER.to_owned()])
    };
    let what = format!("app/{name} is terminating with its finalizer");
    let copy = fixture.wait_config_map("app", name, &what, SOON, is_terminating).await?;
    stays(what, UNCHANGED, || async {
        let now = fixture.config_map("app", name).await?;
        let version = now.as_ref().map(|now| &now.metadata.resource_version);
        let same = version == Some(&copy.metadata.resource_version);
        Ok(Seen::from_bool(same, || format!("{now:?}")))
    })
    .await?;
    Ok(copy)
}

#[tokio::test]
async fn a_copy_held_by_a_finalizer_is_recreated_once_gone() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    create_copy_with_finalizer(&fixture, "shared").await?;
    fixture.delete_config_map("app", "shared").await?;
    let sync = fixture.wait_reason("central", "shared", "Progressing", SOON).await?;
    ensure!(message(&sync).contains("finalizer"), "{}", message(&sync));
    let mark = cluster.audit().mark().await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    let before = stays_terminating(&fixture, "shared").await?;
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes_in(&events, "app");
    ensure!(writes.is_empty(), "{}", lines(&writes));

    remove_finalizer(&fixture, "shared").await?;
    let after = fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    ensure!(after.metadata.uid != before.metadata.uid, "the copy was not recreated");
    fixture.wait_reason("central", "shared", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn a_deleted_sync_waits_for_a_copy_with_a_finalizer() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    create_copy_with_finalizer(&fixture, "shared").await?;
    let mark = cluster.audit().mark().await?;
    fixture.delete_sync("central", "shared").await?;
    let sync = fixture.wait_reason("central", "shared", "Deleting", SOON).await?;
    stays_terminating(&fixture, "shared").await?;
    ensure!(message(&sync).contains("app/shared"), "{}", message(&sync));
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes_in(&events, "app");
    // The events of the finalizer and of the deleted ConfigMapSync arrive in either order. A
    // deletion before the former carries an old resourceVersion, fails with 409, and is repeated.
    let are_deletions = writes.iter().all(|it| it.verb == "delete");
    let done = succeeded_after_retries(&writes, 409)?;
    ensure!(are_deletions && done.len() == 1, "{}", lines(&writes));
    let sync = fixture
        .sync("central", "shared")
        .await?
        .context("the ConfigMapSync was gone before its copy")?;
    let finalizers = sync.metadata.finalizers.unwrap_or_default();
    ensure!(finalizers == [names::FINALIZER], "{finalizers:?}");

    remove_finalizer(&fixture, "shared").await?;
    fixture.wait_no_config_map("app", "shared", SOON).await?;
    fixture.wait_no_sync("central", "shared", SOON).await?;
    Ok(())
}
