//! A ConfigMapSync that was Ready and is not any more: `status.lastFailureTraceID` names the trace in which
//! that arose.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use configmapsync::api::DestinationMetadata;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use serde_json::json;
use tokio::time::sleep;

use crate::bad_input::support::merged;
use crate::bad_input::support::minimal_spec;
use crate::bad_input::support::set_validation;
use crate::bad_input::support::store;
use crate::traces::support::ensure_traced;
use crate::traces::support::traced_cluster;

/// The limit of the API server for the annotations of an object, in bytes.
const LIMIT: usize = 256 * 1024;
/// How long another client waits before it changes the copy again.
const PAUSE: Duration = Duration::from_millis(30);

/// Creates `central/NAME`, which copies `central/shared` to `NAMESPACE/NAME`, and waits for the copy.
async fn create_synced(fixture: &Fixture, name: &str, namespace: &str) -> Result<()> {
    let mut spec = one_to_one("central", "shared", namespace);
    spec.destination_name = Some(name.to_owned());
    fixture.create_sync("central", name, spec).await?;
    fixture.wait_reason("central", name, "Synced", SOON).await?;
    Ok(())
}

/// Deletes the copy `NAMESPACE/NAME`, which stays because of a finalizer.
async fn delete_with_finalizer(fixture: &Fixture, namespace: &str, name: &str) -> Result<()> {
    let finalizer = json!({"metadata": {"finalizers": ["example.com/kept"]}});
    fixture.patch_config_map(namespace, name, &finalizer).await?;
    fixture.delete_config_map(namespace, name).await
}

/// Makes the annotations of the copy and of the spec exceed the limit together.
async fn enlarge(fixture: &Fixture, name: &str) -> Result<()> {
    let filler = json!({"metadata": {"annotations": {"other": "x".repeat(LIMIT - 2000)}}});
    fixture.patch_config_map("app", name, &filler).await?;
    let annotations = [("team".to_owned(), "y".repeat(4000))].into();
    let metadata = DestinationMetadata { annotations, ..DestinationMetadata::default() };
    let spec = json!({"spec": {"destinationMetadata": metadata}});
    fixture.patch_sync("central", name, &spec).await?;
    Ok(())
}

/// Changes the copy whenever it is as its source. Ends only with an error.
async fn keep_changing(fixture: &Fixture, name: &str) -> Result<()> {
    loop {
        fixture.patch_config_map("app", name, &json!({"data": {"a": "theirs"}})).await?;
        sleep(PAUSE).await;
    }
}

#[tokio::test]
async fn the_trace_of_each_later_reason_says_why() -> Result<()> {
    let (jaeger, cluster) = traced_cluster().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app", "other"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let ensure = async |name, reason, words: &[&str]| {
        ensure_traced(&fixture, &jaeger, name, reason, words).await.context(reason)
    };

    create_synced(&fixture, "large", "app").await?;
    enlarge(&fixture, "large").await?;
    ensure("large", "TooLarge", &["app/large"]).await?;

    create_synced(&fixture, "changed", "app").await?;
    tokio::select! {
        ended = keep_changing(&fixture, "changed") => ended.context("the other client has stopped")?,
        ensured = ensure("changed", "Contended", &["app/changed", "another client"]) => ensured?,
    }

    create_synced(&fixture, "leaving", "app").await?;
    delete_with_finalizer(&fixture, "app", "leaving").await?;
    ensure("leaving", "Progressing", &[]).await?;
    create_synced(&fixture, "deleted", "app").await?;
    fixture
        .patch_config_map(
            "app",
            "deleted",
            &json!({
                "metadata": {"finalizers": ["example.com/kept"]},
            }),
        )
        .await?;
    fixture.delete_sync("central", "deleted").await?;
    ensure("deleted", "Deleting", &[]).await?;

    // The place of the new copy is taken by one that is being deleted.
    create_synced(&fixture, "moved", "other").await?;
    let to = |namespace: &str| json!({"spec": {"destinationNamespace": namespace}});
    delete_with_finalizer(&fixture, "other", "moved").await?;
    fixture.wait_reason("central", "moved", "Progressing", SOON).await?;
    fixture.patch_sync("central", "moved", &to("app")).await?;
    fixture.wait_data("app", "moved", &[("a", "1")], SOON).await?;
    fixture.patch_sync("central", "moved", &to("other")).await?;
    ensure("moved", "DeletionHeld", &["app/moved"]).await?;
    Ok(())
}

#[tokio::test]
async fn the_trace_of_an_invalid_spec_says_why() -> Result<()> {
    let (jaeger, cluster) = traced_cluster().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central"]).await?;
    set_validation(&cluster, false).await?;
    let spec = merged(minimal_spec(), &json!({"configMapName": "Not_A_Name"}));
    store(&fixture.client(), "invalid", &spec).await?;
    ensure_traced(&fixture, &jaeger, "invalid", "InvalidSpec", &["Not_A_Name"]).await
}
