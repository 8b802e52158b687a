//! Promise: a copy follows its source: one write for one edit.

use anyhow::Result;
use anyhow::ensure;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;

use crate::support::audit::copy_writes;
use crate::support::scale::propagation;

async fn synced(world: &OperatorCluster) -> Result<Fixture> {
    let fixture = world.fixture();
    fixture.one_copy(&[("a", "1"), ("b", "2")]).await?;
    fixture.wait_data("app", "shared", &[("a", "1"), ("b", "2")], propagation()).await?;
    Ok(fixture)
}

#[tokio::test]
async fn a_value_changed_a_key_added_and_a_key_removed_are_followed() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = synced(&world).await?;

    let mark = world.audit().mark().await?;
    let edit = json!({"data": {"a": "one", "b": null, "c": "3"}});
    fixture.patch_config_map("central", "shared", &edit).await?;
    fixture.wait_data("app", "shared", &[("a", "one"), ("c", "3")], propagation()).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;

    let events = world.audit().since(mark).await?;
    let copies = copy_writes(&events);
    ensure!(copies.len() == 1, "one edit is one write of the copy: {copies:#?}");
    Ok(())
}
