//! A leader that is asked to stop while there is work.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fixture::SOON;
use harness::oracle::Change;
use harness::oracle::Kind;
use harness::replica::Options;

use crate::leadership_faults::stage::Stage;
use crate::support::scale::quick_or_full;

/// How long nobody writes: less than the Lease takes to expire, since it was given back.
fn gap() -> Duration {
    quick_or_full(Duration::from_secs(10), Duration::from_secs(3))
}

#[tokio::test]
async fn a_leader_that_is_asked_to_stop_hands_over_and_writes_no_more() -> Result<()> {
    let mut stage = Stage::start(3, &Options::default()).await?;
    let leader = stage.leader().await?;
    let process = stage.replica(leader).process();
    process.terminate()?;
    let status = process.wait_exit(SOON).await?;
    ensure!(status.success(), "it ended with {status}:\n{}", process.tail(10));
    stage.followed(leader, SOON).await?;
    let outcome = stage.end_well().await?;

    let handover = outcome.handover()?;
    ensure!(handover.gap() <= gap(), "{handover:?}");
    let pod = &stage.replica(leader).pod().uid;
    let holder =
        |lease: &Change| lease.object["spec"]["holderIdentity"].as_str().map(str::to_owned);
    let leases = outcome.history.changes(Kind::Lease);
    let mut leases =
        leases.skip_while(|it| !holder(it).is_some_and(|holder| holder.ends_with(pod)));
    let released = leases.find(|it| holder(it).is_some_and(|holder| holder.is_empty()));
    let released = released.context("the Lease was not released")?.revision;
    let last = outcome.last_write_of(pod).context("it wrote nothing")?;
    ensure!(last < released, "it wrote at {last}, after it released the Lease at {released}");
    Ok(())
}
