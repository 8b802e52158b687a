//! A source with the annotation `apps.nishaf.info/no-copy: "true"` is not copied. Existing copies
//! are kept or deleted according to `sourceDeletionPolicy`. While the value is neither true nor false,
//! in upper or lower case, nothing is copied, and nothing is deleted.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncSpec;
use configmapsync::api::SourceDeletionPolicy;
use configmapsync::names;
use harness::audit_queries::copy_writes_in;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::stays;

use crate::support::conditions::message;
use crate::support::scale::propagation;

const UNCHANGED: Duration = Duration::from_secs(2);

/// Sets the annotation of the source `central/shared`, or removes it.
async fn annotate(fixture: &Fixture, value: Option<&str>) -> Result<()> {
    let patch = json!({"metadata": {"annotations": {names::ANNOTATION_NO_COPY: value}}});
    fixture.patch_config_map("central", "shared", &patch).await?;
    Ok(())
}

/// Creates a copy that is deleted when its source is, or forbids copying.
async fn create_copy_deleted_with_source(fixture: &Fixture, value: &str) -> Result<()> {
    let source_deletion_policy = SourceDeletionPolicy::Delete;
    let spec = one_to_one("central", "shared", "app");
    let spec = ConfigMapSyncSpec { source_deletion_policy, ..spec };
    fixture.create_synced_copy_with(spec, &[("a", value)]).await
}

#[tokio::test]
async fn no_copy_stops_copying_until_it_is_removed() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    annotate(&fixture, Some("true")).await?;
    let sync = fixture.wait_reason("central", "sync", "SourceRefused", propagation()).await?;
    ensure!(message(&sync).contains("central/shared"), "{}", message(&sync));
    let mark = cluster.audit().mark().await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    // A new ConfigMapSync gets no copy either.
    let mut later = one_to_one("central", "shared", "app");
    later.destination_name = Some("later".to_owned());
    fixture.create_sync("central", "later", later).await?;
    fixture.wait_reason("central", "later", "SourceRefused", SOON).await?;
    stays("the copy is unchanged", UNCHANGED, || async {
        let copy = fixture.config_map("app", "shared").await?;
        let data = copy.and_then(|copy| copy.data).unwrap_or_default();
        Ok(Seen::from_bool(data["a"] == "1", || format!("{data:?}")))
    })
    .await?;
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes_in(&events, "app");
    ensure!(writes.is_empty(), "{}", lines(&writes));

    // As if it were absent.
    annotate(&fixture, Some("false")).await?;
    for name in ["shared", "later"] {
        fixture.wait_data("app", name, &[("a", "2")], propagation()).await?;
    }
    annotate(&fixture, None).await?;
    for name in ["sync", "later"] {
        fixture.wait_reason("central", name, "Synced", SOON).await?;
    }
    Ok(())
}

#[tokio::test]
async fn no_copy_deletes_copies_with_policy_delete() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    create_copy_deleted_with_source(&fixture, "1").await?;
    annotate(&fixture, Some("true")).await?;
    fixture.wait_no_config_map("app", "shared", propagation()).await?;
    fixture.wait_reason("central", "sync", "SourceRefused", SOON).await?;
    annotate(&fixture, None).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], propagation()).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn no_copy_counts_in_upper_and_lower_case() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    create_copy_deleted_with_source(&fixture, "1").await?;
    for (forbids, allows) in [("True", "False"), ("TRUE", "FALSE")] {
        annotate(&fixture, Some(forbids)).await?;
        fixture.wait_no_config_map("app", "shared", propagation()).await?;
        fixture.wait_reason("central", "sync", "SourceRefused", SOON).await?;
        annotate(&fixture, Some(allows)).await?;
        fixture.wait_data("app", "shared", &[("a", "1")], propagation()).await?;
        fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_unclear_no_copy_writes_and_deletes_nothing() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    create_copy_deleted_with_source(&fixture, "0").await?;
    let mut before = "0".to_owned();
    for (index, value) in ["yes", ""].into_iter().enumerate() {
        annotate(&fixture, Some(value)).await?;
        let sync = fixture.wait_reason("central", "sync", "SourceRefused", propagation()).await?;
        ensure!(message(&sync).contains("set it to true or false"), "{}", message(&sync));
        let mark = cluster.audit().mark().await?;
        let changed = format!("{}", index + 1);
        fixture.patch_config_map("central", "shared", &json!({"data": {"a": changed}})).await?;
        stays("the copy is unchanged", UNCHANGED, || async {
            let copy = fixture.config_map("app", "shared").await?;
            let data = copy.and_then(|copy| copy.data).unwrap_or_default();
            Ok(Seen::from_bool(data.get("a") == Some(&before), || format!("{data:?}")))
        })
        .await?;
        let events = cluster.audit().since(mark).await?;
        let writes = copy_writes_in(&events, "app");
        ensure!(writes.is_empty(), "{value:?}: {}", lines(&writes));
        annotate(&fixture, None).await?;
        fixture.wait_data("app", "shared", &[("a", &changed)], propagation()).await?;
        fixture.wait_reason("central", "sync", "Synced", SOON).await?;
        before = changed;
    }
    // It does not delay the deletion of the ConfigMapSync.
    annotate(&fixture, Some("yes")).await?;
    fixture.wait_reason("central", "sync", "SourceRefused", propagation()).await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    fixture.wait_no_config_map("app", "shared", SOON).await?;
    Ok(())
}
