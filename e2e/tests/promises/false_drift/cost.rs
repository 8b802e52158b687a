//! What the operator read and wrote for a row.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::copy_writes_in;
use harness::audit_queries::data_reads_by_operator;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use testbed::audit::Event;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

use crate::false_drift::rows::Row;
use crate::support::metrics_page::Metrics;

/// Reconciles are over after this time without a new one: the watch delivers our own writes within
/// milliseconds.
const QUIET: Duration = Duration::from_secs(1);

/// The number of completed reconciles, and whether more are queued or running.
pub async fn reconciles(cluster: &OperatorCluster) -> Result<(f64, bool)> {
    let metrics = Metrics::of(cluster.replicas.first().context("no replica")?).await?;
    let ended = metrics.value("controller_runtime_reconcile_time_seconds_count", &[])?;
    let waiting = metrics.value("workqueue_depth", &[])?;
    let working = metrics.value("controller_runtime_active_workers", &[])?;
    Ok((ended, waiting + working > 0.5))
}

/// Waits until `count` reconciles are completed, the rows are `Synced`, and no further reconcile
/// begins. Returns the number of completed reconciles.
pub async fn settle(cluster: &OperatorCluster, count: f64, rows: &[Row]) -> Result<f64> {
    until(format!("{count} reconciles have completed"), SOON, || async {
        let (ended, busy) = reconciles(cluster).await?;
        Ok(Seen::from_bool(ended >= count && !busy, || {
            format!("{ended} completed, more pending: {busy}")
        }))
    })
    .await?;
    let fixture = cluster.fixture();
    for row in rows {
        fixture.wait_reason("central", row.name(), "Synced", SOON).await?;
    }
    until("no further reconcile starts", SOON, || async {
        let (before, _) = reconciles(cluster).await?;
        let quiet = stays("no reconcile begins", QUIET, || async {
            let (now, busy) = reconciles(cluster).await?;
            Ok(Seen::from_bool(now <= before && !busy, || {
                format!("{now} completed, more pending: {busy}")
            }))
        });
        Ok(match quiet.await {
            Ok(()) => Seen::Done(before),
            Err(error) => Seen::NotYet(error.to_string()),
        })
    })
    .await
}

/// The cost of one phase for one row.
#[derive(Clone, Debug, Default)]
pub struct Cost {
    /// The versions of the source and of the copy that were read.
    pub reads: Vec<String>,
    /// The verbs of the writes.
    pub writes: Vec<String>,
}

impl Cost {
    pub fn of(events: &[Event], row: Row) -> Self {
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

    /// The number of reads of the copy, and of the source.
    pub fn reads(&self) -> (usize, usize) {
        let of_copy = self.reads.iter().filter(|read| read.starts_with("app/")).count();
        (of_copy, self.reads.len() - of_copy)
    }

    /// A cell of the table: reads of the copy + reads of the source, writes.
    pub fn cell(&self) -> String {
        let (of_copy, of_source) = self.reads();
        let writes = if self.writes.is_empty() { "0".into() } else { self.writes.join("+") };
        format!("{of_copy} + {of_source}, {writes}")
    }
}

/// Fails if a process read a version twice.
pub fn ensure_read_once(row: Row, process: &[&Cost]) -> Result<()> {
    let reads: Vec<_> = process.iter().flat_map(|cost| &cost.reads).collect();
    let distinct: BTreeSet<_> = reads.iter().collect();
    ensure!(distinct.len() == reads.len(), "{}: read more than once: {reads:?}", row.title());
    Ok(())
}
