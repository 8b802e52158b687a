//! While every watch is cut each second, no change is missed, and nothing is listed again.

use std::convert::Infallible;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncSpec;
use harness::fault_proxy::FaultProxy;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::oracle;
use harness::oracle::Recorder;
use harness::oracle::liveness;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::until;
use tokio::time::MissedTickBehavior;
use tokio::time::interval;

use crate::support::copies::to_selected;
use crate::support::copies::with_labels;
use crate::watch_recovers::support::RESOURCES;
use crate::watch_recovers::support::lists_and_watches;

/// How long watches are cut, and how often.
const CUT_FOR: Duration = Duration::from_secs(25);
const BETWEEN_CUTS: Duration = Duration::from_secs(1);
/// Between two changes of one kind: not a multiple of the time between cuts, so that some changes are
/// made while a watch is open and some while none is.
const BETWEEN_CHANGES: Duration = Duration::from_millis(1300);
/// The changes of each kind, even if the machine is slow.
const LEAST_CHANGES: usize = 3;
/// The deadline for a change to reach its copy. The longest delay between two attempts is half of it.
const REACHED: Duration = Duration::from_mins(1);
/// With fewer watches of a resource, the cuts would have had no effect.
const LEAST_WATCHES: usize = 4;
/// Watches that a busy API server may refuse, which are then repeated.
const REFUSED: usize = 2;
/// The copies that are edited by hand, and as many that are deleted. With so many in turn, none is
/// changed more than 5 times in a minute, which would be contention.
const BY_HAND: usize = 6;

/// What was done while the watches were cut.
struct Changes {
    what: &'static str,
    count: usize,
    slowest: Duration,
}

#[tokio::test]
async fn watches_cut_every_second_miss_nothing() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    let recorder = Recorder::start(fixture.client()).await?;
    let mark = cluster.audit().mark().await?;
    create_copies(&fixture).await?;
    let (start, mut cuts) = (proxy.count(), 0);
    let changes = tokio::select! {
        changes = change_all(&fixture) => changes?,
        never = cut_every_second(&proxy, &mut cuts) => match never {},
    };
    until("the leader is ready again", REACHED, || async {
        let is_ready = cluster.replicas[0].is_ready().await?;
        Ok(Seen::from_bool(is_ready, || "not ready".to_owned()))
    })
    .await?;
    liveness::converged(&recorder, REACHED).await?;

    for Changes { what, count, slowest } in changes {
        eprintln!("{what}: {count} times; the slowest reached its copy after {slowest:.1?}");
    }
    for resource in RESOURCES {
        let (lists, _) = lists_and_watches(&proxy, 0, resource);
        let (_, watches) = lists_and_watches(&proxy, start, resource);
        eprintln!("{resource}: {cuts} cuts, {watches} further watches, {lists} lists in all");
        ensure!(lists == 1, "{resource} were listed {lists} times");
        let expected = LEAST_WATCHES..=cuts + REFUSED;
        ensure!(expected.contains(&watches), "{watches} watches of {resource}, {cuts} cuts");
    }
    oracle::ensure_all(&recorder.history().await?, &cluster.audit().since(mark).await?)
}

async fn cut_every_second(proxy: &FaultProxy, cuts: &mut usize) -> Infallible {
    let mut clock = interval(BETWEEN_CUTS);
    loop {
        clock.tick().await;
        for resource in RESOURCES {
            proxy.cut_watches(resource);
        }
        *cuts += 1;
    }
}

/// Creates the sources, ConfigMapSyncs and namespaces, and waits until all are `Synced`.
async fn create_copies(fixture: &Fixture) -> Result<()> {
    fixture.create_namespaces(&["central", "app", "made", "labelled"]).await?;
    for number in 0..2 * BY_HAND {
        fixture.create_labelled_namespace(&by_hand(number), &[("by", "hand")]).await?;
    }
    for source in ["edited", "shared"] {
        fixture.create_config_map("central", source, &[("a", "0")]).await?;
    }
    for (name, spec) in [
        ("edited", one_to_one("central", "edited", "app")),
        ("by-hand", to_selected(with_labels(&[("by", "hand")]))),
        ("labelled", to_selected(with_labels(&[("team", "a")]))),
    ] {
        fixture.create_sync("central", name, spec).await?;
        fixture.wait_reason("central", name, "Synced", SOON).await?;
    }
    Ok(())
}

/// The namespace of a copy that is changed by hand.
fn by_hand(number: usize) -> String {
    format!("by-hand-{number}")
}

/// Makes changes of every kind at the same time.
async fn change_all(fixture: &Fixture) -> Result<[Changes; 5]> {
    tokio::try_join!(
        repeat("a source was edited", async |round| edit_source(fixture, round).await),
        repeat("a copy was edited", async |round| edit_copy(fixture, round).await),
        repeat("a copy was deleted", async |round| delete_copy(fixture, round).await),
        repeat("a sync was replaced", async |round| replace_sync(fixture, round).await),
        repeat("a namespace was labelled", async |_| label_namespace(fixture).await),
    )
    .map(Into::into)
}

/// Makes a change and waits for its effect, repeatedly. `change` gets its number, from 1.
async fn repeat(what: &'static str, change: impl AsyncFn(usize) -> Result<()>) -> Result<Changes> {
    let began = Instant::now();
    let mut clock = interval(BETWEEN_CHANGES);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut count, mut slowest) = (0, Duration::ZERO);
    while count < LEAST_CHANGES || began.elapsed() < CUT_FOR {
        clock.tick().await;
        count += 1;
        let start = Instant::now();
        change(count).await.with_context(|| format!("{what}, number {count}"))?;
        slowest = slowest.max(start.elapsed());
    }
    Ok(Changes { what, count, slowest })
}

async fn edit_source(fixture: &Fixture, round: usize) -> Result<()> {
    let value = round.to_string();
    let edit = json!({"data": {"a": value}});
    fixture.patch_config_map("central", "edited", &edit).await?;
    fixture.wait_data("app", "edited", &[("a", &value)], REACHED).await?;
    Ok(())
}

async fn edit_copy(fixture: &Fixture, round: usize) -> Result<()> {
    let namespace = by_hand(round % BY_HAND);
    let edit = json!({"data": {"a": "by hand", "b": "by hand"}});
    fixture.patch_config_map(&namespace, "shared", &edit).await?;
    fixture.wait_data(&namespace, "shared", &[("a", "0")], REACHED).await?;
    Ok(())
}

async fn delete_copy(fixture: &Fixture, round: usize) -> Result<()> {
    let namespace = by_hand(BY_HAND + round % BY_HAND);
    fixture.delete_config_map(&namespace, "shared").await?;
    fixture.wait_data(&namespace, "shared", &[("a", "0")], REACHED).await?;
    Ok(())
}

/// Creates a ConfigMapSync, and deletes that of the previous round.
async fn replace_sync(fixture: &Fixture, round: usize) -> Result<()> {
    let name = |round: usize| format!("made-{round}");
    let (new, old) = (name(round), name(round - 1));
    let spec = one_to_one("central", "shared", "made");
    let spec = ConfigMapSyncSpec { destination_name: Some(new.clone()), ..spec };
    fixture.create_sync("central", &new, spec).await?;
    if round > 1 {
        fixture.delete_sync("central", &old).await?;
        fixture.wait_no_sync("central", &old, REACHED).await?;
        fixture.wait_no_config_map("made", &old, REACHED).await?;
    }
    fixture.wait_data("made", &new, &[("a", "0")], REACHED).await?;
    Ok(())
}

/// Adds a label that a selector selects, and removes it.
async fn label_namespace(fixture: &Fixture) -> Result<()> {
    fixture.label_namespace("labelled", &json!({"team": "a"})).await?;
    fixture.wait_data("labelled", "shared", &[("a", "0")], REACHED).await?;
    fixture.label_namespace("labelled", &json!({"team": null})).await?;
    fixture.wait_no_config_map("labelled", "shared", REACHED).await
}
