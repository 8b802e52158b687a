//! Promise: by consent (`conflictPolicy: Adopt`) a ConfigMap that stood there first is taken
//! over; it is released afterwards, never deleted; and what belongs to somebody else is refused.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncSpec;
use configmapsync::api::ConflictPolicy;
use configmapsync::names;
use harness::audit_queries::copy_writes_in;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Value;
use serde_json::json;
use testbed::audit::lines;

use crate::support::conditions::message;
use crate::support::copies::to_selected;
use crate::support::copies::with_labels;
use crate::support::scale::propagation;

fn adopting(name: &str) -> ConfigMapSyncSpec {
    ConfigMapSyncSpec {
        conflict_policy: ConflictPolicy::Adopt,
        ..one_to_one("central", name, "app")
    }
}

/// A source, and at its destination a ConfigMap of somebody else with a label of theirs.
async fn standing(fixture: &Fixture, name: &str) -> Result<ConfigMap> {
    fixture.create_config_map("central", name, &[("a", "ours")]).await?;
    fixture.create_config_map("app", name, &[("a", "theirs"), ("b", "theirs")]).await?;
    let theirs = json!({"metadata": {"labels": {"owner": "them"}}});
    fixture.patch_config_map("app", name, &theirs).await
}

/// It is as it was taken over, but for our marks: same object, their label, our data.
fn ensure_released(before: &ConfigMap, left: &ConfigMap) -> Result<()> {
    ensure!(left.metadata.uid == before.metadata.uid, "released, not created again");
    let labels = left.metadata.labels.clone().unwrap_or_default();
    ensure!(labels.len() == 1 && labels.contains_key("owner"), "{labels:?}");
    let annotations = left.metadata.annotations.clone().unwrap_or_default();
    ensure!(annotations.is_empty(), "{annotations:?}");
    Ok(())
}

#[tokio::test]
async fn what_was_adopted_is_kept_in_order_and_released_never_deleted() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    let before = standing(&fixture, "shared").await?;
    let mark = world.audit().mark().await?;
    fixture.create_sync("central", "sync", adopting("shared")).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let copy = fixture.wait_data("app", "shared", &[("a", "ours")], SOON).await?;
    ensure!(copy.metadata.uid == before.metadata.uid, "taken over, not created again");
    let annotations = copy.metadata.annotations.unwrap_or_default();
    ensure!(!annotations.contains_key(names::ANNOTATION_CREATED), "{annotations:?}");
    let labels = copy.metadata.labels.unwrap_or_default();
    ensure!(labels.contains_key("owner"), "{labels:?}");

    // A copy like any other, and still one when the consent is taken back.
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
    let events = world.audit().since(mark).await?;
    let mut writes = copy_writes_in(&events, "app");
    // Only a create that is answered with a 409 finds out that something stands there.
    writes.retain(|event| event.succeeded());
    ensure!(writes.iter().all(|event| event.verb == "patch"), "{}", lines(&writes));
    Ok(())
}

#[tokio::test]
async fn it_is_released_too_when_its_namespace_leaves_or_the_source_goes() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_labelled_namespace("app", &[("team", "a")]).await?;
    let before = standing(&fixture, "shared").await?;
    let mut spec = to_selected(with_labels(&[("team", "a")]));
    spec.conflict_policy = ConflictPolicy::Adopt;
    fixture.create_sync("central", "sync", spec).await?;
    // "Synced" is true of no namespace at all, too.
    let marked = |copy: &ConfigMap| copy.metadata.annotations.is_some();
    fixture.wait_config_map("app", "shared", "adopted", SOON, marked).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    fixture.label_namespace("app", &json!({"team": "b"})).await?;
    let released = |copy: &ConfigMap| copy.metadata.annotations.is_none();
    let left =
        fixture.wait_config_map("app", "shared", "released", propagation(), released).await?;
    ensure_released(&before, &left)?;

    // Adopted again, and let go because there is no source any more.
    let wanted = json!({"spec": {"sourceDeletionPolicy": "Delete"}});
    fixture.patch_sync("central", "sync", &wanted).await?;
    fixture.label_namespace("app", &json!({"team": "a"})).await?;
    fixture.wait_config_map("app", "shared", "adopted again", propagation(), marked).await?;
    fixture.delete_config_map("central", "shared").await?;
    let left =
        fixture.wait_config_map("app", "shared", "released", propagation(), released).await?;
    ensure_released(&before, &left)
}

/// What belongs to somebody else: name, what shows it, and what is told.
fn belongings(owner: &str) -> Vec<(&'static str, Value, &'static str)> {
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
async fn what_belongs_to_somebody_else_is_refused() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    let owner = fixture.create_config_map("app", "owner", &[]).await?;
    let owner = owner.metadata.uid.context("no uid")?;
    let mark = world.audit().mark().await?;
    for (name, shows, words) in belongings(&owner) {
        standing(&fixture, name).await?;
        let before = fixture.patch_config_map("app", name, &shows).await?;
        fixture.create_sync("central", name, adopting(name)).await?;
        let sync = fixture.wait_reason("central", name, "Conflict", SOON).await?;
        ensure!(message(&sync).contains(words), "{words}: {}", message(&sync));
        fixture.delete_sync("central", name).await?;
        fixture.wait_no_sync("central", name, SOON).await?;
        let now = fixture.config_map("app", name).await?.context("it is gone")?;
        ensure!(now.metadata.resource_version == before.metadata.resource_version, "{name}");
    }
    let events = world.audit().since(mark).await?;
    let mut writes = copy_writes_in(&events, "app");
    writes.retain(|event| event.succeeded());
    ensure!(writes.is_empty(), "{}", lines(&writes));

    // Given up by its owner, it is taken over.
    let (name, _, _) = belongings(&owner).remove(2);
    fixture.create_sync("central", name, adopting(name)).await?;
    fixture.wait_reason("central", name, "Conflict", SOON).await?;
    let given_up = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": null}}});
    fixture.patch_config_map("app", name, &given_up).await?;
    fixture.wait_data("app", name, &[("a", "ours")], propagation()).await?;
    Ok(())
}

#[tokio::test]
async fn consent_may_come_later() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    let before = standing(&fixture, "shared").await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Conflict", SOON).await?;
    let adopt = json!({"spec": {"conflictPolicy": "Adopt"}});
    fixture.patch_sync("central", "sync", &adopt).await?;
    let copy = fixture.wait_data("app", "shared", &[("a", "ours")], propagation()).await?;
    ensure!(copy.metadata.uid == before.metadata.uid, "taken over, not created again");
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}
