//! A suspended ConfigMapSync writes nothing and keeps its copies. When it is deleted, they are
//! deleted.

use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::writes_by_operator;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;
use testbed::audit::lines;

#[tokio::test]
async fn a_suspended_sync_writes_nothing_until_resumed() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    fixture.patch_sync("central", "sync", &json!({"spec": {"suspend": true}})).await?;
    fixture.wait_reason("central", "sync", "Suspended", SOON).await?;

    let mark = cluster.audit().mark().await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.patch_config_map("app", "shared", &json!({"data": {"a": "edited"}})).await?;
    // Reconciles start in the order of their events: once a later ConfigMapSync is Synced, the
    // suspended one was reconciled too.
    fixture.create_config_map("central", "later", &[("b", "1")]).await?;
    fixture.create_sync("central", "later", one_to_one("central", "later", "app")).await?;
    fixture.wait_reason("central", "later", "Synced", SOON).await?;
    fixture.wait_data("app", "shared", &[("a", "edited")], SOON).await?;
    let events = cluster.audit().since(mark).await?;
    let mut writes = writes_by_operator(&events);
    writes.retain(|event| event.name() == "shared" || event.name() == "sync");
    ensure!(writes.is_empty(), "{}", lines(&writes));

    fixture.patch_sync("central", "sync", &json!({"spec": {"suspend": false}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], SOON).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn deleting_a_suspended_sync_deletes_its_copy() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    fixture.patch_sync("central", "sync", &json!({"spec": {"suspend": true}})).await?;
    fixture.wait_reason("central", "sync", "Suspended", SOON).await?;

    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    ensure!(fixture.config_map("app", "shared").await?.is_none(), "the copy was not deleted");
    Ok(())
}
