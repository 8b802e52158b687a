//! Copies keep up with a source that changes ten times a second: several edits may share one write,
//! every copy ends with the last value, and each copy is written at most once for each edit.
//!
//! `E2E_FULL=1` creates 1,000 ConfigMapSyncs of the source instead of 20.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use harness::audit_queries::data_reads_by_operator;
use harness::audit_queries::requests_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::audit::copy_writes;
use crate::support::conditions::reason;
use crate::support::scale::quick_or_full;
use crate::support::syncs::wait_syncs;

/// How long the test edits the source.
const HOT: Duration = Duration::from_secs(10);
/// Time between two edits.
const BETWEEN: Duration = Duration::from_millis(100);
const CONCURRENCY: usize = 32;

/// Creates the source and its ConfigMapSyncs, and waits until all are `Synced`.
async fn create_copies(cluster: &OperatorCluster, syncs: usize) -> Result<Fixture> {
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "hot", &[("a", "0")]).await?;
    stream::iter(0..syncs)
        .map(|number| {
            let fixture = fixture.clone();
            let mut spec = one_to_one("central", "hot", "app");
            let name = format!("copy-{number}");
            spec.destination_name = Some(name.clone());
            async move { fixture.create_sync("central", &name, spec).await }
        })
        .buffer_unordered(CONCURRENCY)
        .try_for_each(async |_| Ok(()))
        .await?;
    wait_all_synced(&fixture, syncs).await?;
    Ok(fixture)
}

async fn wait_all_synced(fixture: &Fixture, syncs: usize) -> Result<()> {
    let deadline = SOON + Duration::from_millis(100) * u32::try_from(syncs)?;
    let check = |found: &BTreeMap<String, ConfigMapSync>| {
        let synced = found.values().filter(|sync| reason(sync) == "Synced").count();
        Seen::from_bool(synced == syncs, || format!("{synced} of {syncs}"))
    };
    wait_syncs(fixture, "central", "all ConfigMapSyncs are Synced", deadline, check).await
}

/// Waits until every copy has this value.
async fn wait_value(fixture: &Fixture, copies: usize, value: &str) -> Result<()> {
    let deadline = SOON + Duration::from_millis(100) * u32::try_from(copies)?;
    let maps = Api::<ConfigMap>::namespaced(fixture.client(), "app");
    until(format!("{copies} copies have the value {value}"), deadline, || async {
        let found = maps.list(&ListParams::default()).await?.items;
        let has = |copy: &ConfigMap| {
            copy.data
                .as_ref()
                .is_some_and(|data| data.len() == 1 && data.get("a").is_some_and(|it| it == value))
        };
        let there = found.into_iter().filter(has).count();
        Ok(Seen::from_bool(there == copies, || format!("{there} of {copies}")))
    })
    .await
}

#[tokio::test]
async fn copies_keep_up_with_ten_edits_a_second() -> Result<()> {
    let syncs = quick_or_full(20, 1_000);
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_copies(&cluster, syncs).await?;
    let mark = cluster.audit().mark().await?;
    let (begin, mut edits) = (Instant::now(), 0);
    let mut clock = tokio::time::interval(BETWEEN);
    while begin.elapsed() < HOT {
        clock.tick().await;
        edits += 1;
        let edit = json!({"data": {"a": edits.to_string()}});
        fixture.patch_config_map("central", "hot", &edit).await?;
    }
    let last_edit = Instant::now();
    wait_value(&fixture, syncs, &edits.to_string()).await?;
    let behind = last_edit.elapsed();
    wait_all_synced(&fixture, syncs).await?;

    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes(&events);
    let failed: Vec<_> = writes.iter().copied().filter(|event| !event.succeeded()).collect();
    let reads = data_reads_by_operator(&events);
    let calls = requests_by_operator(&events).count();
    eprintln!(
        "{edits} edits of the source of {syncs} syncs: {} writes, {} failed, {} reads of data, \
         {calls} calls; every copy had the last value {:.1} s after the last edit",
        writes.len(),
        failed.len(),
        reads.len(),
        behind.as_secs_f32(),
    );
    ensure!(failed.is_empty(), "{}", lines(&failed));
    ensure!(
        writes.iter().all(|event| event.verb == "patch"),
        "expected only patches of the copies"
    );
    ensure!(writes.len() <= edits * syncs, "{} writes", writes.len());
    // Copies are never read, and all ConfigMapSyncs share the reads of the source.
    ensure!(reads.iter().all(|event| event.name() == "hot"), "{}", lines(&reads));
    ensure!(reads.len() <= 2 * edits, "{} reads of the source", reads.len());
    let mut values = BTreeMap::new();
    for event in writes {
        let sent = event.request_object.as_ref().context("a patch without body")?.to_string();
        let value = sent.split(r#""value":{"a":""#).nth(1).and_then(|it| it.split('"').next());
        let value = value.and_then(|it| it.parse::<u64>().ok()).context("a patch without data")?;
        let before = values.insert(event.name().to_owned(), value);
        ensure!(
            before.is_none_or(|before| before < value),
            "{event} went from {before:?} to {value}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn edits_during_a_freeze_cause_one_write() -> Result<()> {
    let syncs = 20;
    // With a long lease duration, the replica is still the leader after the freeze.
    let cluster = OperatorCluster::start_with(1, Options::patient()).await?;
    let fixture = create_copies(&cluster, syncs).await?;
    let mark = cluster.audit().mark().await?;
    cluster.replicas[0].process().freeze()?;
    for edit in 1..=30 {
        let edit = json!({"data": {"a": edit.to_string()}});
        fixture.patch_config_map("central", "hot", &edit).await?;
    }
    cluster.replicas[0].process().thaw()?;
    wait_value(&fixture, syncs, "30").await?;
    wait_all_synced(&fixture, syncs).await?;
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes(&events);
    ensure!(writes.len() == syncs, "{} writes:\n{}", writes.len(), lines(&writes));
    let reads = data_reads_by_operator(&events);
    ensure!(reads.len() <= 2, "{}", lines(&reads));
    Ok(())
}
