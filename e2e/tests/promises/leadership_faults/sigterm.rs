//! After SIGTERM during edits, a leader hands over without a late write.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fixture::SOON;
use harness::oracle::Change;
use harness::oracle::Kind;
use harness::replica::Options;

use crate::leadership_faults::fault_cluster::FaultCluster;
use crate::support::scale::quick_or_full;

/// Maximum time without a write: less than the Lease takes to expire, since it is released.
fn max_gap() -> Duration {
    quick_or_full(Duration::from_secs(10), Duration::from_secs(3))
}

#[tokio::test]
async fn sigterm_hands_over_and_writes_nothing_after_the_release() -> Result<()> {
    let mut cluster = FaultCluster::start(3, &Options::default()).await?;
    let leader = cluster.leader().await?;
    let process = cluster.replica(leader).process();
    process.terminate()?;
    let status = process.wait_exit(SOON).await?;
    ensure!(status.success(), "the leader exited with {status}:\n{}", process.tail(10));
    cluster.wait_takeover(leader, SOON).await?;
    let outcome = cluster.finish_without_violations().await?;

    let handover = outcome.handover()?;
    ensure!(handover.gap() <= max_gap(), "{handover:?}");
    let pod = &cluster.replica(leader).pod().uid;
    let holder =
        |lease: &Change| lease.object["spec"]["holderIdentity"].as_str().map(str::to_owned);
    let leases = outcome.history.changes(Kind::Lease);
    let mut leases =
        leases.skip_while(|it| !holder(it).is_some_and(|holder| holder.ends_with(pod)));
    let released = leases.find(|it| holder(it).is_some_and(|holder| holder.is_empty()));
    let released = released.context("the Lease was not released")?.revision;
    let last = outcome.last_write_of(pod).context("the former leader wrote nothing")?;
    ensure!(
        last < released,
        "the former leader wrote at {last}, after the release of the Lease at {released}"
    );
    Ok(())
}
