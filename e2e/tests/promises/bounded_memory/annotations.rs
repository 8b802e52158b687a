//! ConfigMapSyncs with the largest annotations for copies that could be stored before the schema limited
//! them.

use std::collections::BTreeMap;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use serde_json::Value;
use serde_json::json;

use crate::bad_input::support::merged;
use crate::bad_input::support::minimal_spec;
use crate::bad_input::support::refusal_of_spec;
use crate::bad_input::support::set_validation;
use crate::bad_input::support::store;
use crate::bad_input::support::wait_stalled;
use crate::bounded_memory::growth::Growth;
use crate::bounded_memory::growth::ensure_bounded;
use crate::bounded_memory::growth::start_again;
use crate::support::process::peak_kib;
use crate::support::process::reset_peak;
use crate::support::process::resident_kib;
use crate::support::scale::quick_or_full;

const CONCURRENCY: usize = 2;

/// A spec with 64 annotations of 20 KB.
fn large_spec() -> Value {
    let annotations: BTreeMap<_, _> =
        (0..64).map(|number| (format!("note-{number}"), "x".repeat(20_000))).collect();
    merged(minimal_spec(), &json!({"destinationMetadata": {"annotations": annotations}}))
}

fn large_name(number: usize) -> String {
    format!("large-{number}")
}

async fn store_large_syncs(fixture: &Fixture, count: usize) -> Result<()> {
    let (client, spec) = (&fixture.client(), &large_spec());
    let stored = stream::iter(0..count)
        .map(async |number| store(client, &large_name(number), spec).await)
        .buffer_unordered(CONCURRENCY);
    stored.try_for_each(async |()| Ok(())).await
}

async fn wait_all_stalled(fixture: &Fixture, count: usize) -> Result<()> {
    for number in 0..count {
        wait_stalled(fixture, &large_name(number), "at most 131072 are allowed").await?;
    }
    Ok(())
}

#[tokio::test]
async fn large_annotations_take_little_memory() -> Result<()> {
    let count = quick_or_full(40, 300);
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let at_start = start_again(cluster.replica()?).await?;
    set_validation(&cluster, false).await?;
    let process = cluster.replicas.first().context("no replica")?.process();
    let before = resident_kib(process)?;
    reset_peak(process)?;
    store_large_syncs(&fixture, count).await?;
    wait_all_stalled(&fixture, count).await?;
    let by_watch = peak_kib(process)?;
    set_validation(&cluster, true).await?;

    let refusal = refusal_of_spec(&fixture.client(), &large_spec()).await?.unwrap_or_default();
    for words in ["spec.destinationMetadata.annotations", "may not be more than 4096 bytes"] {
        ensure!(refusal.contains(words), "no {words:?} in: {refusal:?}");
    }

    let again = start_again(cluster.replica()?).await?;
    // By then, all have been reconciled again.
    fixture.create_sync("central", "small", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "small", "Synced", SOON).await?;
    wait_all_stalled(&fixture, count).await?;
    let reconciled = peak_kib(cluster.replica()?.process())?;
    let last = large_name(count - 1);
    fixture.delete_sync("central", &last).await?;
    fixture.wait_no_sync("central", &last, SOON).await?;
    ensure_bounded(&[
        Growth { what: "annotations by watch", without: before, with: by_watch },
        Growth { what: "annotations at start", without: at_start, with: again.max(reconciled) },
    ])
}
