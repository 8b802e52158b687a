//! The labels and annotations of `destinationMetadata` are on each copy and are repaired; removed
//! ones are removed from the copies. Foreign ones are kept, and those of the source are not copied.

mod changed_managers;
mod support;

use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::DeletionPolicy;
use configmapsync::names;
use harness::audit_queries::copy_writes_in;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;
use testbed::audit::lines;

use crate::destination_metadata::support::create_labelled_copy;
use crate::destination_metadata::support::wait_metadata;
use crate::support::scale::propagation;

#[tokio::test]
async fn stamped_metadata_is_repaired_and_foreign_kept() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_labelled_copy(&cluster, DeletionPolicy::Delete).await?;
    let ours = [("team", "a"), ("tier", "web")];
    for edit in [
        json!({"labels": {"team": "b"}}),
        json!({"labels": {"team": null, "tier": null}}),
        json!({"annotations": {"example.com/note": "by them"}}),
        json!({"annotations": {"example.com/note": null}}),
    ] {
        fixture.patch_config_map("app", "shared", &json!({"metadata": edit})).await?;
        wait_metadata(&fixture, &ours, &[("example.com/note", "by us")]).await?;
    }
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;

    let mark = cluster.audit().mark().await?;
    let theirs = json!({"labels": {"owner": "them"}, "annotations": {"example.com/theirs": "x"}});
    fixture.patch_config_map("app", "shared", &json!({"metadata": theirs})).await?;
    fixture.patch_config_map("central", "shared", &json!({"metadata": theirs})).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    let both = [("owner", "them"), ("team", "a"), ("tier", "web")];
    let notes = [("example.com/note", "by us"), ("example.com/theirs", "x")];
    wait_metadata(&fixture, &both, &notes).await?;
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes_in(&events, "app");
    ensure!(writes.len() == 1, "{}", lines(&writes));
    Ok(())
}

#[tokio::test]
async fn metadata_of_the_source_is_not_copied() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let theirs = json!({"metadata": {
        "labels": {"owner": "them", "app.kubernetes.io/managed-by": "Helm"},
        "annotations": {
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
            "argocd.argoproj.io/tracking-id": "x",
        },
        "finalizers": ["example.com/hold"],
    }});
    fixture.patch_config_map("central", "shared", &theirs).await?;
    let mark = cluster.audit().mark().await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let copy = wait_metadata(&fixture, &[], &[]).await?;
    // A single write: foreign metadata was not even there for a moment.
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes_in(&events, "app");
    ensure!(writes.len() == 1 && writes[0].verb == "create", "{}", lines(&writes));
    ensure!(copy.metadata.finalizers.is_none() && copy.metadata.owner_references.is_none());
    let labels = copy.metadata.labels.unwrap_or_default();
    ensure!(labels[names::LABEL_MANAGED_BY] == names::MANAGED_BY, "{labels:?}");
    Ok(())
}

#[tokio::test]
async fn changed_metadata_in_the_spec_is_applied() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_labelled_copy(&cluster, DeletionPolicy::Delete).await?;
    let theirs = json!({"metadata": {"labels": {"owner": "them"}}});
    let before = fixture.patch_config_map("app", "shared", &theirs).await?;

    let other = json!({"labels": {"team": "b", "tier": null, "new": "one"}, "annotations": null});
    let spec = json!({"spec": {"destinationMetadata": other}});
    fixture.patch_sync("central", "sync", &spec).await?;
    let labels = [("new", "one"), ("owner", "them"), ("team", "b")];
    wait_metadata(&fixture, &labels, &[]).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;

    let none = json!({"spec": {"destinationMetadata": null}});
    fixture.patch_sync("central", "sync", &none).await?;
    let after = wait_metadata(&fixture, &[("owner", "them")], &[]).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    ensure!(after.metadata.uid == before.metadata.uid && after.data == before.data);
    Ok(())
}

#[tokio::test]
async fn keys_dropped_while_the_operator_is_down_are_removed() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = create_labelled_copy(&cluster, DeletionPolicy::Delete).await?;
    let theirs = json!({"metadata": {"labels": {"owner": "them"}}});
    fixture.patch_config_map("app", "shared", &theirs).await?;
    cluster.replica()?.terminate_and_wait().await?;
    let fewer = json!({"labels": {"team": null}, "annotations": null});
    let spec = json!({"spec": {"destinationMetadata": fewer}});
    fixture.patch_sync("central", "sync", &spec).await?;
    cluster.replica()?.restart()?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    wait_metadata(&fixture, &[("owner", "them"), ("tier", "web")], &[]).await?;
    Ok(())
}

#[tokio::test]
async fn a_retained_copy_keeps_stamped_metadata() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_labelled_copy(&cluster, DeletionPolicy::Retain).await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    let labels = [("team", "a"), ("tier", "web")];
    let left = wait_metadata(&fixture, &labels, &[("example.com/note", "by us")]).await?;
    let labels = left.metadata.labels.unwrap_or_default();
    ensure!(labels.len() == 2, "{labels:?}");
    Ok(())
}
