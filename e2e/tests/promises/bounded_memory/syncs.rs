//! ConfigMapSyncs of the largest size.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use configmapsync::api::ConfigMapSyncSpec;
use configmapsync::api::DestinationMetadata;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use harness::fixture::Fixture;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

use crate::bounded_memory::commands::peak_of_command;
use crate::bounded_memory::growth::Growth;
use crate::bounded_memory::growth::ensure_bounded;
use crate::bounded_memory::growth::start_again;
use crate::support::copies::to_selected;
use crate::support::process::peak_kib;
use crate::support::process::reset_peak;
use crate::support::process::resident_kib;
use crate::support::scale::quick_or_full;

const CONCURRENCY: usize = 2;

/// The time for the reconciles of all of them: two at a time, each with large requests.
fn reconciled() -> Duration {
    quick_or_full(Duration::from_mins(3), Duration::from_mins(15))
}

/// A spec of 650 KB: a selector of many values, and as much metadata as is allowed.
fn large_spec() -> ConfigMapSyncSpec {
    let value = |number: usize| format!("{number:063}");
    let expression = |number: usize| LabelSelectorRequirement {
        key: format!("key-{number}"),
        operator: "In".to_owned(),
        values: Some((0..256).map(value).collect()),
    };
    let selector = LabelSelector {
        match_expressions: Some((0..32).map(expression).collect()),
        ..LabelSelector::default()
    };
    let annotations: BTreeMap<_, _> =
        (0..30).map(|number| (format!("note-{number}"), "x".repeat(4_000))).collect();
    let metadata = DestinationMetadata { annotations, ..DestinationMetadata::default() };
    ConfigMapSyncSpec { destination_metadata: Some(metadata), ..to_selected(selector) }
}

async fn create_large_syncs(fixture: &Fixture, count: usize) -> Result<()> {
    let spec = large_spec();
    stream::iter(0..count)
        .map(|number| {
            let spec = spec.clone();
            async move { fixture.create_sync("central", &format!("large-{number}"), spec).await }
        })
        .buffer_unordered(CONCURRENCY)
        .try_for_each(async |_| Ok(()))
        .await?;
    for number in 0..count {
        fixture.wait_reason("central", &format!("large-{number}"), "Synced", reconciled()).await?;
    }
    Ok(())
}

#[tokio::test]
async fn large_syncs_take_little_memory() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let at_start = start_again(cluster.replica()?).await?;
    let commands: [(&'static str, &[&str]); 3] =
        [("plan", &["plan"]), ("sweep", &["sweep", "--yes"]), ("check", &["check"])];
    let mut without = Vec::new();
    for (_, arguments) in &commands {
        without.push(peak_of_command(&cluster, arguments).await?);
    }
    let process = cluster.replicas.first().context("no replica")?.process();
    let before = resident_kib(process)?;
    reset_peak(process)?;
    create_large_syncs(&fixture, quick_or_full(40, 300)).await?;
    let by_watch = peak_kib(process)?;
    let again = start_again(cluster.replica()?).await?;
    let mut growths = vec![
        Growth { what: "ConfigMapSyncs by watch", without: before, with: by_watch },
        Growth { what: "ConfigMapSyncs at start", without: at_start, with: again },
    ];
    for ((what, arguments), without) in commands.into_iter().zip(without) {
        let with = peak_of_command(&cluster, arguments).await?;
        growths.push(Growth { what, without, with });
    }
    ensure_bounded(&growths)
}
