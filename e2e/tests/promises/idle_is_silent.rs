//! Promise: when nothing has changed, nothing is read and nothing is written, also after a restart.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use e2e::audit::data_reads_by_operator;
use e2e::audit::lines;
use e2e::audit::writes_by_operator;
use e2e::fixture::Fixture;
use e2e::fixture::SOON;
use e2e::fixture::one_to_one;
use e2e::world::World;
use serde_json::json;

const SYNCS: usize = 50;
/// The promise speaks of a minute.
const QUIET: Duration = Duration::from_mins(1);

async fn fifty_in_order(world: &World) -> Result<Fixture> {
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    for number in 0..SYNCS {
        let name = format!("shared-{number}");
        fixture.create_config_map("central", &name, &[("a", "1"), ("b", "2")]).await?;
        fixture.create_sync("central", &name, one_to_one("central", &name, "app")).await?;
    }
    for number in 0..SYNCS {
        fixture.wait_reason("central", &format!("shared-{number}"), "Synced", SOON).await?;
    }
    Ok(fixture)
}

#[tokio::test]
async fn a_minute_with_fifty_syncs_in_order_costs_nothing() -> Result<()> {
    let world = World::start(1).await?;
    fifty_in_order(&world).await?;
    let mark = world.audit().mark().await?;
    // The one wait for a time: the promise is about time.
    tokio::time::sleep(QUIET).await;
    let events = world.audit().since(mark).await?;
    let (writes, reads) = (writes_by_operator(&events), data_reads_by_operator(&events));
    ensure!(writes.is_empty(), "{} writes:\n{}", writes.len(), lines(&writes));
    ensure!(reads.is_empty(), "{} reads:\n{}", reads.len(), lines(&reads));
    Ok(())
}

#[tokio::test]
async fn a_restart_with_fifty_syncs_in_order_costs_nothing() -> Result<()> {
    let mut world = World::start(1).await?;
    let fixture = fifty_in_order(&world).await?;
    let mark = world.audit().mark().await?;
    world.replica()?.terminate_and_restart().await?;
    world.wait_leader().await?;

    // All are looked at when the lists are complete; one that comes later is looked at last.
    fixture.create_config_map("central", "later", &[("a", "1")]).await?;
    fixture.create_sync("central", "later", one_to_one("central", "later", "app")).await?;
    fixture.wait_reason("central", "later", "Synced", SOON).await?;

    let events = world.audit().since(mark).await?;
    let (mut writes, mut reads) = (writes_by_operator(&events), data_reads_by_operator(&events));
    writes.retain(|event| event.name() != "later");
    reads.retain(|event| event.name() != "later");
    ensure!(writes.is_empty(), "{} writes:\n{}", writes.len(), lines(&writes));
    ensure!(reads.is_empty(), "{} reads:\n{}", reads.len(), lines(&reads));
    Ok(())
}

#[tokio::test]
async fn an_edit_of_the_sources_labels_costs_one_read_and_no_write() -> Result<()> {
    let world = World::start(1).await?;
    let fixture = world.fixture();
    fixture.one_copy(&[("a", "1")]).await?;

    let mark = world.audit().mark().await?;
    let label = json!({"metadata": {"labels": {"team": "a"}}});
    fixture.patch_config_map("central", "shared", &label).await?;
    fixture.create_config_map("central", "later", &[("a", "1")]).await?;
    fixture.create_sync("central", "later", one_to_one("central", "later", "app")).await?;
    fixture.wait_reason("central", "later", "Synced", SOON).await?;

    let events = world.audit().since(mark).await?;
    let (mut writes, mut reads) = (writes_by_operator(&events), data_reads_by_operator(&events));
    writes.retain(|event| event.name() != "later");
    reads.retain(|event| event.name() != "later");
    ensure!(writes.is_empty(), "{}", lines(&writes));
    ensure!(reads.len() == 1, "{} reads:\n{}", reads.len(), lines(&reads));
    Ok(())
}
