//! With `sourceDeletionPolicy: Delete`, the copies of a deleted source are deleted, after a live
//! read of the source.

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

/// Creates the ConfigMapSync `team/sync` with its source and copy.
async fn create_copy(cluster: &OperatorCluster) -> Result<Fixture> {
    let fixture = cluster.fixture();
    let mut spec = one_to_one("central", "shared", "app");
    spec.source_deletion_policy = SourceDeletionPolicy::Delete;
    fixture.create_namespaces(&["team", "central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_sync("team", "sync", spec).await?;
    fixture.wait_reason("team", "sync", "Synced", SOON).await?;
    Ok(fixture)
}

/// Fails unless the copy was deleted once, after a read of the source that returned 404.
fn ensure_deleted_after_live_read(events: &[Event]) -> Result<()> {
    let writes = copy_writes(events);
    let [delete] = &writes[..] else { anyhow::bail!("{}", lines(&writes)) };
    ensure!(delete.verb == "delete" && delete.succeeded(), "{delete}");
    let is_live_read = |event: &&Event| {
        let is_source = event.namespace() == "central" && event.name() == "shared";
        event.verb == "get" && is_source && event.response_status.code == 404
    };
    let deletion = &delete.request_received_timestamp.0;
    let mut live_reads = requests_by_operator(events).filter(is_live_read);
    let was_read_before = live_reads.any(|event| event.stage_timestamp.0 < *deletion);
    let all: Vec<_> = requests_by_operator(events).collect();
    ensure!(was_read_before, "no live read of the source before the deletion:\n{}", lines(&all));
    Ok(())
}

#[tokio::test]
async fn the_copy_is_deleted_after_a_live_read_and_recreated() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster).await?;
    let mark = cluster.audit().mark().await?;
    fixture.delete_config_map("central", "shared").await?;
    fixture.wait_no_config_map("app", "shared", propagation()).await?;
    fixture.wait_reason("team", "sync", "SourceNotFound", SOON).await?;
    ensure_deleted_after_live_read(&cluster.audit().since(mark).await?)?;
    fixture.create_config_map("central", "shared", &[("a", "2")]).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    fixture.wait_reason("team", "sync", "Synced", SOON).await?;

    let mark = cluster.audit().mark().await?;
    fixture.delete_namespace("central").await?;
    fixture.wait_no_config_map("central", "shared", SOON).await?;
    fixture.wait_no_config_map("app", "shared", propagation()).await?;
    fixture.wait_reason("team", "sync", "SourceNotFound", SOON).await?;
    ensure_deleted_after_live_read(&cluster.audit().since(mark).await?)?;
    fixture.wait_no_namespace("central", SOON).await?;
    fixture.create_namespaces(&["central"]).await?;
    create_in_recreated_namespace(&fixture, "central", "shared", &[("a", "3")]).await?;
    fixture.wait_data("app", "shared", &[("a", "3")], propagation()).await?;
    fixture.wait_reason("team", "sync", "Synced", SOON).await?;
    fixture.delete_sync("team", "sync").await?;
    fixture.wait_no_sync("team", "sync", SOON).await?;
    ensure!(fixture.config_map("app", "shared").await?.is_none(), "the copy was not deleted");
    Ok(())
}

#[tokio::test]
async fn a_source_recreated_before_the_live_read_keeps_its_copy() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster).await?;
    let copy = fixture.config_map("app", "shared").await?.context("no copy")?;
    let mark = cluster.audit().mark().await?;
    // For less than the renew deadline of the Lease, so the replica keeps leading.
    cluster.replicas[0].process().freeze()?;
    fixture.delete_config_map("central", "shared").await?;
    fixture.create_config_map("central", "shared", &[("a", "2")]).await?;
    cluster.replicas[0].process().thaw()?;
    let followed = fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    ensure!(followed.metadata.uid == copy.metadata.uid, "the copy was recreated");
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes(&events);
    ensure!(writes.iter().all(|event| event.verb == "patch"), "{}", lines(&writes));
    Ok(())
}

#[tokio::test]
async fn a_deletion_while_the_operator_is_down_is_handled() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster).await?;
    cluster.replica()?.terminate_and_wait().await?;
    fixture.delete_config_map("central", "shared").await?;
    let mark = cluster.audit().mark().await?;
    cluster.replica()?.restart()?;
    fixture.wait_no_config_map("app", "shared", SOON).await?;
    fixture.wait_reason("team", "sync", "SourceNotFound", SOON).await?;
    ensure_deleted_after_live_read(&cluster.audit().since(mark).await?)?;
    // A foreign ConfigMap at the destination is not touched.
    fixture.create_config_map("app", "shared", &[("a", "theirs")]).await?;
    fixture.patch_sync("team", "sync", &json!({"spec": {"deletionPolicy": "Retain"}})).await?;
    fixture.wait_reason("team", "sync", "SourceNotFound", SOON).await?;
    fixture.wait_data("app", "shared", &[("a", "theirs")], SOON).await?;
    Ok(())
}
