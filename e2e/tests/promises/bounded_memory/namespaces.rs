//! Namespaces with labels of the largest size.

use anyhow::Context;
use anyhow::Result;
use configmapsync::api::ConfigMapSyncSpec;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;

use crate::bounded_memory::commands::peak_of_command;
use crate::bounded_memory::growth::Growth;
use crate::bounded_memory::growth::ensure_bounded;
use crate::bounded_memory::growth::listed;
use crate::bounded_memory::growth::relist;
use crate::bounded_memory::growth::start_again;
use crate::support::copies::to_selected;
use crate::support::copies::wait_copies_in;
use crate::support::copies::with_labels;
use crate::support::process::peak_kib;
use crate::support::process::reset_peak;
use crate::support::process::resident_kib;
use crate::support::scale::quick_or_full;

/// So many of the longest labels, and their `managedFields`, fill the largest object that etcd accepts.
const LABELS: usize = 2_000;
const CONCURRENCY: usize = 2;

fn large_name(number: usize) -> String {
    format!("large-{number}")
}

fn spec() -> ConfigMapSyncSpec {
    to_selected(with_labels(&[("zone", "a")]))
}

/// Creates namespaces with as many labels as fit. The selector selects every other one.
async fn create_large_namespaces(fixture: &Fixture, count: usize) -> Result<()> {
    let (prefix, name, value) = ("p".repeat(248), "n".repeat(63), "v".repeat(63));
    let mut labels: Vec<_> =
        (0..LABELS).map(|number| (format!("{prefix}.{number:04}/{name}"), value.clone())).collect();
    labels.push(("zone".to_owned(), String::new()));
    let create = async |number: usize| {
        let zone = if number.is_multiple_of(2) { "a" } else { "b" };
        let labels = labels.iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let labels: Vec<_> =
            labels.map(|(key, value)| (key, if key == "zone" { zone } else { value })).collect();
        fixture.create_labelled_namespace(&large_name(number), &labels).await
    };
    let created = stream::iter(0..count).map(create).buffer_unordered(CONCURRENCY);
    created.try_for_each(async |_| Ok(())).await
}

/// Waits until exactly the selected ones of `count` large namespaces have copies with this value.
async fn wait_copied(fixture: &Fixture, count: usize, value: &str) -> Result<()> {
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": value}})).await?;
    let selected: Vec<_> = (0..count).step_by(2).map(large_name).collect();
    let names: Vec<_> = selected.iter().map(String::as_str).chain(["small"]).collect();
    wait_copies_in(fixture, "sync", &names, listed()).await?;
    for namespace in names {
        fixture.wait_data(namespace, "shared", &[("a", value)], listed()).await?;
    }
    Ok(())
}

async fn create_source_and_sync(fixture: &Fixture) -> Result<()> {
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_labelled_namespace("small", &[("zone", "a")]).await?;
    fixture.create_config_map("central", "shared", &[("a", "0")]).await?;
    fixture.create_sync("central", "sync", spec()).await?;
    Ok(())
}

#[tokio::test]
async fn large_namespaces_take_little_memory_of_the_leader() -> Result<()> {
    let count = quick_or_full(48, 300);
    let (mut cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    create_source_and_sync(&fixture).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let at_start = start_again(cluster.replica()?).await?;
    wait_copied(&fixture, 0, "1").await?;

    let process = cluster.replicas.first().context("no replica")?.process();
    let before = resident_kib(process)?;
    reset_peak(process)?;
    create_large_namespaces(&fixture, count).await?;
    wait_copied(&fixture, count, "2").await?;
    let by_watch = peak_kib(process)?;

    reset_peak(process)?;
    relist(&proxy, "namespaces").await?;
    wait_copied(&fixture, count, "3").await?;
    let by_list = peak_kib(process)?;

    start_again(cluster.replica()?).await?;
    wait_copied(&fixture, count, "4").await?;
    let again = peak_kib(cluster.replica()?.process())?;
    ensure_bounded(&[
        Growth { what: "namespaces by watch", without: before, with: by_watch },
        Growth { what: "namespaces on a new list", without: before, with: by_list },
        Growth { what: "namespaces at start", without: at_start, with: again },
    ])
}

#[tokio::test]
async fn large_namespaces_take_little_memory_of_commands() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    create_source_and_sync(&fixture).await?;
    let commands: [(&'static str, &[&str]); 4] = [
        ("plan", &["plan"]),
        ("check", &["check"]),
        ("sweep", &["sweep", "--yes"]),
        ("uninstall", &["uninstall", "--yes"]),
    ];
    let mut without = Vec::new();
    for (_, arguments) in &commands {
        without.push(peak_of_command(&cluster, arguments).await?);
    }
    create_large_namespaces(&fixture, quick_or_full(48, 300)).await?;
    let mut growths = Vec::new();
    for ((what, arguments), without) in commands.into_iter().zip(without) {
        let with = peak_of_command(&cluster, arguments).await?;
        growths.push(Growth { what, without, with });
    }
    ensure_bounded(&growths)
}
