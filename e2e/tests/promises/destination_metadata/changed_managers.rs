//! Which labels and annotations the operator has stamped is recorded on the copy. Whatever happens to
//! `managedFields`, one that `destinationMetadata` no longer lists is removed while it has the value
//! that the operator stamped.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::DeletionPolicy;
use configmapsync::names;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::Value;
use serde_json::json;

use crate::destination_metadata::support::create_labelled_copy;
use crate::destination_metadata::support::wait_metadata;

/// More field managers than the API server lists separately.
const TOOLS: usize = 12;

async fn patch_as(fixture: &Fixture, manager: &str, patch: Value) -> Result<ConfigMap> {
    let by = PatchParams { field_manager: Some(manager.to_owned()), ..PatchParams::default() };
    let copies = Api::<ConfigMap>::namespaced(fixture.client(), "app");
    let patched = copies.patch("shared", &by, &Patch::Merge(patch)).await;
    patched.with_context(|| format!("patching app/shared as {manager}"))
}

/// Fails unless `managedFields` no longer list the operator.
fn ensure_not_a_manager(copy: &ConfigMap) -> Result<()> {
    let entries = copy.metadata.managed_fields.iter().flatten();
    let managers: Vec<_> = entries.filter_map(|entry| entry.manager.as_deref()).collect();
    ensure!(!managers.contains(&names::FIELD_MANAGER), "{managers:?}");
    Ok(())
}

#[tokio::test]
async fn dropped_labels_go_after_twelve_tools_labelled_a_copy() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_labelled_copy(&cluster, DeletionPolicy::Delete).await?;
    let mut theirs: Vec<(String, &str)> = Vec::new();
    for number in 0..TOOLS {
        let label = format!("tool-{number:02}");
        let edit = json!({"metadata": {"labels": {&label: "x"}}});
        ensure_labelled(&patch_as(&fixture, &label, edit).await?, &label)?;
        theirs.push((label, "x"));
    }
    ensure_not_a_manager(&fixture.config_map("app", "shared").await?.context("no copy")?)?;

    let fewer = json!({"labels": {"tier": null}, "annotations": null});
    let spec = json!({"spec": {"destinationMetadata": fewer}});
    fixture.patch_sync("central", "sync", &spec).await?;
    let mut left = vec![("team", "a")];
    left.extend(theirs.iter().map(|(label, value)| (label.as_str(), *value)));
    wait_metadata(&fixture, &left, &[]).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

fn ensure_labelled(copy: &ConfigMap, label: &str) -> Result<()> {
    let labels = copy.metadata.labels.clone().unwrap_or_default();
    ensure!(labels.contains_key(label), "{labels:?}");
    Ok(())
}

#[tokio::test]
async fn labels_dropped_after_a_restore_are_removed() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = create_labelled_copy(&cluster, DeletionPolicy::Delete).await?;
    cluster.replica()?.terminate_and_wait().await?;
    let copy = fixture.config_map("app", "shared").await?.context("no copy")?;
    let mut entries = serde_json::to_value(copy.metadata.managed_fields)?;
    for entry in entries.as_array_mut().context("no managedFields")? {
        entry["manager"] = json!("backup-tool");
    }
    let restored = json!({"metadata": {"managedFields": entries, "labels": {"tier": "theirs"}}});
    ensure_not_a_manager(&patch_as(&fixture, "backup-tool", restored).await?)?;

    // The restore owns every field, and another client has changed the value of `tier`.
    let fewer = json!({"labels": {"team": null, "tier": null, "new": "one"}, "annotations": null});
    let spec = json!({"spec": {"destinationMetadata": fewer}});
    fixture.patch_sync("central", "sync", &spec).await?;
    cluster.replica()?.restart()?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    wait_metadata(&fixture, &[("new", "one"), ("tier", "theirs")], &[]).await?;

    let none = json!({"spec": {"destinationMetadata": null}});
    fixture.patch_sync("central", "sync", &none).await?;
    let left = wait_metadata(&fixture, &[("tier", "theirs")], &[]).await?;
    let annotations = left.metadata.annotations.unwrap_or_default();
    let record = annotations.get(names::ANNOTATION_STAMPED);
    ensure!(record.is_none(), "an empty record is left: {record:?}");
    Ok(())
}
