//! What may happen between the wish to delete a ConfigMapSync and its end.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names;
use harness::audit_queries::by_operator;
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

/// Time for Kubernetes itself to empty a namespace.
const EMPTIED: Duration = Duration::from_mins(1);
const THEIRS: &str = "example.com/theirs";

fn finalizers(finalizers: &[&str]) -> Value {
    json!({"metadata": {"finalizers": finalizers}})
}

/// Waits until the sync says that it is being deleted.
async fn wait_deleting(fixture: &Fixture, namespace: &str, name: &str) -> Result<()> {
    let deleting = |sync: &_| reason(sync) == "Deleting";
    fixture.wait_sync(namespace, name, "it says that it is deleted", SOON, deleting).await?;
    Ok(())
}

#[tokio::test]
async fn only_our_finalizer_is_removed_whatever_their_order() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    let ours = names::FINALIZER;
    let orders: [&[&str]; 3] =
        [&[ours, THEIRS], &[THEIRS, ours], &["example.com/first", ours, THEIRS]];
    for (number, order) in orders.into_iter().enumerate() {
        let name = format!("shared-{number}");
        fixture.create_config_map("central", &name, &[("a", "1")]).await?;
        fixture.create_sync("central", &name, one_to_one("central", &name, "app")).await?;
        fixture.wait_reason("central", &name, "Synced", SOON).await?;
        fixture.patch_sync("central", &name, &finalizers(order)).await?;
        fixture.delete_sync("central", &name).await?;
        fixture.wait_no_config_map("app", &name, SOON).await?;
        let left: Vec<_> = order.iter().copied().filter(|it| *it != ours).collect();
        let only_theirs = |sync: &configmapsync::api::ConfigMapSync| {
            sync.metadata.finalizers.iter().flatten().eq(&left)
        };
        fixture.wait_sync("central", &name, "only theirs are left", SOON, only_theirs).await?;
        fixture.patch_sync("central", &name, &finalizers(&[])).await?;
        fixture.wait_no_sync("central", &name, SOON).await?;
    }
    Ok(())
}

#[tokio::test]
async fn theirs_may_go_first() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.one_copy(&[("a", "1")]).await?;
    fixture.patch_config_map("app", "shared", &finalizers(&[THEIRS])).await?;
    fixture.patch_sync("central", "sync", &finalizers(&[names::FINALIZER, THEIRS])).await?;
    fixture.delete_sync("central", "sync").await?;
    wait_deleting(&fixture, "central", "sync").await?;
    fixture.patch_sync("central", "sync", &finalizers(&[names::FINALIZER])).await?;
    let copy = fixture.config_map("app", "shared").await?.context("their finalizer holds it")?;
    ensure!(copy.metadata.finalizers.is_some(), "a finalizer of theirs was taken off");
    fixture.patch_config_map("app", "shared", &finalizers(&[])).await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    ensure!(fixture.config_map("app", "shared").await?.is_none(), "the copy goes first");
    Ok(())
}

#[tokio::test]
async fn a_spec_edited_on_the_way_out_changes_nothing() -> Result<()> {
    let mut world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["elsewhere"]).await?;
    fixture.one_copy(&[("a", "1")]).await?;
    // One is held by its copy, and edited while we look; the other while nobody does.
    fixture.create_config_map("central", "other", &[("a", "1")]).await?;
    fixture.create_sync("central", "other", one_to_one("central", "other", "app")).await?;
    fixture.wait_reason("central", "other", "Synced", SOON).await?;
    fixture.patch_config_map("app", "shared", &finalizers(&[THEIRS])).await?;
    fixture.delete_sync("central", "sync").await?;
    wait_deleting(&fixture, "central", "sync").await?;

    let mark = world.audit().mark().await?;
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
        fixture.wait_sync("central", "sync", "the edit was looked at", SOON, seen).await?;
    }
    fixture.patch_config_map("app", "shared", &finalizers(&[])).await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    ensure!(fixture.config_map("app", "shared").await?.is_none(), "the copy is left");

    world.replica()?.terminate_and_wait().await?;
    fixture.delete_sync("central", "other").await?;
    for edit in &edits {
        fixture.patch_sync("central", "other", edit).await?;
    }
    world.replica()?.restart()?;
    fixture.wait_no_sync("central", "other", SOON).await?;
    ensure!(fixture.config_map("app", "other").await?.is_none(), "the copy is left");
    let events = world.audit().since(mark).await?;
    let writes = operations(&copy_writes(&events));
    ensure!(writes == [("delete", "app")], "{writes:?}");
    Ok(())
}

#[tokio::test]
async fn events_that_cannot_be_recorded_block_nothing() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["team", "central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_sync("team", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("team", "sync", "Synced", SOON).await?;
    fixture.patch_config_map("app", "shared", &finalizers(&[THEIRS])).await?;

    let mark = world.audit().mark().await?;
    fixture.delete_namespace("team").await?;
    wait_deleting(&fixture, "team", "sync").await?;
    until("an Event was refused in the namespace that goes", SOON, || async {
        let events = world.audit().since(mark).await?;
        let recorded: Vec<_> =
            by_operator(&events).filter(|it| it.resource() == "events").collect();
        let refused = recorded.iter().any(|event| event.response_status.code == 403);
        Ok(Seen::from_bool(refused, || testbed::audit::lines(&recorded)))
    })
    .await?;
    fixture.patch_config_map("app", "shared", &finalizers(&[])).await?;
    fixture.wait_no_config_map("app", "shared", SOON).await?;
    fixture.wait_no_namespace("team", EMPTIED).await
}

#[tokio::test]
async fn a_namespace_that_goes_takes_the_copies_of_its_syncs_along() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    // Some sources and destinations lie in the namespace that goes; a destination goes with it.
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
        ensure!(left.is_none(), "{namespace}/{name} is left");
    }
    fixture.wait_data("web", "shared", &[("a", "1")], SOON).await?;
    fixture.wait_data("central", "shared", &[("a", "1")], SOON).await?;
    Ok(())
}
