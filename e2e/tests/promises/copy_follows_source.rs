//! A change of the source reaches its copy, with one write for each change.

use anyhow::Result;
use anyhow::ensure;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;

use crate::support::audit::copy_writes;
use crate::support::scale::propagation;

async fn create_copy(cluster: &OperatorCluster) -> Result<Fixture> {
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1"), ("b", "2")]).await?;
    fixture.wait_data("app", "shared", &[("a", "1"), ("b", "2")], propagation()).await?;
    Ok(fixture)
}

#[tokio::test]
async fn changed_added_and_removed_keys_are_copied() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster).await?;

    let mark = cluster.audit().mark().await?;
    let edit = json!({"data": {"a": "one", "b": null, "c": "3"}});
    fixture.patch_config_map("central", "shared", &edit).await?;
    fixture.wait_data("app", "shared", &[("a", "one"), ("c", "3")], propagation()).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;

    let events = cluster.audit().since(mark).await?;
    let copies = copy_writes(&events);
    ensure!(copies.len() == 1, "expected one write of the copy for one edit: {copies:#?}");
    Ok(())
}
