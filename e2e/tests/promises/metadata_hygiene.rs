//! Promise: nothing of a source's metadata is ever copied: no owner, no finalizer, no label and no
//! annotation, whoever's they are. A copy carries our marks, and nothing else that it was not given.

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
use serde_json::Value;
use serde_json::json;

use crate::support::config_maps::create;
use crate::support::scale::propagation;

/// What others put on a ConfigMap, and act on wherever they find it.
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
        "note": "for people",
    })
}

/// A source that carries all of it, and belongs to another ConfigMap beside it.
async fn laden_source(fixture: &Fixture) -> Result<ConfigMap> {
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

/// A copy carries exactly our marks, in values of our own, and was written by us alone.
fn ensure_clean(copy: &ConfigMap) -> Result<()> {
    let metadata = &copy.metadata;
    ensure!(metadata.owner_references.is_none(), "{metadata:#?}");
    ensure!(metadata.finalizers.is_none(), "{metadata:#?}");
    ensure!(metadata.generate_name.is_none(), "{metadata:#?}");
    let ours = BTreeSet::from([names::LABEL_SYNC_UID, names::LABEL_MANAGED_BY]);
    ensure!(keys(metadata.labels.as_ref()) == ours, "{:#?}", metadata.labels);
    let managed_by = metadata.labels.as_ref().and_then(|it| it.get(names::LABEL_MANAGED_BY));
    ensure!(managed_by.is_some_and(|it| it == names::MANAGED_BY), "{managed_by:?}");
    let ours = BTreeSet::from([
        names::ANNOTATION_SYNC,
        names::ANNOTATION_SOURCE,
        names::ANNOTATION_COPY,
        names::ANNOTATION_CONTENT_HASH,
        names::ANNOTATION_CREATED,
        names::ANNOTATION_DELETION_POLICY,
    ]);
    ensure!(keys(metadata.annotations.as_ref()) == ours, "{:#?}", metadata.annotations);
    let managers = metadata.managed_fields.iter().flatten().map(|entry| entry.manager.as_deref());
    let managers: BTreeSet<_> = managers.collect();
    ensure!(managers == BTreeSet::from([Some(names::FIELD_MANAGER)]), "{managers:?}");
    Ok(())
}

#[tokio::test]
async fn nothing_of_the_sources_metadata_is_on_the_copy() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    laden_source(&fixture).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let created = fixture.wait_data("app", "shared", &[("a", "1")], propagation()).await?;
    ensure_clean(&created).context("created")?;

    // More of it along with an edit, then a copy made immutable, replaced, and restored.
    let more = json!({
        "metadata": {
            "labels": {"argocd.argoproj.io/secret-type": "repository"},
            "annotations": {"fluxcd.io/ignore": "true"},
        },
        "data": {"a": "2"},
    });
    fixture.patch_config_map("central", "shared", &more).await?;
    let updated = fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    ensure!(updated.metadata.uid == created.metadata.uid, "updated in place");
    ensure_clean(&updated).context("updated")?;
    let by_hand = json!({"immutable": true, "data": {"a": "by hand"}});
    fixture.patch_config_map("app", "shared", &by_hand).await?;
    let replaced = fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    ensure!(replaced.metadata.uid != created.metadata.uid, "replaced");
    ensure_clean(&replaced).context("replaced")?;
    fixture.delete_config_map("app", "shared").await?;
    let restored = fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    ensure_clean(&restored).context("created again")
}

#[tokio::test]
async fn whoever_collects_the_source_with_its_owner_does_not_collect_the_copy() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    let source = laden_source(&fixture).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let copy = fixture.wait_data("app", "shared", &[("a", "1")], propagation()).await?;

    fixture.delete_config_map("central", "owner").await?;
    let what = "the garbage collector has marked the source";
    let going = |it: &ConfigMap| it.metadata.deletion_timestamp.is_some();
    fixture.wait_config_map("central", "shared", what, SOON, going).await?;
    let free = json!({"metadata": {"finalizers": null}});
    fixture.patch_config_map("central", "shared", &free).await?;
    fixture.wait_no_config_map("central", "shared", SOON).await?;
    fixture.wait_reason("central", "sync", "SourceNotFound", SOON).await?;
    let left = fixture.wait_data("app", "shared", &[("a", "1")], propagation()).await?;
    ensure!(left.metadata.uid == copy.metadata.uid, "{source:#?}");
    ensure_clean(&left)
}

#[tokio::test]
async fn only_the_metadata_that_the_spec_gives_is_on_the_copy() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    laden_source(&fixture).await?;
    let given = |key: &str, value: &str| BTreeMap::from([(key.to_owned(), value.to_owned())]);
    let mut spec = one_to_one("central", "shared", "app");
    spec.destination_metadata = Some(DestinationMetadata {
        labels: given("team", "b"),
        annotations: given("note", "for the copy"),
    });
    fixture.create_sync("central", "sync", spec).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let mut copy = fixture.wait_data("app", "shared", &[("a", "1")], propagation()).await?;
    let label = copy.metadata.labels.as_mut().and_then(|labels| labels.remove("team"));
    ensure!(label.as_deref() == Some("b"), "{label:?}");
    let note = copy.metadata.annotations.as_mut().and_then(|map| map.remove("note"));
    ensure!(note.as_deref() == Some("for the copy"), "{note:?}");
    ensure_clean(&copy)
}
