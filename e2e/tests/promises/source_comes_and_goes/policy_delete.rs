//! What happens to copies of a source that is gone, under `sourceDeletionPolicy: Delete`.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::SourceDeletionPolicy;
use harness::audit_queries::requests_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;
use testbed::audit::Event;
use testbed::audit::lines;

use crate::support::audit::copy_writes;
use crate::support::config_maps::create_in_recreated_namespace;
use crate::support::scale::propagation;

async fn synced(world: &OperatorCluster) -> Result<Fixture> {
    let fixture = world.fixture();
    let mut spec = one_to_one("central", "shared", "app");
    spec.source_deletion_policy = SourceDeletionPolicy::Delete;
    fixture.create_namespaces(&["team", "central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_sync("team", "sync", spec).await?;
    fixture.wait_reason("team", "sync", "Synced", SOON).await?;
    Ok(fixture)
}

/// The copy was deleted once, and only after the API server had said that there is no source.
fn ensure_looked_first(events: &[Event]) -> Result<()> {
    let writes = copy_writes(events);
    let [delete] = &writes[..] else { anyhow::bail!("{}", lines(&writes)) };
    ensure!(delete.verb == "delete" && delete.succeeded(), "{delete}");
    let is_look = |event: &&Event| {
        let of_source = event.namespace() == "central" && event.name() == "shared";
        event.verb == "get" && of_source && event.response_status.code == 404
    };
    let asked = &delete.request_received_timestamp.0;
    let looked =
        requests_by_operator(events).filter(is_look).any(|event| event.stage_timestamp.0 < *asked);
    let all: Vec<_> = requests_by_operator(events).collect();
    ensure!(looked, "no live look at the source before the deletion:\n{}", lines(&all));
    Ok(())
}

#[tokio::test]
async fn the_copy_goes_after_a_live_look_and_comes_back_with_its_source() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = synced(&world).await?;
    let mark = world.audit().mark().await?;
    fixture.delete_config_map("central", "shared").await?;
    fixture.wait_no_config_map("app", "shared", propagation()).await?;
    fixture.wait_reason("team", "sync", "SourceNotFound", SOON).await?;
    ensure_looked_first(&world.audit().since(mark).await?)?;
    fixture.create_config_map("central", "shared", &[("a", "2")]).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    fixture.wait_reason("team", "sync", "Synced", SOON).await?;

    let mark = world.audit().mark().await?;
    fixture.delete_namespace("central").await?;
    fixture.wait_no_config_map("central", "shared", SOON).await?;
    fixture.wait_no_config_map("app", "shared", propagation()).await?;
    fixture.wait_reason("team", "sync", "SourceNotFound", SOON).await?;
    ensure_looked_first(&world.audit().since(mark).await?)?;
    fixture.wait_no_namespace("central", SOON).await?;
    fixture.create_namespaces(&["central"]).await?;
    create_in_recreated_namespace(&fixture, "central", "shared", &[("a", "3")]).await?;
    fixture.wait_data("app", "shared", &[("a", "3")], propagation()).await?;
    fixture.wait_reason("team", "sync", "Synced", SOON).await?;
    fixture.delete_sync("team", "sync").await?;
    fixture.wait_no_sync("team", "sync", SOON).await?;
    ensure!(fixture.config_map("app", "shared").await?.is_none(), "the copy is left");
    Ok(())
}

#[tokio::test]
async fn a_source_that_is_back_by_the_time_of_the_look_takes_nothing() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = synced(&world).await?;
    let copy = fixture.config_map("app", "shared").await?.context("no copy")?;
    let mark = world.audit().mark().await?;
    // Shorter than a renewal of the Lease may take: it leads before and after.
    world.replicas[0].process().freeze()?;
    fixture.delete_config_map("central", "shared").await?;
    fixture.create_config_map("central", "shared", &[("a", "2")]).await?;
    world.replicas[0].process().thaw()?;
    let followed = fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    ensure!(followed.metadata.uid == copy.metadata.uid, "the copy was created again");
    let events = world.audit().since(mark).await?;
    let writes = copy_writes(&events);
    ensure!(writes.iter().all(|event| event.verb == "patch"), "{}", lines(&writes));
    Ok(())
}

#[tokio::test]
async fn what_is_deleted_while_no_operator_runs_is_looked_at_when_one_does() -> Result<()> {
    let mut world = OperatorCluster::start(1).await?;
    let fixture = synced(&world).await?;
    world.replica()?.terminate_and_wait().await?;
    fixture.delete_config_map("central", "shared").await?;
    let mark = world.audit().mark().await?;
    world.replica()?.restart()?;
    fixture.wait_no_config_map("app", "shared", SOON).await?;
    fixture.wait_reason("team", "sync", "SourceNotFound", SOON).await?;
    ensure_looked_first(&world.audit().since(mark).await?)?;
    // What stands there by then is left alone.
    fixture.create_config_map("app", "shared", &[("a", "theirs")]).await?;
    fixture.patch_sync("team", "sync", &json!({"spec": {"deletionPolicy": "Retain"}})).await?;
    fixture.wait_reason("team", "sync", "SourceNotFound", SOON).await?;
    fixture.wait_data("app", "shared", &[("a", "theirs")], SOON).await?;
    Ok(())
}
