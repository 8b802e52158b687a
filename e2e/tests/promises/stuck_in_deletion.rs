//! Promise: a copy that somebody's finalizer holds in deletion is waited for; the finalizer is
//! never taken off by us.

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

const HELD: Duration = Duration::from_secs(5);
const HOLD: &str = "example.com/hold";

/// Makes the copy `app/NAME`, and holds it.
async fn held_copy(fixture: &Fixture, name: &str) -> Result<()> {
    fixture.create_config_map("central", name, &[("a", "1")]).await?;
    fixture.create_sync("central", name, one_to_one("central", name, "app")).await?;
    fixture.wait_reason("central", name, "Synced", SOON).await?;
    let hold = json!({"metadata": {"finalizers": [HOLD]}});
    fixture.patch_config_map("app", name, &hold).await?;
    Ok(())
}

async fn let_go(fixture: &Fixture, name: &str) -> Result<()> {
    let free = json!({"metadata": {"finalizers": null}});
    fixture.patch_config_map("app", name, &free).await?;
    Ok(())
}

/// Makes sure that for a while the copy is being deleted and held.
async fn stays_held(fixture: &Fixture, name: &str) -> Result<ConfigMap> {
    let is_held = |copy: &ConfigMap| {
        let finalizers = copy.metadata.finalizers.as_deref();
        copy.metadata.deletion_timestamp.is_some() && finalizers == Some(&[HOLD.to_owned()])
    };
    let what = format!("app/{name} is being deleted and held");
    let copy = fixture.wait_config_map("app", name, &what, SOON, is_held).await?;
    stays(what, HELD, || async {
        let now = fixture.config_map("app", name).await?;
        let version = now.as_ref().map(|now| &now.metadata.resource_version);
        let same = version == Some(&copy.metadata.resource_version);
        Ok(Seen::from_bool(same, || format!("{now:?}")))
    })
    .await?;
    Ok(copy)
}

#[tokio::test]
async fn a_copy_deleted_and_held_is_created_again_once_it_is_gone() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    held_copy(&fixture, "shared").await?;
    fixture.delete_config_map("app", "shared").await?;
    let sync = fixture.wait_reason("central", "shared", "Progressing", SOON).await?;
    ensure!(message(&sync).contains("finalizer"), "{}", message(&sync));
    let mark = world.audit().mark().await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    let before = stays_held(&fixture, "shared").await?;
    let events = world.audit().since(mark).await?;
    let writes = copy_writes_in(&events, "app");
    ensure!(writes.is_empty(), "{}", lines(&writes));

    let_go(&fixture, "shared").await?;
    let after = fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    ensure!(after.metadata.uid != before.metadata.uid, "it is another object");
    fixture.wait_reason("central", "shared", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn a_sync_that_is_deleted_waits_for_it_too() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    held_copy(&fixture, "shared").await?;
    let mark = world.audit().mark().await?;
    fixture.delete_sync("central", "shared").await?;
    let sync = fixture.wait_reason("central", "shared", "Deleting", SOON).await?;
    stays_held(&fixture, "shared").await?;
    ensure!(message(&sync).contains("app/shared"), "{}", message(&sync));
    let events = world.audit().since(mark).await?;
    let writes = copy_writes_in(&events, "app");
    // The two watches tell in any order that it is held and that it is to go: a deletion that has
    // not heard of the hold is of an earlier version, and is asked for again.
    let are_deletions = writes.iter().all(|it| it.verb == "delete");
    let done = succeeded_after_retries(&writes, 409)?;
    ensure!(are_deletions && done.len() == 1, "{}", lines(&writes));
    let sync = fixture.sync("central", "shared").await?.context("it waits for its copy")?;
    let finalizers = sync.metadata.finalizers.unwrap_or_default();
    ensure!(finalizers == [names::FINALIZER], "{finalizers:?}");

    let_go(&fixture, "shared").await?;
    fixture.wait_no_config_map("app", "shared", SOON).await?;
    fixture.wait_no_sync("central", "shared", SOON).await?;
    Ok(())
}
