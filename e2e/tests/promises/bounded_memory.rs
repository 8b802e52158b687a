//! Memory does not depend on the size of objects: a tenant who creates ConfigMaps, ConfigMapSyncs or
//! namespaces of the largest size, with as many keys or labels as fit, cannot exhaust the memory of the operator, nor that of its commands.
//!
//! Memory is the peak of the resident set, beside that of the same process without these objects.
//! `E2E_FULL=1` creates 300 ConfigMaps instead of 12.

mod annotations;
mod commands;
mod copies;
mod growth;
mod namespaces;
pub mod objects;
mod syncs;

use anyhow::Context;
use anyhow::Result;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;

use crate::bounded_memory::commands::peak_of_command;
use crate::bounded_memory::growth::Growth;
use crate::bounded_memory::growth::ensure_bounded;
use crate::bounded_memory::growth::listed;
use crate::bounded_memory::growth::relist;
use crate::bounded_memory::growth::start_again;
use crate::bounded_memory::objects::create_large_config_maps;
use crate::support::process::peak_kib;
use crate::support::process::reset_peak;
use crate::support::process::resident_kib;
use crate::support::scale::quick_or_full;

/// Changes the source, and waits until its copy follows: by then, the watch has delivered everything
/// that was created before.
async fn wait_for_the_watch(fixture: &Fixture, value: &str) -> Result<()> {
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": value}})).await?;
    fixture.wait_data("app", "shared", &[("a", value)], listed()).await?;
    Ok(())
}

#[tokio::test]
async fn large_config_maps_take_little_memory_of_the_leader() -> Result<()> {
    let (mut cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app", "tenant"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "0")]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let at_start = start_again(cluster.replica()?).await?;
    wait_for_the_watch(&fixture, "1").await?;

    let process = cluster.replicas.first().context("no replica")?.process();
    let before = resident_kib(process)?;
    reset_peak(process)?;
    create_large_config_maps(&fixture, "tenant", quick_or_full(12, 300)).await?;
    wait_for_the_watch(&fixture, "2").await?;
    let by_watch = peak_kib(process)?;

    reset_peak(process)?;
    relist(&proxy, "configmaps").await?;
    wait_for_the_watch(&fixture, "3").await?;
    let by_list = peak_kib(process)?;

    let again = start_again(cluster.replica()?).await?;
    wait_for_the_watch(&fixture, "4").await?;
    ensure_bounded(&[
        Growth { what: "by watch", without: before, with: by_watch },
        Growth { what: "on a new list", without: before, with: by_list },
        Growth { what: "at start", without: at_start, with: again },
    ])
}

#[tokio::test]
async fn large_config_maps_take_little_memory_of_commands() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "tenant"]).await?;
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
    // Those that are marked are listed by the commands that clean up, too.
    create_large_config_maps(&fixture, "tenant", quick_or_full(12, 300)).await?;
    let mut growths = Vec::new();
    for ((what, arguments), without) in commands.into_iter().zip(without) {
        let with = peak_of_command(&cluster, arguments).await?;
        growths.push(Growth { what, without, with });
    }
    ensure_bounded(&growths)
}
