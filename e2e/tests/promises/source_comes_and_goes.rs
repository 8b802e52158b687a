//! Promise: when a source goes, alone or with its namespace, its copies are kept; when it comes
//! back, as another object, they follow it. Which of two versions is newer is never asked: another
//! version is another version. A source that comes and goes makes no copy come and go.
//! Where the spec says `sourceDeletionPolicy: Delete`, they go once a live look has found no source.

mod policy_delete;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use harness::audit_queries::writes_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use kube::Api;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::Value;
use serde_json::json;
use testbed::audit::lines;

use crate::support::audit::copy_writes;
use crate::support::config_maps::create_in_recreated_namespace;
use crate::support::scale::propagation;

async fn synced(world: &OperatorCluster) -> Result<Fixture> {
    let fixture = world.fixture();
    fixture.create_synced_copy(&[("a", "1"), ("b", "2")]).await?;
    Ok(fixture)
}

#[tokio::test]
async fn a_source_that_goes_and_comes_back_is_followed() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = synced(&world).await?;
    let copy = fixture.config_map("app", "shared").await?.context("no copy")?;

    fixture.delete_config_map("central", "shared").await?;
    fixture.wait_reason("central", "sync", "SourceNotFound", SOON).await?;
    let kept = fixture.wait_data("app", "shared", &[("a", "1"), ("b", "2")], propagation()).await?;
    ensure!(kept.metadata.resource_version == copy.metadata.resource_version, "kept untouched");

    fixture.create_config_map("central", "shared", &[("a", "back")]).await?;
    let followed = fixture.wait_data("app", "shared", &[("a", "back")], propagation()).await?;
    ensure!(followed.metadata.uid == copy.metadata.uid, "the same copy");
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn so_is_one_that_goes_and_comes_back_with_its_namespace() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "team", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_sync("team", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("team", "sync", "Synced", SOON).await?;
    let copy = fixture.config_map("app", "shared").await?.context("no copy")?;

    fixture.delete_namespace("central").await?;
    fixture.wait_reason("team", "sync", "SourceNotFound", SOON).await?;
    fixture.wait_no_namespace("central", SOON).await?;
    fixture.wait_reason("team", "sync", "SourceNotFound", SOON).await?;
    let kept = fixture.wait_data("app", "shared", &[("a", "1")], propagation()).await?;
    ensure!(kept.metadata.resource_version == copy.metadata.resource_version, "kept untouched");

    fixture.create_namespaces(&["central"]).await?;
    create_in_recreated_namespace(&fixture, "central", "shared", &[("a", "2")]).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    fixture.wait_reason("team", "sync", "Synced", SOON).await?;
    Ok(())
}

/// Lets the status claim that this was the source when it was last copied.
async fn claim(fixture: &Fixture, source: &Value) -> Result<()> {
    let syncs = Api::<ConfigMapSync>::namespaced(fixture.client(), "central");
    let status = Patch::Merge(json!({"status": {"source": source}}));
    syncs.patch_status("sync", &PatchParams::default(), &status).await?;
    Ok(())
}

#[tokio::test]
async fn a_lower_resource_version_is_as_good_as_a_higher_one() -> Result<()> {
    let mut world = OperatorCluster::start(1).await?;
    let fixture = synced(&world).await?;
    let high = "999999999";
    let source = fixture.config_map("central", "shared").await?.context("no source")?;
    let uid = source.metadata.uid.context("no uid")?;

    // The same object, at a version that is lower than the one that was copied.
    world.replica()?.terminate_and_wait().await?;
    claim(&fixture, &json!({"uid": uid, "resourceVersion": high})).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "lower"}})).await?;
    world.replica()?.restart()?;
    fixture.wait_data("app", "shared", &[("a", "lower"), ("b", "2")], SOON).await?;

    // Another object.
    world.replica()?.terminate_and_wait().await?;
    claim(&fixture, &json!({"uid": uid, "resourceVersion": high})).await?;
    fixture.delete_config_map("central", "shared").await?;
    fixture.create_config_map("central", "shared", &[("a", "another")]).await?;
    world.replica()?.restart()?;
    fixture.wait_data("app", "shared", &[("a", "another")], SOON).await?;
    let is_another = |sync: &ConfigMapSync| {
        let source = sync.status.as_ref().and_then(|status| status.source.as_ref());
        source.is_some_and(|source| source.uid != uid && source.resource_version != high)
    };
    fixture.wait_sync("central", "sync", "the status tells of it", SOON, is_another).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn a_source_that_flaps_makes_no_copy_flap() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = synced(&world).await?;
    let copy = fixture.config_map("app", "shared").await?.context("no copy")?;
    let mark = world.audit().mark().await?;
    for flap in 0..20 {
        fixture.delete_config_map("central", "shared").await?;
        // Now and then it stays away for as long as it takes to be noticed.
        if flap % 5 == 0 {
            fixture.wait_reason("central", "sync", "SourceNotFound", SOON).await?;
        }
        let value = (flap / 4).to_string();
        fixture.create_config_map("central", "shared", &[("a", &value)]).await?;
    }
    let last = fixture.wait_data("app", "shared", &[("a", "4")], propagation()).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    ensure!(last.metadata.uid == copy.metadata.uid, "the copy was created again");
    let events = world.audit().since(mark).await?;
    let writes = copy_writes(&events);
    ensure!(writes.iter().all(|event| event.verb == "patch"), "{}", lines(&writes));
    ensure!(writes.len() <= 6, "one write for each new value:\n{}", lines(&writes));

    let mark = world.audit().mark().await?;
    fixture.delete_config_map("central", "shared").await?;
    fixture.wait_reason("central", "sync", "SourceNotFound", SOON).await?;
    fixture.create_config_map("central", "shared", &[("a", "4")]).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let events = world.audit().since(mark).await?;
    let mut writes = writes_by_operator(&events);
    writes.retain(|event| event.resource() == "configmaps");
    ensure!(writes.is_empty(), "back as it was, nothing is written:\n{}", lines(&writes));
    Ok(())
}
