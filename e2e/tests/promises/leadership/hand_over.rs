//! After SIGTERM, a leader finishes its writes and releases the Lease, and another one writes
//! within 2.5 seconds on an idle machine. The default deadline is 12 seconds, because other tests
//! run in parallel.
//!
//! With `E2E_FULL=1`, on an idle machine: exit within 5 seconds, the first write of the next leader
//! within 3.

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

use crate::leadership::terms::ensure_only_recorded_leaders_wrote;
use crate::leadership::terms::revision;
use crate::support::audit::copy_writes;
use crate::support::scale::quick_or_full;

/// Less than a Lease takes to expire: it must have been released.
const RELEASED: Duration = Duration::from_secs(12);
/// Pause between two edits.
const LOAD: Duration = Duration::from_millis(30);

/// The successful writes of copies by a pod.
fn written_by<'a>(events: &'a [Event], pod: &str) -> Vec<&'a Event> {
    let writes = copy_writes(events).into_iter();
    writes.filter(|it| it.succeeded() && it.pod_uid() == pod).collect()
}

#[tokio::test]
async fn sigterm_under_load_hands_over_without_late_writes() -> Result<()> {
    let mut cluster = OperatorCluster::start(3).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let mark = cluster.audit().mark().await?;
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
    let leader = cluster.take_leader().await?;
    let old = leader.pod().uid.clone();
    let wrote = async |pods: &dyn Fn(&Event) -> bool| {
        until("three copies are written", SOON, || async {
            let events = cluster.audit().since(mark).await?;
            let count = copy_writes(&events).iter().filter(|it| pods(it)).count();
            Ok(Seen::from_bool(count >= 3, || format!("{count} writes")))
        })
        .await
    };
    wrote(&|it| it.pod_uid() == old).await?;
    leader.process().terminate()?;
    let status =
        leader.process().wait_exit(quick_or_full(RELEASED, Duration::from_secs(5))).await?;
    ensure!(status.success(), "the leader exited with {status} after SIGTERM");
    wrote(&|it| it.pod_uid() != old).await?;
    load.abort();

    ensure_only_recorded_leaders_wrote(
        &cluster.audit().since(Mark::default()).await?,
        Duration::ZERO,
    )?;
    let events = cluster.audit().since(mark).await?;
    let is_release = |event: &&Event| {
        let sent = event.request_object.as_ref();
        let is_empty = sent.is_some_and(|it| it["spec"]["holderIdentity"] == "");
        event.resource() == "leases" && is_empty && event.succeeded()
    };
    let released = events.iter().find(is_release).context("the Lease was not released")?;
    let mine = written_by(&events, &old);
    let late: Vec<_> =
        mine.iter().copied().filter(|it| revision(it) > revision(released)).collect();
    ensure!(late.is_empty(), "written after the Lease was released:\n{}", lines(&late));

    let last = mine
        .iter()
        .map(|it| it.stage_timestamp.0)
        .max()
        .context("the former leader wrote nothing")?;
    let others =
        copy_writes(&events).into_iter().filter(|it| it.succeeded() && it.pod_uid() != old);
    let first =
        others.map(|it| it.stage_timestamp.0).min().context("the next leader wrote nothing")?;
    let gap = Duration::try_from(first.duration_since(last))
        .context("both leaders wrote at the same time")?;
    eprintln!(
        "{:.2} s from the last write of the former leader to the first of the next",
        gap.as_secs_f64()
    );
    ensure!(gap < quick_or_full(RELEASED, Duration::from_secs(3)), "the handover took {gap:?}");
    Ok(())
}
