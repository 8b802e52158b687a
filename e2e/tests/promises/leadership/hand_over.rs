//! Promise: a leader that is asked to stop lets its writes end, gives the Lease back, and another
//! writes within 2.5 seconds (on a quiet machine; here others are at work too).
//!
//! With `E2E_FULL=1`, which needs a machine with nothing else to do: exit within 5 seconds, a
//! successor within 3.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;
use testbed::audit::Event;
use testbed::audit::Mark;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::until;
use tokio::time::sleep;

use crate::leadership::terms::only_the_announced_wrote;
use crate::leadership::terms::revision;
use crate::support::audit::copy_writes;
use crate::support::scale::quick_or_full;

/// Less than a Lease takes to expire: it was given back.
const GIVEN_BACK: Duration = Duration::from_secs(12);
/// Pause between two edits.
const LOAD: Duration = Duration::from_millis(30);

fn written_by<'a>(events: &'a [Event], pod: &str) -> Vec<&'a Event> {
    let writes = copy_writes(events).into_iter();
    writes.filter(|it| it.succeeded() && it.pod_uid() == pod).collect()
}

#[tokio::test]
async fn sigterm_under_load_hands_over_without_a_write_too_many() -> Result<()> {
    let mut world = OperatorCluster::start(3).await?;
    let fixture = world.fixture();
    fixture.one_copy(&[("a", "1")]).await?;
    let mark = world.audit().mark().await?;
    let load = tokio::spawn({
        let fixture = fixture.clone();
        async move {
            for edit in 0_u32.. {
                let patch = json!({"data": {"a": format!("edit {edit}")}});
                fixture.patch_config_map("central", "shared", &patch).await?;
                sleep(LOAD).await;
            }
            anyhow::Ok(())
        }
    });
    let leader = world.take_leader().await?;
    let old = leader.pod().uid.clone();
    let wrote = async |pods: &dyn Fn(&Event) -> bool| {
        until("copies are written", SOON, || async {
            let events = world.audit().since(mark).await?;
            let count = copy_writes(&events).iter().filter(|it| pods(it)).count();
            Ok(Seen::from_bool(count >= 3, || format!("{count} writes")))
        })
        .await
    };
    wrote(&|it| it.pod_uid() == old).await?;
    leader.process().terminate()?;
    let status =
        leader.process().wait_exit(quick_or_full(GIVEN_BACK, Duration::from_secs(5))).await?;
    ensure!(status.success(), "asked to stop, it ended with {status}");
    wrote(&|it| it.pod_uid() != old).await?;
    load.abort();

    only_the_announced_wrote(&world.audit().since(Mark::default()).await?, Duration::ZERO)?;
    let events = world.audit().since(mark).await?;
    let is_release = |event: &&Event| {
        let sent = event.request_object.as_ref();
        let is_given_back = sent.is_some_and(|it| it["spec"]["holderIdentity"] == "");
        event.resource() == "leases" && is_given_back && event.succeeded()
    };
    let released = events.iter().find(is_release).context("the Lease was not given back")?;
    let mine = written_by(&events, &old);
    let late: Vec<_> =
        mine.iter().copied().filter(|it| revision(it) > revision(released)).collect();
    ensure!(late.is_empty(), "written after the Lease was given back:\n{}", lines(&late));

    let last = mine.iter().map(|it| it.stage_timestamp.0).max().context("it wrote nothing")?;
    let others =
        copy_writes(&events).into_iter().filter(|it| it.succeeded() && it.pod_uid() != old);
    let first = others.map(|it| it.stage_timestamp.0).min().context("no other wrote")?;
    let gap = Duration::try_from(first.duration_since(last)).context("both wrote at a time")?;
    eprintln!("{:.2} s from the last write of the old to the first of the new", gap.as_secs_f64());
    ensure!(gap < quick_or_full(GIVEN_BACK, Duration::from_secs(3)), "the hand-over took {gap:?}");
    Ok(())
}
