//! Promise: when nothing has changed, nothing is read and nothing is written, also after a restart.

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
/// The promise speaks of a minute.
const QUIET: Duration = Duration::from_mins(1);

async fn fifty_in_order(world: &OperatorCluster) -> Result<()> {
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
    Ok(())
}

/// How many rounds the replica has ended.
async fn rounds(world: &OperatorCluster) -> Result<f64> {
    let replica = world.replicas.first().context("a world without replicas")?;
    let result = [("result", "success")];
    Metrics::of(replica).await?.value("controller_runtime_reconcile_total", &result)
}

async fn wait_rounds(world: &OperatorCluster, count: f64) -> Result<()> {
    until(format!("{count} rounds have ended"), SOON, || async {
        let ended = rounds(world).await?;
        Ok(Seen::from_bool(ended >= count, || format!("{ended} rounds")))
    })
    .await
}

/// Nothing was written, and the data of so many ConfigMaps was read.
fn ensure_cost(events: &[Event], wanted_reads: usize) -> Result<()> {
    let (writes, reads) = (writes_by_operator(events), data_reads_by_operator(events));
    ensure!(writes.is_empty(), "{} writes:\n{}", writes.len(), lines(&writes));
    ensure!(reads.len() == wanted_reads, "{} reads:\n{}", reads.len(), lines(&reads));
    Ok(())
}

#[tokio::test]
async fn a_minute_with_fifty_syncs_in_order_costs_nothing() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    fifty_in_order(&world).await?;
    let mark = world.audit().mark().await?;
    // The one wait for a time: the promise is about time.
    tokio::time::sleep(QUIET).await;
    ensure_cost(&world.audit().since(mark).await?, 0)
}

#[tokio::test]
async fn a_restart_with_fifty_syncs_in_order_costs_nothing() -> Result<()> {
    let mut world = OperatorCluster::start(1).await?;
    fifty_in_order(&world).await?;
    let mark = world.audit().mark().await?;
    world.replica()?.terminate_and_restart().await?;
    world.wait_leader().await?;
    wait_rounds(&world, f64::from(SYNCS)).await?;
    ensure_cost(&world.audit().since(mark).await?, 0)
}

#[tokio::test]
async fn an_edit_of_the_sources_labels_costs_one_read_and_no_write() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.one_copy(&[("a", "1")]).await?;

    let mark = world.audit().mark().await?;
    // Rounds of one sync follow each other: the second read tells that the first round is over.
    for edit in 1..=2 {
        let label = json!({"metadata": {"labels": {"edit": edit.to_string()}}});
        fixture.patch_config_map("central", "shared", &label).await?;
        until(format!("the source was read after edit {edit}"), SOON, || async {
            let reads = data_reads_by_operator(&world.audit().since(mark).await?).len();
            Ok(Seen::from_bool(reads >= edit, || format!("{reads} reads")))
        })
        .await?;
    }
    ensure_cost(&world.audit().since(mark).await?, 2)
}
