//! Promise: who fights us over a copy gets a slow answer, not a hot loop: after a few rounds each
//! write waits longer than the one before, and the sync says `Contended`.
//!
//! The fight takes half a minute. With `E2E_FULL=1` in the environment it takes ten minutes, in
//! which memory must stay flat.

use std::env;
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

use crate::collector_down::memory;
use crate::support::conditions::message;

/// Writes in a minute that are nobody's business.
const FREE: usize = 6;
/// Shortest delay that the first backoff may have: one second, less its jitter.
const FIRST_DELAY: f64 = 0.75;
/// No delay is longer, less its jitter.
const LONGEST_DELAY: f64 = 300.0 * 0.79;
/// Within this time of a fight it is called one: while it goes on.
const TOLD: Duration = Duration::from_secs(20);
/// How far memory may move once the fight is a minute old, in KiB.
const FLAT: u64 = 2 * 1024;

fn is_full() -> bool {
    env::var_os("E2E_FULL").is_some_and(|value| value == "1")
}

fn duration() -> Duration {
    if is_full() { Duration::from_mins(10) } else { Duration::from_secs(30) }
}

/// Somebody who looks every moment, and undoes what we did.
async fn fight(fixture: &Fixture, name: &str, delete: bool, period: Duration) -> Result<usize> {
    let theirs = json!({"data": {"a": "theirs"}});
    let start = Instant::now();
    let mut looks = interval(Duration::from_millis(30));
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut undone = 0;
    while start.elapsed() < period {
        looks.tick().await;
        let Some(copy) = fixture.config_map("app", name).await? else { continue };
        if delete {
            fixture.delete_config_map("app", name).await?;
        } else if copy.data.is_some_and(|data| data["a"] != "theirs") {
            fixture.patch_config_map("app", name, &theirs).await?;
        } else {
            continue;
        }
        undone += 1;
    }
    Ok(undone)
}

/// Seconds from each of our successful writes of the copy to the next.
fn gaps(events: &[Event], name: &str) -> Result<Vec<f64>> {
    let mut writes = copy_writes_in(events, "app");
    writes.retain(|event| event.name() == name);
    let refused: Vec<_> = writes.iter().copied().filter(|event| !event.succeeded()).collect();
    // A write that crosses theirs is refused with a 409, and decided again.
    ensure!(refused.len() <= writes.len() / 2, "{}", lines(&refused));
    let times: Vec<_> = writes.iter().map(|event| event.request_received_timestamp.0).collect();
    let seconds = |pair: &[Timestamp]| pair[1].duration_since(pair[0]).as_secs_f64();
    Ok(times.windows(2).map(seconds).collect())
}

/// After the free ones, each write waited at least twice as long as the one before, up to a cap.
fn ensure_backoff(events: &[Event], name: &str) -> Result<()> {
    let gaps = gaps(events, name)?;
    let told = format!("{name}: seconds between writes: {gaps:.1?}");
    eprintln!("{told}");
    ensure!(gaps.len() > FREE, "{told}: that was no fight");
    let mut shortest = FIRST_DELAY;
    for gap in &gaps[FREE..] {
        ensure!(*gap >= shortest, "{told}: {gap:.1} is less than {shortest:.1}");
        shortest = (shortest * 2.0).min(LONGEST_DELAY);
    }
    Ok(())
}

/// Waits until the sync says that somebody fights it, while they do.
async fn is_told(fixture: &Fixture, name: &str) -> Result<()> {
    let sync = fixture.wait_reason("central", name, "Contended", TOLD).await?;
    ensure!(message(&sync).contains(&format!("app/{name}")), "{}", message(&sync));
    Ok(())
}

#[tokio::test]
async fn each_answer_waits_longer_than_the_one_before() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    for name in ["edited", "deleted", "neighbour"] {
        fixture.create_config_map("central", name, &[("a", "ours")]).await?;
        fixture.create_sync("central", name, one_to_one("central", name, "app")).await?;
        fixture.wait_reason("central", name, "Synced", SOON).await?;
    }
    let process = world.replicas.first().context("a world without replicas")?.process();
    let mark = world.audit().mark().await?;
    let begin = Instant::now();
    let ((edited, deleted), (early, late)) = tokio::try_join!(
        async {
            tokio::try_join!(
                fight(&fixture, "edited", false, duration()),
                fight(&fixture, "deleted", true, duration()),
            )
        },
        async {
            // Whoever fights over one copy does not disturb another.
            tokio::time::sleep(duration() / 10).await;
            let early = memory(process)?;
            fixture.patch_config_map("central", "neighbour", &json!({"data": {"a": "2"}})).await?;
            fixture.wait_data("app", "neighbour", &[("a", "2")], Duration::from_secs(5)).await?;
            for name in ["edited", "deleted"] {
                is_told(&fixture, name).await?;
            }
            tokio::time::sleep((duration() * 9 / 10).saturating_sub(begin.elapsed())).await;
            anyhow::Ok((early, memory(process)?))
        },
    )?;
    eprintln!("undone by edit {edited}, by deletion {deleted}; memory {early} -> {late} KiB");
    let events = world.audit().since(mark).await?;
    for name in ["edited", "deleted"] {
        ensure_backoff(&events, name)?;
    }
    ensure!(late <= early + FLAT, "memory grew from {early} to {late} KiB");

    // Left alone, the copy is restored with the next attempt.
    let next = if is_full() { Duration::from_mins(6) } else { Duration::from_secs(45) };
    for name in ["edited", "deleted"] {
        fixture.wait_data("app", name, &[("a", "ours")], next).await?;
        fixture.wait_reason("central", name, "Synced", next).await?;
    }
    Ok(())
}
