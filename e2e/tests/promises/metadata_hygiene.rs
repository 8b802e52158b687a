//! No metadata of a source is copied: no owner reference, finalizer, label or annotation. A copy
//! has the ownership markers and the metadata of `spec.destinationMetadata`, and nothing else.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::DestinationMetadata;
use configmapsync::names;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::Map;
use serde_json::Value;
use serde_json::json;

use crate::support::config_maps::create;
use crate::support::scale::propagation;

/// Labels with which other tools manage a ConfigMap.
fn labels() -> Value {
    json!({
        "app.kubernetes.io/instance": "shop",
        "app.kubernetes.io/managed-by": "Helm",
        "argocd.argoproj.io/instance": "shop",
        "helm.toolkit.fluxcd.io/name": "shop",
        "helm.toolkit.fluxcd.io/namespace": "flux-system",
        "kustomize.toolkit.fluxcd.io/name": "shop",
        "kustomize.toolkit.fluxcd.io/namespace": "flux-system",
        "kustomize.toolkit.fluxcd.io/prune": "disabled",
        "grafana_dashboard": "1",
        "team": "a",
    })
}

/// Annotations of other tools.
fn annotations() -> Value {
    json!({
        "kubectl.kubernetes.io/last-applied-configuration": "{\"apiVersion\":\"v1\"}",
        "argocd.argoproj.io/tracking-id": "shop:/ConfigMap:central/shared",
        "argocd.argoproj.io/sync-options": "Prune=false",
        "config.kubernetes.io/origin": "path: a.yaml",
        "config.k8s.io/owning-inventory": "shop",
        "helm.sh/resource-policy": "keep",
        "kustomize.toolkit.fluxcd.io/checksum": "1",
        "meta.helm.sh/release-name": "shop",
        "meta.helm.sh/release-namespace": "central",
        "reflector.v1.k8s.emberstack.com/reflection-allowed": "true",
        "reflector.v1.k8s.emberstack.com/reflection-auto-enabled": "true",
        "replicator.v1.mittwald.de/replicate-to": "*",
        "kubed.appscode.com/sync": "",
        "objectset.rio.cattle.io/id": "1",
        "note": "for users",
    })
}

/// Creates the source `central/shared` with all these labels and annotations, a finalizer, and the
/// ConfigMap `central/owner` as its controller.
async fn create_source_with_metadata(fixture: &Fixture) -> Result<ConfigMap> {
    let owner = fixture.create_config_map("central", "owner", &[]).await?;
    let reference = json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": "owner",
        "uid": owner.metadata.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    });
    let metadata = json!({
        "namespace": "central",
        "name": "shared",
        "labels": labels(),
        "annotations": annotations(),
        "finalizers": ["example.com/hold"],
        "ownerReferences": [reference],
    });
    create(fixture, json!({"metadata": metadata, "data": {"a": "1"}})).await
}

fn keys(map: Option<&BTreeMap<String, String>>) -> BTreeSet<&str> {
    map.into_iter().flatten().map(|(key, _)| key.as_str()).collect()
}

/// Fails unless the metadata of `copy` are exactly the ownership markers, and the operator is its
/// only field manager.
fn ensure_only_markers(copy: &ConfigMap) -> Result<()> {
    let metadata = &copy.metadata;
    ensure!(metadata.owner_references.is_none(), "{metadata:#?}");
    ensure!(metadata.finalizers.is_none(), "{metadata:#?}");
    ensure!(metadata.generate_name.is_none(), "{metadata:#?}");
    let markers = BTreeSet::from([names::LABEL_SYNC_UID, names::LABEL_MANAGED_BY]);
    ensure!(keys(metadata.labels.as_ref()) == markers, "{:#?}", metadata.labels);
    let managed_by = metadata.labels.as_ref().and_then(|it| it.get(names::LABEL_MANAGED_BY));
    ensure!(managed_by.is_some_and(|it| it == names::MANAGED_BY), "{managed_by:?}");
    let markers = BTreeSet::from([
        names::ANNOTATION_SYNC,
        names::ANNOTATION_SOURCE,
        names::ANNOTATION_COPY,
        names::ANNOTATION_CONTENT_HASH,
        names::ANNOTATION_CREATED,
        names::ANNOTATION_DELETION_POLICY,
    ]);
    ensure!(keys(metadata.annotations.as_ref()) == markers, "{:#?}", metadata.annotations);
    let managers = metadata.managed_fields.iter().flatten().map(|entry| entry.manager.as_deref());
    let managers: BTreeSet<_> = managers.collect();
    ensure!(managers == BTreeSet::from([Some(names::FIELD_MANAGER)]), "{managers:?}");
    Ok(())
}

#[tokio::test]
async fn source_metadata_is_not_copied() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    create_source_with_metadata(&fixture).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let created = fixture.wait_data("app", "shared", &[("a", "1")], propagation()).await?;
    ensure_only_markers(&created).context("created")?;

    // More metadata with an edit of the source; then a copy that is made immutable, and replaced;
    // then a copy that is deleted, and restored.
    let more = json!({
        "metadata": {
            "labels": {"argocd.argoproj.io/secret-type": "repository"},
            "annotations": {"fluxcd.io/ignore": "true"},
        },
        "data": {"a": "2"},
    });
    fixture.patch_config_map("central", "shared", &more).await?;
    let updated = fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    ensure!(
        updated.metadata.uid == created.metadata.uid,
        "the copy was recreated instead of updated"
    );
    ensure_only_markers(&updated).context("updated")?;
    let by_hand = json!({"immutable": true, "data": {"a": "by hand"}});
    fixture.patch_config_map("app", "shared", &by_hand).await?;
    let replaced = fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    ensure!(replaced.metadata.uid != created.metadata.uid, "the immutable copy was not replaced");
    ensure_only_markers(&replaced).context("replaced")?;
    fixture.delete_config_map("app", "shared").await?;
    let restored = fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    ensure_only_markers(&restored).context("restored")
}

#[tokio::test]
async fn garbage_collection_of_the_source_keeps_the_copy() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    let source = create_source_with_metadata(&fixture).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let copy = fixture.wait_data("app", "shared", &[("a", "1")], propagation()).await?;

    fixture.delete_config_map("central", "owner").await?;
    let what = "the garbage collector has deleted the source, which its finalizer still holds";
    let is_deleted = |it: &ConfigMap| it.metadata.deletion_timestamp.is_some();
    fixture.wait_config_map("central", "shared", what, SOON, is_deleted).await?;
    let no_finalizer = json!({"metadata": {"finalizers": null}});
    fixture.patch_config_map("central", "shared", &no_finalizer).await?;
    fixture.wait_no_config_map("central", "shared", SOON).await?;
    fixture.wait_reason("central", "sync", "SourceNotFound", SOON).await?;
    let left = fixture.wait_data("app", "shared", &[("a", "1")], propagation()).await?;
    ensure!(
        left.metadata.uid == copy.metadata.uid,
        "the copy was recreated; the source was {source:#?}"
    );
    ensure_only_markers(&left)
}

#[tokio::test]
async fn only_metadata_from_the_spec_is_set_on_the_copy() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    create_source_with_metadata(&fixture).await?;
    let map = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let mut spec = one_to_one("central", "shared", "app");
    spec.destination_metadata = Some(DestinationMetadata {
        labels: map("team", "b"),
        annotations: map("note", "for the copy"),
    });
    fixture.create_sync("central", "sync", spec).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let mut copy = fixture.wait_data("app", "shared", &[("a", "1")], propagation()).await?;
    let label = copy.metadata.labels.as_mut().and_then(|labels| labels.remove("team"));
    ensure!(label.as_deref() == Some("b"), "{label:?}");
    let note = copy.metadata.annotations.as_mut().and_then(|map| map.remove("note"));
    ensure!(note.as_deref() == Some("for the copy"), "{note:?}");
    let record =
        copy.metadata.annotations.as_mut().and_then(|map| map.remove(names::ANNOTATION_STAMPED));
    let record: Value = serde_json::from_str(&record.context("no record of these keys")?)?;
    let recorded = ["labels", "annotations"].map(|map| record[map].as_object().map(Map::len));
    ensure!(recorded == [Some(1), Some(1)], "{record}");
    ensure_only_markers(&copy)
}
