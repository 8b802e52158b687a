//! A source with the annotation `apps.nishaf.info/no-copy: "true"` is not copied. Existing copies
//! are kept or deleted according to `sourceDeletionPolicy`.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
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

    // Only the value "true" forbids copying.
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
    let mut spec = one_to_one("central", "shared", "app");
    spec.source_deletion_policy = SourceDeletionPolicy::Delete;
    fixture.create_synced_copy_with(spec, &[("a", "1")]).await?;
    annotate(&fixture, Some("true")).await?;
    fixture.wait_no_config_map("app", "shared", propagation()).await?;
    fixture.wait_reason("central", "sync", "SourceRefused", SOON).await?;
    annotate(&fixture, None).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], propagation()).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}
