//! A copy that is too large because of annotations of others is written once they are shorter, or once
//! the markers are.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use configmapsync::api::DestinationMetadata;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::until;

/// The limit of the API server for the annotations of an object, in bytes.
const LIMIT: usize = 256 * 1024;
/// The watch delivers the change within this time.
const FOLLOWED: Duration = Duration::from_secs(5);

#[tokio::test]
async fn a_copy_is_written_once_annotations_of_others_are_shorter() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let filler =
        |length: usize| json!({"metadata": {"annotations": {"other": "x".repeat(length)}}});
    fixture.patch_config_map("app", "shared", &filler(LIMIT - 2000)).await?;

    let annotations = [("team".to_owned(), "y".repeat(4000))].into();
    let metadata = DestinationMetadata { annotations, ..DestinationMetadata::default() };
    let spec = json!({"spec": {"destinationMetadata": metadata}});
    fixture.patch_sync("central", "sync", &spec).await?;
    fixture.wait_reason("central", "sync", "TooLarge", SOON).await?;
    fixture.patch_config_map("app", "shared", &filler(10)).await?;
    until("the copy has the new annotation", FOLLOWED, || async {
        let copy = fixture.config_map("app", "shared").await?;
        let annotations = copy.and_then(|copy| copy.metadata.annotations).unwrap_or_default();
        let keys: Vec<_> = annotations.keys().cloned().collect();
        Ok(Seen::from_bool(annotations.contains_key("team"), || format!("{keys:?}")))
    })
    .await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn shorter_markers_are_written_when_the_spec_changes() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    let long = "a-namespace-with-a-long-name-that-does-not-fit-any-more";
    fixture.create_namespaces(&["a", long, "other", "app"]).await?;
    for namespace in ["a", long, "other"] {
        fixture.create_config_map(namespace, "shared", &[("a", "1")]).await?;
    }
    fixture.create_sync("other", "sync", one_to_one("a", "shared", "app")).await?;
    fixture.wait_reason("other", "sync", "Synced", SOON).await?;
    let copy = fixture.config_map("app", "shared").await?.context("no copy")?;
    let annotations = copy.metadata.annotations.unwrap_or_default();
    let used: usize = annotations.iter().map(|(key, value)| key.len() + value.len()).sum();
    // 20 bytes are left, more than `other` needs and less than the long name needs.
    let filler = "x".repeat(LIMIT - used - "filler".len() - 20);
    let fill = json!({"metadata": {"annotations": {"filler": filler}}});
    fixture.patch_config_map("app", "shared", &fill).await?;
    fixture.patch_sync("other", "sync", &json!({"spec": {"sourceNamespace": long}})).await?;
    fixture.wait_reason("other", "sync", "TooLarge", SOON).await?;
    fixture.patch_sync("other", "sync", &json!({"spec": {"sourceNamespace": "other"}})).await?;
    fixture.wait_reason("other", "sync", "Synced", SOON).await?;
    Ok(())
}
