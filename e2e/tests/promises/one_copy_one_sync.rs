//! Promise: of two ConfigMapSyncs that want one copy, the first to create it has it. The other
//! says whose it is, writes nothing, and follows when it becomes free.
//!
//! `E2E_FULL=1` watches the loser for an hour instead of 20 seconds, and lets 1,000 pairs race
//! instead of 50.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use configmapsync::api::ConfigMapSyncSpec;
use configmapsync::names;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use harness::audit_queries::writes_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use serde_json::json;
use testbed::audit::lines;
use testbed::wait::Seen;

use crate::support::audit::copy_writes;
use crate::support::conditions::message;
use crate::support::conditions::reason;
use crate::support::scale::propagation;
use crate::support::scale::quick_or_full;
use crate::support::syncs::wait_syncs;

/// "The loser creates within 60 seconds."
const INHERITED: Duration = Duration::from_mins(1);
/// Often enough to meet each order of an answer and its echo in the watch.
const MOVES: usize = 10;
/// Many requests at a time, so that they race.
const AT_ONCE: usize = 32;

fn rival(destination: &str, source: &str) -> ConfigMapSyncSpec {
    let mut spec = one_to_one("central", source, "app");
    spec.destination_name = Some(destination.to_owned());
    spec
}

#[tokio::test]
async fn the_first_has_it_and_the_other_waits_in_silence_until_it_is_free() -> Result<()> {
    // Live data are looked at again and again, as they would be over many hours.
    let arguments = ["--resync-period", "4s"].map(str::to_owned).to_vec();
    let options = Options { arguments, ..Options::default() };
    let world = OperatorCluster::start_with(1, options).await?;
    let fixture = world.fixture();
    begin(&fixture).await?;
    fixture.create_sync("central", "first", rival("shared", "one")).await?;
    fixture.wait_reason("central", "first", "Synced", SOON).await?;
    fixture.create_sync("central", "second", rival("shared", "two")).await?;
    let second = fixture.wait_reason("central", "second", "Conflict", SOON).await?;
    let message = message(&second);
    ensure!(message.contains("app/shared") && message.contains("central/first"), "{message}");

    let mark = world.audit().mark().await?;
    // The promise is about time.
    tokio::time::sleep(quick_or_full(Duration::from_secs(20), Duration::from_hours(1))).await;
    let events = world.audit().since(mark).await?;
    let writes = writes_by_operator(&events);
    ensure!(writes.is_empty(), "{}", lines(&writes));
    let mark = world.audit().mark().await?;
    fixture.patch_config_map("central", "two", &json!({"data": {"a": "two, edited"}})).await?;
    fixture.patch_config_map("app", "shared", &json!({"data": {"a": "by hand"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "one")], SOON).await?;
    let events = world.audit().since(mark).await?;
    let writes = copy_writes(&events);
    ensure!(writes.len() == 1, "only the winner repairs:\n{}", lines(&writes));

    fixture.delete_sync("central", "first").await?;
    fixture.wait_data("app", "shared", &[("a", "two, edited")], INHERITED).await?;
    fixture.wait_reason("central", "second", "Synced", SOON).await?;
    fixture.wait_no_sync("central", "first", SOON).await?;
    let events = world.audit().since(mark).await?;
    let verbs: Vec<_> = copy_writes(&events).iter().map(|it| it.verb.as_str()).collect();
    ensure!(verbs == ["patch", "delete", "create"], "{verbs:?}");
    Ok(())
}

/// Two sources, and a namespace for copies.
async fn begin(fixture: &Fixture) -> Result<()> {
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "one", &[("a", "one")]).await?;
    fixture.create_config_map("central", "two", &[("a", "two")]).await?;
    Ok(())
}

fn reason_and_message(sync: &ConfigMapSync) -> (&str, &str) {
    (reason(sync), message(sync))
}

/// The winner of each pair; what is wrong, if there is not exactly one, and one who says so.
fn winners(syncs: &BTreeMap<String, ConfigMapSync>, pairs: usize) -> Seen<Vec<String>> {
    let mut winners = Vec::new();
    for pair in 0..pairs {
        let names = [format!("one-{pair}"), format!("two-{pair}")];
        let [one, two] = names.each_ref().map(|name| syncs.get(name).map(reason_and_message));
        let (Some(one), Some(two)) = (one, two) else {
            return Seen::NotYet(format!("pair {pair} is not there"));
        };
        let (winner, loser) = match (one.0, two.0) {
            ("Synced", "Conflict") => (&names[0], two),
            ("Conflict", "Synced") => (&names[1], one),
            _ => return Seen::NotYet(format!("pair {pair}: {one:?} and {two:?}")),
        };
        if !loser.1.contains(&format!("the copy of ConfigMapSync central/{winner}")) {
            return Seen::NotYet(format!("the loser to {winner} says {}", loser.1));
        }
        winners.push(winner.clone());
    }
    Seen::Done(winners)
}

#[tokio::test]
async fn what_the_first_moves_away_from_the_other_has_at_once() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    begin(&fixture).await?;
    fixture.create_namespaces(&["elsewhere"]).await?;
    for pair in 0..MOVES {
        let place = pair.to_string();
        let (first, second) = (format!("first-{pair}"), format!("second-{pair}"));
        fixture.create_sync("central", &first, rival(&place, "one")).await?;
        fixture.wait_reason("central", &first, "Synced", SOON).await?;
        fixture.create_sync("central", &second, rival(&place, "two")).await?;
        fixture.wait_reason("central", &second, "Conflict", SOON).await?;
        let away = json!({"spec": {"destinationNamespace": "elsewhere"}});
        fixture.patch_sync("central", &first, &away).await?;
        fixture.wait_data("app", &place, &[("a", "two")], propagation()).await?;
        fixture.wait_reason("central", &second, "Synced", SOON).await?;
        fixture.wait_reason("central", &first, "Synced", SOON).await?;
    }
    Ok(())
}

#[tokio::test]
async fn of_pairs_that_are_created_at_once_one_wins_each() -> Result<()> {
    let pairs = quick_or_full(50, 1_000);
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    begin(&fixture).await?;
    let mark = world.audit().mark().await?;
    let both = |pair: usize| ["one", "two"].map(|source| (pair, source));
    stream::iter((0..pairs).flat_map(both))
        .map(|(pair, source)| {
            let (name, spec) = (format!("{source}-{pair}"), rival(&format!("{pair}"), source));
            let fixture = fixture.clone();
            async move { fixture.create_sync("central", &name, spec).await }
        })
        .buffer_unordered(AT_ONCE)
        .try_for_each(async |_| Ok(()))
        .await?;
    let deadline = SOON + Duration::from_millis(200) * u32::try_from(pairs)?;
    let what = "each pair has a winner, and a loser that names it";
    let winners =
        wait_syncs(&fixture, "central", what, deadline, |syncs| winners(syncs, pairs)).await?;

    for (pair, winner) in winners.iter().enumerate() {
        let copy = fixture.config_map("app", &pair.to_string()).await?.context("no copy")?;
        let source = winner.split('-').next();
        let data = copy.data.unwrap_or_default();
        ensure!(data.get("a").map(String::as_str) == source, "{winner}: {data:?}");
        let annotations = copy.metadata.annotations.unwrap_or_default();
        let marked = annotations.get(names::ANNOTATION_SYNC);
        ensure!(marked == Some(&format!("central/{winner}")), "{winner}: {marked:?}");
    }
    let events = world.audit().since(mark).await?;
    let mut writes = copy_writes(&events);
    let tried = writes.len();
    writes.retain(|event| event.succeeded());
    ensure!(writes.len() == pairs, "one create for each copy:\n{}", lines(&writes));
    let seconds = winners.iter().filter(|winner| winner.starts_with("two")).count();
    eprintln!("{pairs} pairs: {tried} creates sent, {pairs} took effect, {seconds} by the second");
    Ok(())
}
