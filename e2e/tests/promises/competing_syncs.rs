//! Of two ConfigMapSyncs with the same destination, the one that creates the copy first owns it.
//! The other reports the owner as a conflict, writes nothing, and creates its copy when the
//! destination becomes free.
//!
//! `E2E_FULL=1` observes the loser for an hour instead of 20 seconds, and creates 1,000 concurrent
//! pairs instead of 50.

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

/// The loser creates its copy within a minute after the destination becomes free.
const INHERITED: Duration = Duration::from_mins(1);
/// Enough for either order of a response and its watch event.
const MOVES: usize = 10;
/// Concurrent requests.
const CONCURRENT: usize = 32;

/// Copies `central/SOURCE` to `app/DESTINATION`.
fn competing_spec(destination: &str, source: &str) -> ConfigMapSyncSpec {
    let mut spec = one_to_one("central", source, "app");
    spec.destination_name = Some(destination.to_owned());
    spec
}

#[tokio::test]
async fn the_first_sync_owns_the_copy_until_it_is_deleted() -> Result<()> {
    // Frequent verifications, as many as there would be in hours.
    let arguments = ["--resync-period", "4s"].map(str::to_owned).to_vec();
    let options = Options { arguments, ..Options::default() };
    let cluster = OperatorCluster::start_with(1, options).await?;
    let fixture = cluster.fixture();
    create_sources(&fixture).await?;
    fixture.create_sync("central", "first", competing_spec("shared", "one")).await?;
    fixture.wait_reason("central", "first", "Synced", SOON).await?;
    fixture.create_sync("central", "second", competing_spec("shared", "two")).await?;
    let second = fixture.wait_reason("central", "second", "Conflict", SOON).await?;
    let message = message(&second);
    ensure!(message.contains("app/shared") && message.contains("central/first"), "{message}");

    let mark = cluster.audit().mark().await?;
    // Nothing may happen in this time.
    tokio::time::sleep(quick_or_full(Duration::from_secs(20), Duration::from_hours(1))).await;
    let events = cluster.audit().since(mark).await?;
    let writes = writes_by_operator(&events);
    ensure!(writes.is_empty(), "{}", lines(&writes));
    let mark = cluster.audit().mark().await?;
    fixture.patch_config_map("central", "two", &json!({"data": {"a": "two, edited"}})).await?;
    fixture.patch_config_map("app", "shared", &json!({"data": {"a": "by hand"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "one")], SOON).await?;
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes(&events);
    ensure!(writes.len() == 1, "the copy was not repaired exactly once:\n{}", lines(&writes));

    fixture.delete_sync("central", "first").await?;
    fixture.wait_data("app", "shared", &[("a", "two, edited")], INHERITED).await?;
    fixture.wait_reason("central", "second", "Synced", SOON).await?;
    fixture.wait_no_sync("central", "first", SOON).await?;
    let events = cluster.audit().since(mark).await?;
    let verbs: Vec<_> = copy_writes(&events).iter().map(|it| it.verb.as_str()).collect();
    ensure!(verbs == ["patch", "delete", "create"], "{verbs:?}");
    Ok(())
}

/// Two sources, and a namespace for copies.
async fn create_sources(fixture: &Fixture) -> Result<()> {
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "one", &[("a", "one")]).await?;
    fixture.create_config_map("central", "two", &[("a", "two")]).await?;
    Ok(())
}

fn reason_and_message(sync: &ConfigMapSync) -> (&str, &str) {
    (reason(sync), message(sync))
}

/// The winner of each pair. `NotYet` unless each pair has exactly one, which the message of the
/// loser names.
fn winners(syncs: &BTreeMap<String, ConfigMapSync>, pairs: usize) -> Seen<Vec<String>> {
    let mut winners = Vec::new();
    for pair in 0..pairs {
        let names = [format!("one-{pair}"), format!("two-{pair}")];
        let [one, two] = names.each_ref().map(|name| syncs.get(name).map(reason_and_message));
        let (Some(one), Some(two)) = (one, two) else {
            return Seen::NotYet(format!("pair {pair} does not exist"));
        };
        let (winner, loser) = match (one.0, two.0) {
            ("Synced", "Conflict") => (&names[0], two),
            ("Conflict", "Synced") => (&names[1], one),
            _ => return Seen::NotYet(format!("pair {pair}: {one:?} and {two:?}")),
        };
        if !loser.1.contains(&format!("the copy of ConfigMapSync central/{winner}")) {
            return Seen::NotYet(format!("the message of the loser to {winner} is {}", loser.1));
        }
        winners.push(winner.clone());
    }
    Seen::Done(winners)
}

#[tokio::test]
async fn the_second_sync_gets_a_destination_the_first_leaves() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    create_sources(&fixture).await?;
    fixture.create_namespaces(&["elsewhere"]).await?;
    for pair in 0..MOVES {
        let name = pair.to_string();
        let (first, second) = (format!("first-{pair}"), format!("second-{pair}"));
        fixture.create_sync("central", &first, competing_spec(&name, "one")).await?;
        fixture.wait_reason("central", &first, "Synced", SOON).await?;
        fixture.create_sync("central", &second, competing_spec(&name, "two")).await?;
        fixture.wait_reason("central", &second, "Conflict", SOON).await?;
        let elsewhere = json!({"spec": {"destinationNamespace": "elsewhere"}});
        fixture.patch_sync("central", &first, &elsewhere).await?;
        fixture.wait_data("app", &name, &[("a", "two")], propagation()).await?;
        fixture.wait_reason("central", &second, "Synced", SOON).await?;
        fixture.wait_reason("central", &first, "Synced", SOON).await?;
    }
    Ok(())
}

#[tokio::test]
async fn exactly_one_of_two_concurrent_syncs_owns_the_copy() -> Result<()> {
    let pairs = quick_or_full(50, 1_000);
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    create_sources(&fixture).await?;
    let mark = cluster.audit().mark().await?;
    let both = |pair: usize| ["one", "two"].map(|source| (pair, source));
    stream::iter((0..pairs).flat_map(both))
        .map(|(pair, source)| {
            let (name, spec) =
                (format!("{source}-{pair}"), competing_spec(&format!("{pair}"), source));
            let fixture = fixture.clone();
            async move { fixture.create_sync("central", &name, spec).await }
        })
        .buffer_unordered(CONCURRENT)
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
    let events = cluster.audit().since(mark).await?;
    let mut writes = copy_writes(&events);
    let attempts = writes.len();
    writes.retain(|event| event.succeeded());
    ensure!(
        writes.len() == pairs,
        "expected one create for each of {pairs} copies:\n{}",
        lines(&writes)
    );
    let second = winners.iter().filter(|winner| winner.starts_with("two")).count();
    eprintln!(
        "{pairs} pairs: {attempts} creates sent, {pairs} succeeded, {second} of them by two-N"
    );
    Ok(())
}
