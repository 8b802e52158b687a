//! Replicas of one version that are replaced by those of another, one after the other, and back.
//!
//! `E2E_PREVIOUS` is the path of the operator of the version before; without it, it is this one,
//! and what is shown is what every upgrade begins and ends with. With `E2E_FULL=1` there are 500
//! syncs of which nothing changes; a leader looks at all of them before it writes, so that this
//! needs a machine that has little else to do.
//!
//! A version that announces no leader cannot live with the fence: it would hold up whoever leads
//! but is not announced. So whoever goes back to such a version removes the fence first; then the
//! Lease tells who may write, as it does here.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncLeader;
use harness::audit_queries::writes_by_operator;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::load;
use harness::oracle;
use harness::oracle::Kind;
use harness::oracle::live;
use harness::oracle::live::Handover;
use harness::replica;
use harness::replica::Options;
use kube::Api;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::audit::Event;
use testbed::audit::lines;
use testbed::wait::Seen;

use crate::leadership_faults::stage::FOLLOWED;
use crate::leadership_faults::stage::Outcome;
use crate::leadership_faults::stage::Stage;
use crate::support::conditions::reason;
use crate::support::scale::quick_or_full;
use crate::support::syncs::wait_syncs;

const PREVIOUS: &str = "E2E_PREVIOUS";
const REPLICAS: usize = 3;
/// How long nobody writes, at each handover: far less than the Lease takes to expire.
const GAP: Duration = Duration::from_secs(20);
/// Where the sources and syncs are of which nothing changes, and where their copies.
const CALM: &str = "calm";
const CALM_COPIES: &str = "calm-copies";
/// How long the first copies may take, all of them.
const MADE: Duration = Duration::from_mins(2);

/// What tells who may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// The announcements, and the fence with them.
    ByAnnouncements,
    /// The Lease, where the version before announces nobody.
    ByTheLease,
}

fn previous() -> Result<Options> {
    let binary = env::var_os(PREVIOUS).map(PathBuf::from);
    if let Some(binary) = &binary {
        ensure!(binary.is_file(), "{PREVIOUS}: there is no file {}", binary.display());
    }
    Ok(Options { binary, ..Options::patient() })
}

#[tokio::test]
async fn an_upgrade_and_the_way_back_hold_up_nobody_and_rewrite_nothing() -> Result<()> {
    let (before, now) = (previous()?, Options::patient());
    let mut stage = Stage::without_replicas().await?;
    for _ in 0..REPLICAS {
        stage.add(&before).await?;
    }
    make_calm(&stage, quick_or_full(50, 500)).await?;
    let told = who_tells(&stage).await?;
    stage.work().await?;
    let mark = stage.world.audit().mark().await?;

    let mut replicas = (0..REPLICAS).collect();
    for (version, name) in [(now, "made-before"), (before, "made-after")] {
        make(&stage, name).await?;
        replicas = replace(&mut stage, replicas, &version).await?;
        ensure_understood(&stage, name).await?;
    }

    let outcome = stage.end().await?;
    ensure_well(told, outcome)?;
    let events = stage.world.audit().since(mark).await?;
    let rewritten = writes_in_calm(&events);
    ensure!(rewritten.is_empty(), "{} rewritten:\n{}", rewritten.len(), lines(&rewritten));
    Ok(())
}

/// Syncs that are in order, and stay so.
async fn make_calm(stage: &Stage, count: usize) -> Result<()> {
    let fixture = stage.fixture();
    fixture.create_namespaces(&[CALM, CALM_COPIES]).await?;
    for name in (0..count).map(|number| format!("calm-{number}")) {
        fixture.create_config_map(CALM, &name, &[("a", "1")]).await?;
        fixture.create_sync(CALM, &name, one_to_one(CALM, &name, CALM_COPIES)).await?;
    }
    wait_syncs(&fixture, CALM, "all are in order", MADE, |syncs| {
        let synced = syncs.values().filter(|sync| reason(sync) == "Synced").count();
        Seen::from_bool(synced == count, || format!("{synced} of {count} are"))
    })
    .await
}

/// What the operator wrote, or tried to, of that of which nothing changes.
fn writes_in_calm(events: &[Event]) -> Vec<&Event> {
    let writes = writes_by_operator(events).into_iter();
    writes.filter(|event| [CALM, CALM_COPIES].contains(&event.namespace())).collect()
}

/// Asked after the first copies: whoever is announced, is so before.
async fn who_tells(stage: &Stage) -> Result<Told> {
    let leaders = Api::<ConfigMapSyncLeader>::namespaced(stage.fixture().client(), OPERATOR);
    if leaders.get_opt(OPERATOR).await?.is_some() {
        stage.world.wait_fenced(true).await?;
        return Ok(Told::ByAnnouncements);
    }
    ensure!(env::var_os(PREVIOUS).is_some(), "this version announces nobody");
    // Somebody has to be, for the fence to show that it is gone.
    replica::announce(&stage.world.control_plane, "nobody", 1).await?;
    stage.remove_fence().await?;
    Ok(Told::ByTheLease)
}

/// As a Deployment does it: another is ready before one is asked to end. Of those that go, the
/// leader is the first, so that there are as many handovers as can be.
async fn replace(stage: &mut Stage, mut old: Vec<usize>, version: &Options) -> Result<Vec<usize>> {
    let mut new = Vec::new();
    while !old.is_empty() {
        stage.add(version).await?;
        new.push(stage.proxies.len() - 1);
        let leader = stage.leader().await?;
        let next = old.iter().position(|it| *it == leader).unwrap_or_default();
        let next = old.remove(next);
        stage.replica(next).terminate_and_wait().await?;
        stage.followed(next, FOLLOWED).await?;
    }
    Ok(new)
}

/// A copy that those make that go.
async fn make(stage: &Stage, name: &str) -> Result<()> {
    let fixture = stage.fixture();
    fixture.create_config_map(load::SOURCES, name, &[("a", "1")]).await?;
    let spec = one_to_one(load::SOURCES, name, load::COPIES);
    fixture.create_sync(load::SOURCES, name, spec).await?;
    fixture.wait_reason(load::SOURCES, name, "Synced", SOON).await?;
    Ok(())
}

/// Makes sure that those that came know the copy by its marks: they update it, repair it, and
/// delete it with its sync.
async fn ensure_understood(stage: &Stage, name: &str) -> Result<()> {
    let fixture = stage.fixture();
    let copy = fixture.config_map(load::COPIES, name).await?.context("the copy is gone")?;
    let two = json!({"data": {"a": "2"}});
    fixture.patch_config_map(load::SOURCES, name, &two).await?;
    fixture.wait_data(load::COPIES, name, &[("a", "2")], SOON).await?;
    fixture.patch_config_map(load::COPIES, name, &json!({"data": {"b": "theirs"}})).await?;
    let repaired = fixture.wait_data(load::COPIES, name, &[("a", "2")], SOON).await?;
    ensure!(repaired.metadata.uid == copy.metadata.uid, "it was made anew");
    fixture.delete_sync(load::SOURCES, name).await?;
    fixture.wait_no_sync(load::SOURCES, name, SOON).await?;
    ensure!(fixture.config_map(load::COPIES, name).await?.is_none(), "the copy was left behind");
    Ok(())
}

/// Makes sure that the oracles find nothing, and that each handover was short.
fn ensure_well(told: Told, outcome: Outcome) -> Result<()> {
    let Outcome { history, events, violations } = outcome;
    match told {
        Told::ByAnnouncements => ensure!(violations.is_empty(), "{}", violations.join("\n")),
        Told::ByTheLease => {
            oracle::ensure_all(&history.only(|it| it.kind != Kind::Leader), &events)?;
        }
    }
    let handovers = live::handovers(&events);
    ensure!(handovers.len() >= 2, "one there and one back, at least: {handovers:?}");
    let late = live::late(&handovers, GAP);
    ensure!(late.is_empty(), "{}", late.join("\n"));
    let longest = handovers.iter().map(Handover::gap).max().unwrap_or_default();
    eprintln!(
        "told {told:?}: {} handovers, nobody wrote for {:.2} s at most",
        handovers.len(),
        longest.as_secs_f32()
    );
    Ok(())
}
