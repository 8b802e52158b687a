//! What looks like drift, or is, while the operator runs: each version that metadata cannot tell
//! about is read once, and only what differs is written.
//!
//! An operator that watches may look between any two edits, or after both. So that its calls can be
//! counted to the last one, it either looks after each edit, which is waited for, or is held still
//! from before the first until after the last.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use testbed::audit::Mark;

use crate::false_drift::Cost;
use crate::false_drift::ensure_read_once;
use crate::false_drift::rounds;
use crate::false_drift::rows::Row;
use crate::false_drift::rows::UPDATERS;
use crate::false_drift::settle;

const LIVE: [Row; 3] = [Row::ValueChanged, Row::EditedAndBack, Row::ElevenUpdaters];

/// The name by which [`Cost`] calls the copy as it is now.
async fn version(fixture: &Fixture, row: Row) -> Result<String> {
    let copy = fixture.config_map("app", row.name()).await?.context("no copy")?;
    let version = copy.metadata.resource_version.context("no version")?;
    Ok(format!("app/{}@\"{version}\"", row.name()))
}

/// Waits until all that happened since `before` rounds had ended was looked at, and counts what
/// that cost.
async fn cost(world: &OperatorCluster, row: Row, mark: Mark, before: f64) -> Result<Cost> {
    settle(world, before + 1.0, &LIVE).await?;
    Ok(Cost::of(&world.audit().since(mark).await?, row))
}

/// One value is edited, and the operator looks: the edit is read, and repaired.
async fn edited(world: &OperatorCluster, fixture: &Fixture) -> Result<Cost> {
    let row = Row::ValueChanged;
    let (before, _) = rounds(world).await?;
    let mark = world.audit().mark().await?;
    row.disturb(fixture).await?;
    let cost = cost(world, row, mark, before).await?;
    ensure!(cost.reads() == (1, 1), "the copy, and the source: {cost:?}");
    ensure!(cost.writes == ["patch"], "{cost:?}");
    Ok(cost)
}

/// One value is edited and edited back before the operator looks: the last version is read, and
/// that is all.
async fn edited_and_back(world: &mut OperatorCluster, fixture: &Fixture) -> Result<Cost> {
    let row = Row::EditedAndBack;
    let (before, _) = rounds(world).await?;
    let mark = world.audit().mark().await?;
    world.replica()?.process().freeze()?;
    row.disturb(fixture).await?;
    let last = version(fixture, row).await?;
    world.replica()?.process().thaw()?;
    let cost = cost(world, row, mark, before).await?;
    ensure!(cost.reads == [last.clone()], "only {last}: {cost:?}");
    ensure!(cost.writes.is_empty(), "{cost:?}");
    Ok(cost)
}

/// Eleven updaters, and the operator looks after each: as long as the API server tells it who owns
/// what, there is nothing to read.
async fn eleven_updaters(world: &OperatorCluster, fixture: &Fixture) -> Result<Cost> {
    let row = Row::ElevenUpdaters;
    let mark = world.audit().mark().await?;
    let mut suspect = Vec::new();
    for number in 0..UPDATERS {
        let (before, _) = rounds(world).await?;
        let since = world.audit().mark().await?;
        row.update(fixture, number).await?;
        if !row.managers(fixture).await?.iter().any(|manager| manager == "configmapsync") {
            suspect.push(version(fixture, row).await?);
        }
        cost(world, row, since, before).await?;
    }
    let cost = Cost::of(&world.audit().since(mark).await?, row);
    ensure!(!suspect.is_empty() && suspect.len() < UPDATERS, "{suspect:?}");
    ensure!(cost.reads == suspect, "each of {suspect:?}, once: {cost:?}");
    ensure!(cost.writes.is_empty(), "{cost:?}");
    Ok(cost)
}

#[tokio::test]
async fn under_a_running_operator_only_what_differs_is_written() -> Result<()> {
    let mut world = OperatorCluster::start_with(1, Options::patient()).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    for row in LIVE {
        row.prepare(&fixture).await?;
        fixture.wait_reason("central", row.name(), "Synced", SOON).await?;
    }
    settle(&world, 1.0, &LIVE).await?;
    let costs = [
        edited(&world, &fixture).await?,
        edited_and_back(&mut world, &fixture).await?,
        eleven_updaters(&world, &fixture).await?,
    ];
    eprintln!("| what happened to the copy under a running operator | cost |");
    eprintln!("|---|---|");
    for (row, cost) in LIVE.into_iter().zip(&costs) {
        eprintln!("| {} | {} |", row.title(), cost.cell());
        ensure_read_once(row, &[cost])?;
        row.ensure_in_order(&fixture).await?;
    }
    Ok(())
}
