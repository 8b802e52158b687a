//! Promise: what only looks like drift costs one read per version and process, and no write; what
//! is drift costs one repair, and no other.
//!
//! Printed as a table: whatever happened to a copy while no operator ran, what three rounds, a
//! restart and one more round cost.

mod live;
mod rows;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::copy_writes_in;
use harness::audit_queries::data_reads_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;
use testbed::audit::Event;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

use crate::false_drift::rows::ROWS;
use crate::false_drift::rows::Row;
use crate::support::metrics_page::Metrics;

/// How long nothing may happen before a round counts as over: the watch shows our own writes
/// within milliseconds.
const QUIET: Duration = Duration::from_secs(1);

/// Rounds that have ended, and whether more are to come.
async fn rounds(world: &OperatorCluster) -> Result<(f64, bool)> {
    let metrics = Metrics::of(world.replicas.first().context("no replica")?).await?;
    let ended = metrics.value("controller_runtime_reconcile_time_seconds_count", &[])?;
    let waiting = metrics.value("workqueue_depth", &[])?;
    let working = metrics.value("controller_runtime_active_workers", &[])?;
    Ok((ended, waiting + working > 0.5))
}

/// Waits until `count` rounds have ended, and nothing more happens.
async fn settle(world: &OperatorCluster, count: f64, rows: &[Row]) -> Result<f64> {
    until(format!("{count} rounds have ended"), SOON, || async {
        let (ended, busy) = rounds(world).await?;
        Ok(Seen::from_bool(ended >= count && !busy, || format!("{ended}, busy: {busy}")))
    })
    .await?;
    let fixture = world.fixture();
    for row in rows {
        fixture.wait_reason("central", row.name(), "Synced", SOON).await?;
    }
    until("all is quiet", SOON, || async {
        let (before, _) = rounds(world).await?;
        let quiet = stays("no round begins", QUIET, || async {
            let (now, busy) = rounds(world).await?;
            Ok(Seen::from_bool(now <= before && !busy, || format!("{now} rounds")))
        });
        Ok(match quiet.await {
            Ok(()) => Seen::Done(before),
            Err(error) => Seen::NotYet(error.to_string()),
        })
    })
    .await
}

/// Lets every sync be looked at once more, with nothing changed.
async fn one_more_round(world: &OperatorCluster, fixture: &Fixture, number: usize) -> Result<()> {
    let (before, _) = rounds(world).await?;
    for row in ROWS {
        let nudge = json!({"metadata": {"annotations": {"round": number.to_string()}}});
        fixture.patch_sync("central", row.name(), &nudge).await?;
    }
    settle(world, before + f64::from(u32::try_from(ROWS.len())?), &ROWS).await?;
    Ok(())
}

/// What one phase cost one row.
#[derive(Clone, Debug, Default)]
struct Cost {
    /// Which versions were read, of the source and of the copy.
    reads: Vec<String>,
    /// Verbs of what was written.
    writes: Vec<String>,
}

impl Cost {
    fn of(events: &[Event], row: Row) -> Self {
        let reads = data_reads_by_operator(events).into_iter();
        let version = |event: &Event| {
            let metadata = event.response_object.as_ref().map(|object| &object["metadata"]);
            let metadata = metadata.cloned().unwrap_or_default();
            format!("{}/{}@{}", event.namespace(), event.name(), metadata["resourceVersion"])
        };
        let writes = copy_writes_in(events, "app").into_iter();
        Self {
            reads: reads.filter(|event| event.name() == row.name()).map(version).collect(),
            writes: writes
                .filter(|event| event.name() == row.name())
                .map(|event| event.verb.clone())
                .collect(),
        }
    }

    /// How often the copy was read, and the source.
    fn reads(&self) -> (usize, usize) {
        let of_copy = self.reads.iter().filter(|read| read.starts_with("app/")).count();
        (of_copy, self.reads.len() - of_copy)
    }

    /// Reads of the copy, reads of the source, and what was written.
    fn cell(&self) -> String {
        let (of_copy, of_source) = self.reads();
        let writes = if self.writes.is_empty() { "0".into() } else { self.writes.join("+") };
        format!("{of_copy} + {of_source}, {writes}")
    }
}

/// One process, phase by phase, for all rows.
type Costs = Vec<Vec<Cost>>;

fn print(titles: &[&str], costs: &Costs) {
    eprintln!("| what happened to the copy | {} |", titles.join(" | "));
    eprintln!("|---|{}", "---|".repeat(titles.len()));
    for (number, row) in ROWS.iter().enumerate() {
        let cells: Vec<_> = costs.iter().map(|phase| phase[number].cell()).collect();
        eprintln!("| {} | {} |", row.title(), cells.join(" | "));
    }
}

/// No version is read twice by one process.
fn ensure_read_once(row: Row, process: &[&Cost]) -> Result<()> {
    let reads: Vec<_> = process.iter().flat_map(|cost| &cost.reads).collect();
    let distinct: BTreeSet<_> = reads.iter().collect();
    ensure!(distinct.len() == reads.len(), "{}: read more than once: {reads:?}", row.title());
    Ok(())
}

#[tokio::test]
async fn what_looks_like_drift_is_read_once_and_never_written_twice() -> Result<()> {
    let mut world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    for row in ROWS {
        row.prepare(&fixture).await?;
    }
    for row in ROWS {
        fixture.wait_reason("central", row.name(), "Synced", SOON).await?;
    }
    world.replica()?.terminate_and_wait().await?;
    for row in ROWS {
        row.disturb(&fixture).await?;
    }

    let mut costs = Costs::new();
    let all = f64::from(u32::try_from(ROWS.len())?);
    for phase in 0..5 {
        let mark = world.audit().mark().await?;
        match phase {
            0 => world.replica()?.restart()?,
            3 => world.replica()?.terminate_and_restart().await?,
            _ => one_more_round(&world, &fixture, phase).await?,
        }
        if phase % 3 == 0 {
            world.wait_leader().await?;
            settle(&world, all, &ROWS).await?;
        }
        let events = world.audit().since(mark).await?;
        costs.push(ROWS.iter().map(|row| Cost::of(&events, *row)).collect());
        let writes: Vec<_> = copy_writes_in(&events, "app");
        ensure!(phase == 0 || writes.is_empty(), "phase {phase}: {}", lines(&writes));
    }
    print(&["start", "2nd round", "3rd round", "restart", "one more"], &costs);
    for (number, row) in ROWS.iter().enumerate() {
        let of_row: Vec<_> = costs.iter().map(|phase| &phase[number]).collect();
        ensure_read_once(*row, &of_row[..3])?;
        ensure_read_once(*row, &of_row[3..])?;
        let of_source: usize = of_row.iter().map(|cost| cost.reads().1).sum();
        let needed = usize::from(row.needs_source());
        ensure!(of_source == needed, "{}: {of_source} reads of the source", row.title());
        let writes = &of_row[0].writes;
        ensure!(*writes == row.repair(), "{}: written by {writes:?}", row.title());
        row.ensure_in_order(&fixture).await?;
    }
    Ok(())
}
