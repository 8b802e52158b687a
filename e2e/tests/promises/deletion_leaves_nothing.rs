//! The deletion of a ConfigMapSync deletes its copies, or, with `Retain`, removes our markers from
//! them. This holds if the operator was down, if there are other finalizers, if the spec is edited
//! while it is being deleted, and if its namespace is deleted.

mod backoffs;
mod while_deleting;

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::DeletionPolicy;
use configmapsync::names;
use futures::future::try_join_all;
use harness::audit_queries::writes_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;
use testbed::audit::Event;
use testbed::audit::lines;

/// A removed finalizer is added again within this time.
const ADDED_AGAIN: Duration = Duration::from_secs(5);
/// Deadline of the cleanup after a start, which includes the election.
const AFTER_START: Duration = Duration::from_mins(1);
/// Enough for some reconciles to begin before the watch delivers the writes of earlier ones.
const MANY: usize = 40;

async fn create_copy(
    cluster: &OperatorCluster,
    deletion_policy: DeletionPolicy,
) -> Result<Fixture> {
    let fixture = cluster.fixture();
    let mut spec = one_to_one("central", "shared", "app");
    spec.deletion_policy = deletion_policy;
    fixture.create_synced_copy_with(spec, &[("a", "1")]).await?;
    Ok(fixture)
}

#[tokio::test]
async fn deletion_deletes_the_copy_then_removes_the_finalizer() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster, DeletionPolicy::Delete).await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    ensure!(
        fixture.config_map("app", "shared").await?.is_none(),
        "app/shared outlived its ConfigMapSync"
    );
    Ok(())
}

#[tokio::test]
async fn deletion_while_the_operator_is_down_is_cleaned_up() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster, DeletionPolicy::Delete).await?;
    cluster.replica()?.terminate_and_wait().await?;
    fixture.delete_sync("central", "sync").await?;
    let waiting = fixture
        .sync("central", "sync")
        .await?
        .context("central/sync was deleted in spite of its finalizer")?;
    let finalizers = waiting.metadata.finalizers.unwrap_or_default();
    ensure!(finalizers == [names::FINALIZER], "{finalizers:?}");
    ensure!(
        fixture.config_map("app", "shared").await?.is_some(),
        "app/shared was deleted while the operator was down"
    );

    let mark = cluster.audit().mark().await?;
    cluster.replica()?.restart()?;
    fixture.wait_no_sync("central", "sync", AFTER_START).await?;
    ensure!(
        fixture.config_map("app", "shared").await?.is_none(),
        "app/shared outlived its ConfigMapSync"
    );
    let events = cluster.audit().since(mark).await?;
    let writes = except_status(writes_by_operator(&events));
    let order: Vec<_> = writes.iter().map(|it| (it.verb.as_str(), it.resource())).collect();
    let expected = [("delete", "configmaps"), ("patch", "configmapsyncs")];
    ensure!(order == expected, "{}", lines(&writes));
    Ok(())
}

#[tokio::test]
async fn concurrent_deletions_cause_no_failed_writes() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let names: Vec<_> = (0..MANY).map(|number| format!("sync-{number}")).collect();
    for name in &names {
        let mut spec = one_to_one("central", "shared", "app");
        spec.destination_name = Some(name.clone());
        fixture.create_sync("central", name, spec).await?;
    }
    for name in &names {
        fixture.wait_reason("central", name, "Synced", SOON).await?;
    }
    let mark = cluster.audit().mark().await?;
    try_join_all(names.iter().map(|name| fixture.delete_sync("central", name))).await?;
    for name in &names {
        fixture.wait_no_sync("central", name, SOON).await?;
    }
    // A reconcile that begins before the watch delivers the deletion has nothing to write.
    let events = cluster.audit().since(mark).await?;
    let mut writes = writes_by_operator(&events);
    ensure!(writes.len() >= 2 * MANY, "{}", lines(&writes));
    writes.retain(|event| !event.succeeded());
    ensure!(writes.is_empty(), "{}", lines(&writes));
    Ok(())
}

#[tokio::test]
async fn retain_keeps_the_data_and_removes_our_markers() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster, DeletionPolicy::Retain).await?;
    let theirs = json!({"metadata": {"labels": {"team": "a"}}});
    let before = fixture.patch_config_map("app", "shared", &theirs).await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;

    let left = fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    ensure!(
        left.metadata.uid == before.metadata.uid,
        "the ConfigMap was recreated instead of released"
    );
    let labels = left.metadata.labels.unwrap_or_default();
    let annotations = left.metadata.annotations.unwrap_or_default();
    ensure!(labels.len() == 1 && labels.contains_key("team"), "{labels:#?}");
    ensure!(annotations.is_empty(), "{annotations:#?}");
    Ok(())
}

#[tokio::test]
async fn a_removed_finalizer_is_added_again() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster, DeletionPolicy::Delete).await?;
    let before = fixture.config_map("app", "shared").await?.context("no copy app/shared")?;
    fixture.patch_sync("central", "sync", &json!({"metadata": {"finalizers": null}})).await?;
    let ours = Some(vec![names::FINALIZER.to_owned()]);
    let what = "the finalizer of central/sync is added again";
    fixture
        .wait_sync("central", "sync", what, ADDED_AGAIN, |sync| sync.metadata.finalizers == ours)
        .await?;
    let after = fixture.config_map("app", "shared").await?.context("no copy app/shared")?;
    ensure!(
        after.metadata.resource_version == before.metadata.resource_version,
        "the copy was written"
    );
    Ok(())
}

/// The writes without those of the status, which may report `Deleting` while a deletion is pending.
fn except_status(mut writes: Vec<&Event>) -> Vec<&Event> {
    writes.retain(|write| write.object_ref.subresource.is_empty());
    writes
}

#[tokio::test]
async fn deletion_takes_two_writes_for_each_sync() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let names: Vec<_> = (0..30).map(|n| format!("copy-{n}")).collect();
    for name in &names {
        let mut spec = one_to_one("central", "shared", "app");
        spec.destination_name = Some(name.clone());
        fixture.create_sync("central", name, spec).await?;
        fixture.wait_reason("central", name, "Synced", SOON).await?;
    }
    let mark = cluster.audit().mark().await?;
    for name in &names {
        fixture.delete_sync("central", name).await?;
        fixture.wait_no_sync("central", name, SOON).await?;
    }
    let events = cluster.audit().since(mark).await?;
    let writes = except_status(writes_by_operator(&events));
    let expected = 2 * names.len();
    let all_succeeded = writes.iter().all(|write| write.succeeded());
    let listed = lines(&writes);
    ensure!(
        writes.len() == expected && all_succeeded,
        "{} writes instead of {expected}:\n{listed}",
        writes.len()
    );
    Ok(())
}
