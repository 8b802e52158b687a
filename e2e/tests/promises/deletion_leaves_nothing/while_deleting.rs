//! What may happen between the DELETE of a ConfigMapSync and the removal of its last finalizer:
//! foreign finalizers, edits, deletion of namespaces. Events that cannot be recorded block nothing.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names;
use harness::audit_queries::requests_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use serde_json::Value;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::audit::copy_writes;
use crate::support::audit::operations;
use crate::support::conditions::reason;

/// Time for Kubernetes to empty a namespace.
const EMPTIED: Duration = Duration::from_mins(1);
const FOREIGN: &str = "example.com/theirs";

fn finalizers(finalizers: &[&str]) -> Value {
    json!({"metadata": {"finalizers": finalizers}})
}

/// Waits until the ConfigMapSync reports `Deleting`.
async fn wait_deleting(fixture: &Fixture, namespace: &str, name: &str) -> Result<()> {
    let deleting = |sync: &_| reason(sync) == "Deleting";
    fixture.wait_sync(namespace, name, "the reason is Deleting", SOON, deleting).await?;
    Ok(())
}

#[tokio::test]
async fn only_our_finalizer_is_removed_in_any_order() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    let ours = names::FINALIZER;
    let orders: [&[&str]; 3] =
        [&[ours, FOREIGN], &[FOREIGN, ours], &["example.com/first", ours, FOREIGN]];
    for (number, order) in orders.into_iter().enumerate() {
        let name = format!("shared-{number}");
        fixture.create_config_map("central", &name, &[("a", "1")]).await?;
        fixture.create_sync("central", &name, one_to_one("central", &name, "app")).await?;
        fixture.wait_reason("central", &name, "Synced", SOON).await?;
        fixture.patch_sync("central", &name, &finalizers(order)).await?;
        fixture.delete_sync("central", &name).await?;
        fixture.wait_no_config_map("app", &name, SOON).await?;
        let left: Vec<_> = order.iter().copied().filter(|it| *it != ours).collect();
        let only_foreign = |sync: &configmapsync::api::ConfigMapSync| {
            sync.metadata.finalizers.iter().flatten().eq(&left)
        };
        fixture
            .wait_sync("central", &name, "only foreign finalizers are left", SOON, only_foreign)
            .await?;
        fixture.patch_sync("central", &name, &finalizers(&[])).await?;
        fixture.wait_no_sync("central", &name, SOON).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_foreign_finalizer_may_be_removed_first() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    fixture.patch_config_map("app", "shared", &finalizers(&[FOREIGN])).await?;
    fixture.patch_sync("central", "sync", &finalizers(&[names::FINALIZER, FOREIGN])).await?;
    fixture.delete_sync("central", "sync").await?;
    wait_deleting(&fixture, "central", "sync").await?;
    fixture.patch_sync("central", "sync", &finalizers(&[names::FINALIZER])).await?;
    let copy = fixture
        .config_map("app", "shared")
        .await?
        .context("app/shared was deleted in spite of its finalizer")?;
    ensure!(copy.metadata.finalizers.is_some(), "a foreign finalizer was removed");
    fixture.patch_config_map("app", "shared", &finalizers(&[])).await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    ensure!(
        fixture.config_map("app", "shared").await?.is_none(),
        "app/shared outlived its ConfigMapSync"
    );
    Ok(())
}

#[tokio::test]
async fn edits_while_deleting_change_no_copy() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["elsewhere"]).await?;
    fixture.create_synced_copy(&[("a", "1")]).await?;
    // `sync`, held by its copy, is edited while the operator runs; `other` while it is down.
    fixture.create_config_map("central", "other", &[("a", "1")]).await?;
    fixture.create_sync("central", "other", one_to_one("central", "other", "app")).await?;
    fixture.wait_reason("central", "other", "Synced", SOON).await?;
    fixture.patch_config_map("app", "shared", &finalizers(&[FOREIGN])).await?;
    fixture.delete_sync("central", "sync").await?;
    wait_deleting(&fixture, "central", "sync").await?;

    let mark = cluster.audit().mark().await?;
    let edits = [
        json!({"spec": {"destinationNamespace": "elsewhere"}}),
        json!({"spec": {"destinationNamespace": "elsewhere", "destinationName": "new"}}),
        json!({"spec": {"configMapName": "other", "suspend": true}}),
    ];
    for edit in &edits {
        let edited = fixture.patch_sync("central", "sync", edit).await?;
        let seen = |sync: &configmapsync::api::ConfigMapSync| {
            let generation = sync.status.as_ref().and_then(|status| status.observed_generation);
            generation >= edited.metadata.generation
        };
        fixture
            .wait_sync("central", "sync", "the edited generation is observed", SOON, seen)
            .await?;
    }
    fixture.patch_config_map("app", "shared", &finalizers(&[])).await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    ensure!(fixture.config_map("app", "shared").await?.is_none(), "the copy was left behind");

    cluster.replica()?.terminate_and_wait().await?;
    fixture.delete_sync("central", "other").await?;
    for edit in &edits {
        fixture.patch_sync("central", "other", edit).await?;
    }
    cluster.replica()?.restart()?;
    fixture.wait_no_sync("central", "other", SOON).await?;
    ensure!(fixture.config_map("app", "other").await?.is_none(), "the copy was left behind");
    let events = cluster.audit().since(mark).await?;
    let writes = operations(&copy_writes(&events));
    ensure!(writes == [("delete", "app")], "{writes:?}");
    Ok(())
}

#[tokio::test]
async fn refused_events_block_no_deletion() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["team", "central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_sync("team", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("team", "sync", "Synced", SOON).await?;
    fixture.patch_config_map("app", "shared", &finalizers(&[FOREIGN])).await?;

    let mark = cluster.audit().mark().await?;
    fixture.delete_namespace("team").await?;
    wait_deleting(&fixture, "team", "sync").await?;
    until("an Event is refused in the terminating namespace", SOON, || async {
        let events = cluster.audit().since(mark).await?;
        let recorded: Vec<_> =
            requests_by_operator(&events).filter(|it| it.resource() == "events").collect();
        let refused = recorded.iter().any(|event| event.response_status.code == 403);
        Ok(Seen::from_bool(refused, || testbed::audit::lines(&recorded)))
    })
    .await?;
    fixture.patch_config_map("app", "shared", &finalizers(&[])).await?;
    fixture.wait_no_config_map("app", "shared", SOON).await?;
    fixture.wait_no_namespace("team", EMPTIED).await
}

#[tokio::test]
async fn deleting_a_namespace_deletes_the_copies_of_its_syncs() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    // The deleted namespace `team` is also a source and a destination; `doomed` is a destination.
    fixture.create_namespaces(&["team", "central", "app", "web", "doomed"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_config_map("team", "own", &[("a", "1")]).await?;
    let copies = [
        ("central", "shared", "app"),
        ("central", "shared", "team"),
        ("team", "own", "web"),
        ("central", "shared", "doomed"),
    ];
    for (number, (namespace, source, destination)) in copies.into_iter().enumerate() {
        let name = format!("sync-{number}");
        fixture.create_sync("team", &name, one_to_one(namespace, source, destination)).await?;
        fixture.wait_reason("team", &name, "Synced", SOON).await?;
    }
    fixture.create_sync("central", "stays", one_to_one("central", "shared", "web")).await?;
    fixture.wait_reason("central", "stays", "Synced", SOON).await?;

    fixture.delete_namespace("team").await?;
    fixture.delete_namespace("doomed").await?;
    fixture.wait_no_namespace("team", EMPTIED).await?;
    fixture.wait_no_namespace("doomed", EMPTIED).await?;
    for (namespace, name) in [("app", "shared"), ("web", "own")] {
        let left = fixture.config_map(namespace, name).await?;
        ensure!(left.is_none(), "{namespace}/{name} was left behind");
    }
    fixture.wait_data("web", "shared", &[("a", "1")], SOON).await?;
    fixture.wait_data("central", "shared", &[("a", "1")], SOON).await?;
    Ok(())
}
