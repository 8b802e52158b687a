//! A copy whose metadata suggests drift costs one read per version and process, and no write;
//! actual drift costs one repair.
//!
//! The test prints a table: for each change of a copy while the operator was down, the cost of
//! three reconciles, a restart and one more reconcile.

mod cost;
mod live;
mod rows;

use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::copy_writes_in;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;
use testbed::audit::lines;

use crate::false_drift::cost::Cost;
use crate::false_drift::cost::ensure_read_once;
use crate::false_drift::cost::reconciles;
use crate::false_drift::cost::settle;
use crate::false_drift::rows::ROWS;

/// Has every ConfigMapSync reconciled once more, with nothing changed.
async fn reconcile_again(
    cluster: &OperatorCluster,
    fixture: &Fixture,
    number: usize,
) -> Result<()> {
    let (before, _) = reconciles(cluster).await?;
    for row in ROWS {
        let nudge = json!({"metadata": {"annotations": {"reconcile": number.to_string()}}});
        fixture.patch_sync("central", row.name(), &nudge).await?;
    }
    settle(cluster, before + f64::from(u32::try_from(ROWS.len())?), &ROWS).await?;
    Ok(())
}

/// The costs of all rows, phase by phase.
type Costs = Vec<Vec<Cost>>;

fn print(titles: &[&str], costs: &Costs) {
    eprintln!("| change of the copy | {} |", titles.join(" | "));
    eprintln!("|---|{}", "---|".repeat(titles.len()));
    for (number, row) in ROWS.iter().enumerate() {
        let cells: Vec<_> = costs.iter().map(|phase| phase[number].cell()).collect();
        eprintln!("| {} | {} |", row.title(), cells.join(" | "));
    }
}

#[tokio::test]
async fn suspected_drift_is_read_once_and_repaired_once() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    for row in ROWS {
        row.prepare(&fixture).await?;
    }
    for row in ROWS {
        fixture.wait_reason("central", row.name(), "Synced", SOON).await?;
    }
    cluster.replica()?.terminate_and_wait().await?;
    for row in ROWS {
        row.disturb(&fixture).await?;
    }

    let mut costs = Costs::new();
    let all = f64::from(u32::try_from(ROWS.len())?);
    for phase in 0..5 {
        let mark = cluster.audit().mark().await?;
        match phase {
            0 => cluster.replica()?.restart()?,
            3 => cluster.replica()?.terminate_and_restart().await?,
            _ => reconcile_again(&cluster, &fixture, phase).await?,
        }
        if phase % 3 == 0 {
            cluster.wait_leader().await?;
            settle(&cluster, all, &ROWS).await?;
        }
        let events = cluster.audit().since(mark).await?;
        costs.push(ROWS.iter().map(|row| Cost::of(&events, *row)).collect());
        let writes: Vec<_> = copy_writes_in(&events, "app");
        ensure!(phase == 0 || writes.is_empty(), "phase {phase}: {}", lines(&writes));
    }
    print(&["start", "2nd reconcile", "3rd reconcile", "restart", "one more"], &costs);
    for (number, row) in ROWS.iter().enumerate() {
        let of_row: Vec<_> = costs.iter().map(|phase| &phase[number]).collect();
        ensure_read_once(*row, &of_row[..3])?;
        ensure_read_once(*row, &of_row[3..])?;
        let of_source: usize = of_row.iter().map(|cost| cost.reads().1).sum();
        let needed = usize::from(row.needs_source());
        ensure!(of_source == needed, "{}: {of_source} reads of the source", row.title());
        let writes = &of_row[0].writes;
        ensure!(*writes == row.repair(), "{}: writes {writes:?}", row.title());
        row.ensure_in_sync(&fixture).await?;
    }
    Ok(())
}
