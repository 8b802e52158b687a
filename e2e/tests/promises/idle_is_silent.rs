//! While nothing changes, no ConfigMap is read and nothing is written, also after a restart.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::data_reads_by_operator;
use harness::audit_queries::writes_by_operator;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;
use testbed::audit::Event;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::metrics_page::Metrics;

const SYNCS: u8 = 50;
const QUIET: Duration = Duration::from_mins(1);

/// Creates the ConfigMapSyncs, and waits until all are `Synced`.
async fn create_synced(cluster: &OperatorCluster) -> Result<()> {
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    for number in 0..SYNCS {
        let name = format!("shared-{number}");
        fixture.create_config_map("central", &name, &[("a", "1"), ("b", "2")]).await?;
        fixture.create_sync("central", &name, one_to_one("central", &name, "app")).await?;
    }
    for number in 0..SYNCS {
        fixture.wait_reason("central", &format!("shared-{number}"), "Synced", SOON).await?;
    }
    Ok(())
}

/// The number of successful reconciles of the replica.
async fn reconciles(cluster: &OperatorCluster) -> Result<f64> {
    let replica = cluster.replicas.first().context("no replica")?;
    let result = [("result", "success")];
    Metrics::of(replica).await?.value("controller_runtime_reconcile_total", &result)
}

async fn wait_reconciles(cluster: &OperatorCluster, count: f64) -> Result<()> {
    until(format!("{count} reconciles have succeeded"), SOON, || async {
        let ended = reconciles(cluster).await?;
        Ok(Seen::from_bool(ended >= count, || format!("{ended} reconciles")))
    })
    .await
}

/// Fails unless there were no writes and exactly this number of reads of ConfigMaps.
fn ensure_cost(events: &[Event], wanted_reads: usize) -> Result<()> {
    let (writes, reads) = (writes_by_operator(events), data_reads_by_operator(events));
    ensure!(writes.is_empty(), "{} writes:\n{}", writes.len(), lines(&writes));
    ensure!(reads.len() == wanted_reads, "{} reads:\n{}", reads.len(), lines(&reads));
    Ok(())
}

#[tokio::test]
async fn fifty_synced_copies_cost_nothing_for_a_minute() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    create_synced(&cluster).await?;
    let mark = cluster.audit().mark().await?;
    // The guarantee is about time: there is no state to wait for.
    tokio::time::sleep(QUIET).await;
    ensure_cost(&cluster.audit().since(mark).await?, 0)
}

#[tokio::test]
async fn a_restart_with_fifty_synced_copies_costs_nothing() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    create_synced(&cluster).await?;
    let mark = cluster.audit().mark().await?;
    cluster.replica()?.terminate_and_restart().await?;
    cluster.wait_leader().await?;
    wait_reconciles(&cluster, f64::from(SYNCS)).await?;
    ensure_cost(&cluster.audit().since(mark).await?, 0)
}

#[tokio::test]
async fn labelling_the_source_costs_one_read_and_no_write() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;

    let mark = cluster.audit().mark().await?;
    // Reconciles of one ConfigMapSync are sequential: at the second read, the first has ended.
    for edit in 1..=2 {
        let label = json!({"metadata": {"labels": {"edit": edit.to_string()}}});
        fixture.patch_config_map("central", "shared", &label).await?;
        until(format!("the source is read after edit {edit}"), SOON, || async {
            let reads = data_reads_by_operator(&cluster.audit().since(mark).await?).len();
            Ok(Seen::from_bool(reads >= edit, || format!("{reads} reads")))
        })
        .await?;
    }
    ensure_cost(&cluster.audit().since(mark).await?, 2)
}
