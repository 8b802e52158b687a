//! A copy that another client keeps changing is not written in a hot loop: after a few writes, each
//! one waits longer than the one before, and the reason is `Contended`.
//!
//! The contention lasts half a minute. With `E2E_FULL=1` it lasts ten minutes, in which the
//! operator's memory must not grow.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::copy_writes_in;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::jiff::Timestamp;
use serde_json::json;
use testbed::audit::Event;
use testbed::audit::lines;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;

use crate::support::conditions::message;
use crate::support::process::resident_kib;
use crate::support::scale::quick_or_full;

/// Writes in a minute before the backoff begins.
const FREE_WRITES: usize = 6;
/// Minimum of the first delay: one second, less the jitter.
const FIRST_DELAY: f64 = 0.75;
/// Minimum of the capped delay: five minutes, less the jitter.
const CAPPED_DELAY: f64 = 300.0 * 0.79;
/// `Contended` is reported within this time, while the contention lasts.
const REPORTED: Duration = Duration::from_secs(20);
/// Accepted growth of memory after the first tenth of the contention, in KiB.
const MAX_GROWTH: u64 = 2 * 1024;

fn duration() -> Duration {
    quick_or_full(Duration::from_secs(30), Duration::from_mins(10))
}

/// Undoes the operator's writes of the copy for `period`, by edit or deletion. Returns how often.
async fn contend(fixture: &Fixture, name: &str, delete: bool, period: Duration) -> Result<usize> {
    let edit = json!({"data": {"a": "theirs"}});
    let start = Instant::now();
    let mut ticks = interval(Duration::from_millis(30));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut undone = 0;
    while start.elapsed() < period {
        ticks.tick().await;
        let Some(copy) = fixture.config_map("app", name).await? else { continue };
        if delete {
            fixture.delete_config_map("app", name).await?;
        } else if copy.data.is_some_and(|data| data["a"] != "theirs") {
            fixture.patch_config_map("app", name, &edit).await?;
        } else {
            continue;
        }
        undone += 1;
    }
    Ok(undone)
}

/// Seconds between consecutive writes of the copy by the operator.
fn gaps(events: &[Event], name: &str) -> Result<Vec<f64>> {
    let mut writes = copy_writes_in(events, "app");
    writes.retain(|event| event.name() == name);
    let refused: Vec<_> = writes.iter().copied().filter(|event| !event.succeeded()).collect();
    // A write that races with the other client fails with 409 and is decided again.
    ensure!(refused.len() <= writes.len() / 2, "{}", lines(&refused));
    let times: Vec<_> = writes.iter().map(|event| event.request_received_timestamp.0).collect();
    let seconds = |pair: &[Timestamp]| pair[1].duration_since(pair[0]).as_secs_f64();
    Ok(times.windows(2).map(seconds).collect())
}

/// Fails unless each write after [`FREE_WRITES`] waited at least twice as long as the one before,
/// up to the cap.
fn ensure_backoff(events: &[Event], name: &str) -> Result<()> {
    let gaps = gaps(events, name)?;
    let summary = format!("{name}: seconds between writes: {gaps:.1?}");
    eprintln!("{summary}");
    ensure!(gaps.len() > FREE_WRITES, "{summary}: there was no contention");
    let mut shortest = FIRST_DELAY;
    for gap in &gaps[FREE_WRITES..] {
        ensure!(*gap >= shortest, "{summary}: expected at least {shortest:.1} instead of {gap:.1}");
        shortest = (shortest * 2.0).min(CAPPED_DELAY);
    }
    Ok(())
}

/// Waits until the ConfigMapSync reports the contention of its copy.
async fn wait_contended(fixture: &Fixture, name: &str) -> Result<()> {
    let sync = fixture.wait_reason("central", name, "Contended", REPORTED).await?;
    ensure!(message(&sync).contains(&format!("app/{name}")), "{}", message(&sync));
    Ok(())
}

#[tokio::test]
async fn contended_copies_are_written_with_backoff() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    for name in ["edited", "deleted", "neighbour"] {
        fixture.create_config_map("central", name, &[("a", "ours")]).await?;
        fixture.create_sync("central", name, one_to_one("central", name, "app")).await?;
        fixture.wait_reason("central", name, "Synced", SOON).await?;
    }
    let process = cluster.replicas.first().context("no replica")?.process();
    let mark = cluster.audit().mark().await?;
    let begin = Instant::now();
    let ((edited, deleted), (early, late)) = tokio::try_join!(
        async {
            tokio::try_join!(
                contend(&fixture, "edited", false, duration()),
                contend(&fixture, "deleted", true, duration()),
            )
        },
        async {
            // Other copies are not affected.
            tokio::time::sleep(duration() / 10).await;
            let early = resident_kib(process)?;
            fixture.patch_config_map("central", "neighbour", &json!({"data": {"a": "2"}})).await?;
            fixture.wait_data("app", "neighbour", &[("a", "2")], Duration::from_secs(5)).await?;
            for name in ["edited", "deleted"] {
                wait_contended(&fixture, name).await?;
            }
            tokio::time::sleep((duration() * 9 / 10).saturating_sub(begin.elapsed())).await;
            anyhow::Ok((early, resident_kib(process)?))
        },
    )?;
    eprintln!(
        "copies edited {edited} times, deleted {deleted} times; memory {early} -> {late} KiB"
    );
    let events = cluster.audit().since(mark).await?;
    for name in ["edited", "deleted"] {
        ensure_backoff(&events, name)?;
    }
    ensure!(late <= early + MAX_GROWTH, "memory grew from {early} to {late} KiB");

    // Without contention, the next attempt restores the copy.
    let next = quick_or_full(Duration::from_secs(45), Duration::from_mins(6));
    for name in ["edited", "deleted"] {
        fixture.wait_data("app", name, &[("a", "ours")], next).await?;
        fixture.wait_reason("central", name, "Synced", next).await?;
    }
    Ok(())
}
