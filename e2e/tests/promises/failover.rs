//! When the leader exits, another replica leads and copies the next edit of a source.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::succeeded_after_retries;
use harness::audit_queries::writes_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;
use testbed::audit::Event;
use testbed::audit::lines;

use crate::support::audit::copy_writes;
use crate::support::scale::quick_or_full;

/// After a crash, the Lease must expire first.
const AFTER_CRASH: Duration = Duration::from_secs(40);
/// After SIGTERM, the Lease is released: no replica waits for it to expire.
fn after_sigterm() -> Duration {
    quick_or_full(Duration::from_secs(12), Duration::from_secs(5))
}

async fn create_copy(cluster: &OperatorCluster) -> Result<Fixture> {
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    Ok(fixture)
}

/// Edits the source, and waits until the copy is updated.
async fn edit_and_wait(fixture: &Fixture, within: Duration) -> Result<()> {
    let begin = Instant::now();
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], within).await?;
    eprintln!("the copy was updated after {:.1} s", begin.elapsed().as_secs_f32());
    Ok(())
}

#[tokio::test]
async fn another_replica_leads_after_sigkill() -> Result<()> {
    let mut cluster = OperatorCluster::start(3).await?;
    let fixture = create_copy(&cluster).await?;
    let mark = cluster.audit().mark().await?;
    let leader = cluster.take_leader().await?;
    leader.process().kill()?;
    edit_and_wait(&fixture, AFTER_CRASH).await?;
    ensure_one_write(&cluster.audit().since(mark).await?)
}

#[tokio::test]
async fn another_replica_leads_at_once_after_sigterm() -> Result<()> {
    let mut cluster = OperatorCluster::start(3).await?;
    let fixture = create_copy(&cluster).await?;
    let mark = cluster.audit().mark().await?;
    let leader = cluster.take_leader().await?;
    leader.process().terminate()?;
    edit_and_wait(&fixture, after_sigterm()).await?;
    let status = leader.process().wait_exit(SOON).await?;
    ensure!(status.success(), "the leader exited with {status} after SIGTERM");
    ensure_one_write(&cluster.audit().since(mark).await?)
}

#[tokio::test]
async fn a_leader_without_lease_exits_and_writes_nothing() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster).await?;
    fixture.set_lease_holder("another").await?;
    let mark = cluster.audit().mark().await?;
    let status = cluster.replica()?.process().wait_exit(SOON).await?;
    ensure!(status.code() == Some(1), "the leader exited with {status} after it lost the Lease");
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    let events = cluster.audit().since(mark).await?;
    let writes = writes_by_operator(&events);
    ensure!(writes.is_empty(), "{}", lines(&writes));
    Ok(())
}

/// Fails unless the copy was written exactly once; writes refused by the fence are allowed.
fn ensure_one_write(events: &[Event]) -> Result<()> {
    let written = succeeded_after_retries(&copy_writes(events), 403)?;
    ensure!(written.len() == 1, "expected one write for one edit:\n{}", lines(&written));
    Ok(())
}
