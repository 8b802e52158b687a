//! Suspected drift while the operator runs: each version whose metadata does not prove that it is
//! unchanged is read once, and only actual drift is written.
//!
//! A running operator may reconcile between two edits or after both. So that its calls can be
//! counted exactly, the tests either wait for the reconcile of each edit, or freeze the operator
//! until the last.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use testbed::audit::Mark;

use crate::false_drift::cost::Cost;
use crate::false_drift::cost::ensure_read_once;
use crate::false_drift::cost::reconciles;
use crate::false_drift::cost::settle;
use crate::false_drift::rows::Row;
use crate::false_drift::rows::UPDATERS;

const LIVE: [Row; 3] = [Row::ValueChanged, Row::EditedAndBack, Row::ElevenUpdaters];

/// The current version of the copy, in the notation of [`Cost`].
async fn version(fixture: &Fixture, row: Row) -> Result<String> {
    let copy = fixture.config_map("app", row.name()).await?.context("no copy")?;
    let version = copy.metadata.resource_version.context("no version")?;
    Ok(format!("app/{}@\"{version}\"", row.name()))
}

/// Waits for a reconcile after the first `before` ones, and returns the cost since `mark`.
async fn cost(cluster: &OperatorCluster, row: Row, mark: Mark, before: f64) -> Result<Cost> {
    settle(cluster, before + 1.0, &LIVE).await?;
    Ok(Cost::of(&cluster.audit().since(mark).await?, row))
}

/// A value is edited: the copy is read and repaired.
async fn edited(cluster: &OperatorCluster, fixture: &Fixture) -> Result<Cost> {
    let row = Row::ValueChanged;
    let (before, _) = reconciles(cluster).await?;
    let mark = cluster.audit().mark().await?;
    row.disturb(fixture).await?;
    let cost = cost(cluster, row, mark, before).await?;
    ensure!(
        cost.reads() == (1, 1),
        "expected one read of the copy and one of the source: {cost:?}"
    );
    ensure!(cost.writes == ["patch"], "{cost:?}");
    Ok(cost)
}

/// A value is edited and edited back while the operator is frozen: only the last version is read.
async fn edited_and_back(cluster: &mut OperatorCluster, fixture: &Fixture) -> Result<Cost> {
    let row = Row::EditedAndBack;
    let (before, _) = reconciles(cluster).await?;
    let mark = cluster.audit().mark().await?;
    cluster.replica()?.process().freeze()?;
    row.disturb(fixture).await?;
    let last = version(fixture, row).await?;
    cluster.replica()?.process().thaw()?;
    let cost = cost(cluster, row, mark, before).await?;
    ensure!(cost.reads == [last.clone()], "expected one read, of {last}: {cost:?}");
    ensure!(cost.writes.is_empty(), "{cost:?}");
    Ok(cost)
}

/// Eleven field managers update the copy, with a reconcile after each: nothing is read as long as
/// managedFields list the operator as an owner.
async fn eleven_updaters(cluster: &OperatorCluster, fixture: &Fixture) -> Result<Cost> {
    let row = Row::ElevenUpdaters;
    let mark = cluster.audit().mark().await?;
    let mut suspect = Vec::new();
    for number in 0..UPDATERS {
        let (before, _) = reconciles(cluster).await?;
        let since = cluster.audit().mark().await?;
        row.update(fixture, number).await?;
        if !row.managers(fixture).await?.iter().any(|manager| manager == "configmapsync") {
            suspect.push(version(fixture, row).await?);
        }
        cost(cluster, row, since, before).await?;
    }
    let cost = Cost::of(&cluster.audit().since(mark).await?, row);
    ensure!(!suspect.is_empty() && suspect.len() < UPDATERS, "{suspect:?}");
    ensure!(cost.reads == suspect, "expected one read of each of {suspect:?}: {cost:?}");
    ensure!(cost.writes.is_empty(), "{cost:?}");
    Ok(cost)
}

#[tokio::test]
async fn a_running_operator_writes_only_actual_drift() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(1, Options::patient()).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    for row in LIVE {
        row.prepare(&fixture).await?;
        fixture.wait_reason("central", row.name(), "Synced", SOON).await?;
    }
    settle(&cluster, 1.0, &LIVE).await?;
    let costs = [
        edited(&cluster, &fixture).await?,
        edited_and_back(&mut cluster, &fixture).await?,
        eleven_updaters(&cluster, &fixture).await?,
    ];
    eprintln!("| change of the copy while the operator runs | cost |");
    eprintln!("|---|---|");
    for (row, cost) in LIVE.into_iter().zip(&costs) {
        eprintln!("| {} | {} |", row.title(), cost.cell());
        ensure_read_once(row, &[cost])?;
        row.ensure_in_sync(&fixture).await?;
    }
    Ok(())
}
