//! Promise: when the leader goes, another leads, and follows the next edit of a source.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::succeeded_but_for;
use harness::audit_queries::writes_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;
use testbed::audit::Event;
use testbed::audit::lines;

use crate::support::audit::copy_writes;
use crate::support::scale::quick_or_full;

/// After a crash, the Lease has to expire first.
const AFTER_A_CRASH: Duration = Duration::from_secs(40);
/// A leader that is asked to stop gives the Lease back: nobody waits until it expires.
fn after_a_signal() -> Duration {
    quick_or_full(Duration::from_secs(12), Duration::from_secs(5))
}

async fn synced(world: &OperatorCluster) -> Result<Fixture> {
    let fixture = world.fixture();
    fixture.one_copy(&[("a", "1")]).await?;
    Ok(fixture)
}

/// Edits the source, and waits until the copy has followed.
async fn edit_is_followed(fixture: &Fixture, within: Duration) -> Result<()> {
    let begin = Instant::now();
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], within).await?;
    eprintln!("the edit was followed after {:.1} s", begin.elapsed().as_secs_f32());
    Ok(())
}

#[tokio::test]
async fn after_kill_9_another_leads() -> Result<()> {
    let mut world = OperatorCluster::start(3).await?;
    let fixture = synced(&world).await?;
    let mark = world.audit().mark().await?;
    let leader = world.take_leader().await?;
    leader.process().kill()?;
    edit_is_followed(&fixture, AFTER_A_CRASH).await?;
    only_one_wrote(&world.audit().since(mark).await?)
}

#[tokio::test]
async fn after_sigterm_another_leads_at_once() -> Result<()> {
    let mut world = OperatorCluster::start(3).await?;
    let fixture = synced(&world).await?;
    let mark = world.audit().mark().await?;
    let leader = world.take_leader().await?;
    leader.process().terminate()?;
    edit_is_followed(&fixture, after_a_signal()).await?;
    let status = leader.process().wait_exit(SOON).await?;
    ensure!(status.success(), "a leader that was asked to stop ended with {status}");
    only_one_wrote(&world.audit().since(mark).await?)
}

#[tokio::test]
async fn a_leader_that_loses_the_lease_ends_and_writes_no_more() -> Result<()> {
    let mut world = OperatorCluster::start(1).await?;
    let fixture = synced(&world).await?;
    fixture.take_lease("somebody-else").await?;
    let mark = world.audit().mark().await?;
    let status = world.replica()?.process().wait_exit(SOON).await?;
    ensure!(status.code() == Some(1), "a leader that lost the Lease ended with {status}");
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    let events = world.audit().since(mark).await?;
    let writes = writes_by_operator(&events);
    ensure!(writes.is_empty(), "{}", lines(&writes));
    Ok(())
}

fn only_one_wrote(events: &[Event]) -> Result<()> {
    let written = succeeded_but_for(&copy_writes(events), 403)?;
    ensure!(written.len() == 1, "one edit is one write:\n{}", lines(&written));
    Ok(())
}
