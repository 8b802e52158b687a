//! When a source is deleted, alone or with its namespace, its copies are kept; when it is
//! recreated, they follow it. Resource versions are compared for equality only. A source that is
//! deleted and recreated repeatedly does not recreate its copies. With
//! `sourceDeletionPolicy: Delete`, copies are deleted after a live read has found no source.

mod policy_delete;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use harness::audit_queries::writes_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use kube::Api;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::Value;
use serde_json::json;
use testbed::audit::lines;

use crate::support::audit::copy_writes;
use crate::support::config_maps::create_in_recreated_namespace;
use crate::support::scale::propagation;

/// Creates a ConfigMapSync with its source and copy.
async fn create_copy(cluster: &OperatorCluster) -> Result<Fixture> {
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1"), ("b", "2")]).await?;
    Ok(fixture)
}

#[tokio::test]
async fn copies_are_kept_and_follow_a_recreated_source() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster).await?;
    let copy = fixture.config_map("app", "shared").await?.context("no copy")?;

    fixture.delete_config_map("central", "shared").await?;
    fixture.wait_reason("central", "sync", "SourceNotFound", SOON).await?;
    let kept = fixture.wait_data("app", "shared", &[("a", "1"), ("b", "2")], propagation()).await?;
    ensure!(
        kept.metadata.resource_version == copy.metadata.resource_version,
        "the copy was written"
    );

    fixture.create_config_map("central", "shared", &[("a", "back")]).await?;
    let followed = fixture.wait_data("app", "shared", &[("a", "back")], propagation()).await?;
    ensure!(followed.metadata.uid == copy.metadata.uid, "the copy was recreated");
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn copies_follow_a_source_recreated_with_its_namespace() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "team", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_sync("team", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("team", "sync", "Synced", SOON).await?;
    let copy = fixture.config_map("app", "shared").await?.context("no copy")?;

    fixture.delete_namespace("central").await?;
    fixture.wait_reason("team", "sync", "SourceNotFound", SOON).await?;
    fixture.wait_no_namespace("central", SOON).await?;
    fixture.wait_reason("team", "sync", "SourceNotFound", SOON).await?;
    let kept = fixture.wait_data("app", "shared", &[("a", "1")], propagation()).await?;
    ensure!(
        kept.metadata.resource_version == copy.metadata.resource_version,
        "the copy was written"
    );

    fixture.create_namespaces(&["central"]).await?;
    create_in_recreated_namespace(&fixture, "central", "shared", &[("a", "2")]).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], propagation()).await?;
    fixture.wait_reason("team", "sync", "Synced", SOON).await?;
    Ok(())
}

/// Sets the source in the status, as if it had been copied last.
async fn set_status_source(fixture: &Fixture, source: &Value) -> Result<()> {
    let syncs = Api::<ConfigMapSync>::namespaced(fixture.client(), "central");
    let status = Patch::Merge(json!({"status": {"source": source}}));
    syncs.patch_status("sync", &PatchParams::default(), &status).await?;
    Ok(())
}

#[tokio::test]
async fn a_source_with_a_lower_resource_version_is_copied() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster).await?;
    let high = "999999999";
    let source = fixture.config_map("central", "shared").await?.context("no source")?;
    let uid = source.metadata.uid.context("no uid")?;

    // The same object, with a lower resourceVersion than the one in the status.
    cluster.replica()?.terminate_and_wait().await?;
    set_status_source(&fixture, &json!({"uid": uid, "resourceVersion": high})).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "lower"}})).await?;
    cluster.replica()?.restart()?;
    fixture.wait_data("app", "shared", &[("a", "lower"), ("b", "2")], SOON).await?;

    // A new object, with a lower resourceVersion than the one in the status.
    cluster.replica()?.terminate_and_wait().await?;
    set_status_source(&fixture, &json!({"uid": uid, "resourceVersion": high})).await?;
    fixture.delete_config_map("central", "shared").await?;
    fixture.create_config_map("central", "shared", &[("a", "another")]).await?;
    cluster.replica()?.restart()?;
    fixture.wait_data("app", "shared", &[("a", "another")], SOON).await?;
    let is_another = |sync: &ConfigMapSync| {
        let source = sync.status.as_ref().and_then(|status| status.source.as_ref());
        source.is_some_and(|source| source.uid != uid && source.resource_version != high)
    };
    fixture
        .wait_sync("central", "sync", "the status names the new source", SOON, is_another)
        .await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn a_flapping_source_does_not_recreate_its_copy() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = create_copy(&cluster).await?;
    let copy = fixture.config_map("app", "shared").await?.context("no copy")?;
    let mark = cluster.audit().mark().await?;
    for flap in 0..20 {
        fixture.delete_config_map("central", "shared").await?;
        // Every fifth time, the operator observes the deletion.
        if flap % 5 == 0 {
            fixture.wait_reason("central", "sync", "SourceNotFound", SOON).await?;
        }
        let value = (flap / 4).to_string();
        fixture.create_config_map("central", "shared", &[("a", &value)]).await?;
    }
    let last = fixture.wait_data("app", "shared", &[("a", "4")], propagation()).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    ensure!(last.metadata.uid == copy.metadata.uid, "the copy was recreated");
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes(&events);
    ensure!(writes.iter().all(|event| event.verb == "patch"), "{}", lines(&writes));
    ensure!(writes.len() <= 6, "more than one write for each new value:\n{}", lines(&writes));

    let mark = cluster.audit().mark().await?;
    fixture.delete_config_map("central", "shared").await?;
    fixture.wait_reason("central", "sync", "SourceNotFound", SOON).await?;
    fixture.create_config_map("central", "shared", &[("a", "4")]).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let events = cluster.audit().since(mark).await?;
    let mut writes = writes_by_operator(&events);
    writes.retain(|event| event.resource() == "configmaps");
    ensure!(
        writes.is_empty(),
        "a copy was written for a source recreated with the same data:\n{}",
        lines(&writes)
    );
    Ok(())
}
