//! With `conflictPolicy: Adopt`, a ConfigMap that already exists at the destination becomes the
//! copy. It is released in the end, never deleted. A ConfigMap that has an owner, is immutable or
//! is managed by another tool is not adopted.

mod leftover_markers;
mod support;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConflictPolicy;
use configmapsync::names;
use harness::audit_queries::copy_writes_in;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;
use serde_json::json;
use testbed::audit::lines;

use crate::adoption::support::adopting_spec;
use crate::adoption::support::create_source_and_foreign;
use crate::adoption::support::ensure_released;
use crate::support::conditions::message;
use crate::support::copies::to_selected;
use crate::support::copies::with_labels;
use crate::support::scale::propagation;

#[tokio::test]
async fn adopted_copy_is_kept_in_sync_and_released_on_deletion() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    let before = create_source_and_foreign(&fixture, "shared").await?;
    let mark = cluster.audit().mark().await?;
    fixture.create_sync("central", "sync", adopting_spec("shared")).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let copy = fixture.wait_data("app", "shared", &[("a", "ours")], SOON).await?;
    ensure!(
        copy.metadata.uid == before.metadata.uid,
        "the ConfigMap was recreated instead of adopted"
    );
    let annotations = copy.metadata.annotations.unwrap_or_default();
    ensure!(!annotations.contains_key(names::ANNOTATION_CREATED), "{annotations:?}");
    let labels = copy.metadata.labels.unwrap_or_default();
    ensure!(labels.contains_key("owner"), "{labels:?}");

    // It is repaired and updated like any copy, even after the policy is back to Refuse.
    fixture.patch_config_map("app", "shared", &json!({"data": {"a": "edited"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "ours")], propagation()).await?;
    let refuse = json!({"spec": {"conflictPolicy": "Refuse"}});
    fixture.patch_sync("central", "sync", &refuse).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;

    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    let left = fixture.wait_data("app", "shared", &[("a", "2")], SOON).await?;
    ensure_released(&before, &left)?;
    let events = cluster.audit().since(mark).await?;
    let mut writes = copy_writes_in(&events, "app");
    // A create that fails with 409 is how the operator may detect an existing ConfigMap.
    writes.retain(|event| event.succeeded());
    ensure!(writes.iter().all(|event| event.verb == "patch"), "{}", lines(&writes));
    Ok(())
}

#[tokio::test]
async fn adopted_copy_is_released_when_no_longer_desired() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_labelled_namespace("app", &[("team", "a")]).await?;
    let before = create_source_and_foreign(&fixture, "shared").await?;
    let mut spec = to_selected(with_labels(&[("team", "a")]));
    spec.conflict_policy = ConflictPolicy::Adopt;
    fixture.create_sync("central", "sync", spec).await?;
    // `Synced` is also the reason while the selector matches no namespace.
    let is_adopted = |copy: &ConfigMap| copy.metadata.annotations.is_some();
    fixture.wait_config_map("app", "shared", "app/shared is adopted", SOON, is_adopted).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    fixture.label_namespace("app", &json!({"team": "b"})).await?;
    let is_released = |copy: &ConfigMap| copy.metadata.annotations.is_none();
    let left = fixture
        .wait_config_map("app", "shared", "app/shared is released", propagation(), is_released)
        .await?;
    ensure_released(&before, &left)?;

    // Adopted again, then released because the source is deleted.
    let wanted = json!({"spec": {"sourceDeletionPolicy": "Delete"}});
    fixture.patch_sync("central", "sync", &wanted).await?;
    fixture.label_namespace("app", &json!({"team": "a"})).await?;
    fixture
        .wait_config_map("app", "shared", "app/shared is adopted again", propagation(), is_adopted)
        .await?;
    fixture.delete_config_map("central", "shared").await?;
    let left = fixture
        .wait_config_map("app", "shared", "app/shared is released", propagation(), is_released)
        .await?;
    ensure_released(&before, &left)
}

/// ConfigMaps that are not adopted: name, the patch that makes it so, a word of the message.
fn not_adoptable(owner: &str) -> Vec<(&'static str, Value, &'static str)> {
    let reference =
        json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner}]);
    let managed = json!({"app.kubernetes.io/managed-by": "Helm"});
    vec![
        ("owned", json!({"metadata": {"ownerReferences": reference}}), "owner"),
        ("immutable", json!({"immutable": true}), "immutable"),
        ("managed", json!({"metadata": {"labels": managed}}), "managed"),
    ]
}

#[tokio::test]
async fn owned_immutable_or_managed_config_map_is_not_adopted() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    let owner = fixture.create_config_map("app", "owner", &[]).await?;
    let owner = owner.metadata.uid.context("no uid")?;
    let mark = cluster.audit().mark().await?;
    for (name, patch, words) in not_adoptable(&owner) {
        create_source_and_foreign(&fixture, name).await?;
        let before = fixture.patch_config_map("app", name, &patch).await?;
        fixture.create_sync("central", name, adopting_spec(name)).await?;
        let sync = fixture.wait_reason("central", name, "Conflict", SOON).await?;
        ensure!(message(&sync).contains(words), "{words}: {}", message(&sync));
        fixture.delete_sync("central", name).await?;
        fixture.wait_no_sync("central", name, SOON).await?;
        let now = fixture
            .config_map("app", name)
            .await?
            .with_context(|| format!("app/{name} was deleted"))?;
        ensure!(
            now.metadata.resource_version == before.metadata.resource_version,
            "app/{name} was written"
        );
    }
    let events = cluster.audit().since(mark).await?;
    let mut writes = copy_writes_in(&events, "app");
    writes.retain(|event| event.succeeded());
    ensure!(writes.is_empty(), "{}", lines(&writes));

    // Once `managed-by` is removed, it is adopted.
    let (name, _, _) = not_adoptable(&owner).remove(2);
    fixture.create_sync("central", name, adopting_spec(name)).await?;
    fixture.wait_reason("central", name, "Conflict", SOON).await?;
    let unmanaged = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}});
    fixture.patch_config_map("app", name, &unmanaged).await?;
    fixture.wait_data("app", name, &[("a", "ours")], propagation()).await?;
    Ok(())
}

#[tokio::test]
async fn conflict_is_adopted_once_the_policy_is_adopt() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    let before = create_source_and_foreign(&fixture, "shared").await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Conflict", SOON).await?;
    let adopt = json!({"spec": {"conflictPolicy": "Adopt"}});
    fixture.patch_sync("central", "sync", &adopt).await?;
    let copy = fixture.wait_data("app", "shared", &[("a", "ours")], propagation()).await?;
    ensure!(
        copy.metadata.uid == before.metadata.uid,
        "the ConfigMap was recreated instead of adopted"
    );
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}
