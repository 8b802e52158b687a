//! What counts as contention: changes by others, also those of a mutating policy, and not what
//! follows from our own desired state.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncSpec;
use configmapsync::api::DestinationMetadata;
use configmapsync::api::SourceDeletionPolicy;
use harness::audit_queries::copy_writes_in;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

use crate::support::copies::to_selected;
use crate::support::copies::with_labels;
use crate::support::mutating_policy::Mutation;
use crate::support::mutating_policy::mutating_cluster;

/// Times that the source or the label comes and goes. Counted as contention, the last ones would be
/// followed after delays of 8 s and more.
const CYCLES: usize = 12;
/// Each deletion and creation is followed within this time.
const FOLLOWED: Duration = Duration::from_secs(5);
/// The mutation is contended for this time. With delays of 1, 2, 4 and 8 s, the operator writes at
/// most [`MAX_WRITES`] times in it; in a hot loop, hundreds of times.
const CONTENDED: Duration = Duration::from_secs(15);
const MAX_WRITES: usize = 12;
/// Whether a ConfigMap has the key of the source.
const HAS_KEY: &str = "has(object.data) && 'a' in object.data";

/// Fails unless the copy of `spec` is contended, and written with backoff.
async fn ensure_contended(cluster: &OperatorCluster, spec: ConfigMapSyncSpec) -> Result<()> {
    let fixture = cluster.fixture();
    let mark = cluster.audit().mark().await?;
    fixture.create_sync("central", "sync", spec).await?;
    fixture.wait_reason("central", "sync", "Contended", SOON).await?;
    stays("the copy is written with backoff", CONTENDED, || async {
        let events = cluster.audit().since(mark).await?;
        let writes = copy_writes_in(&events, "app").len();
        Ok(Seen::from_bool(writes <= MAX_WRITES, || format!("{writes} writes")))
    })
    .await?;
    let sync = fixture.wait_reason("central", "sync", "Contended", SOON).await?;
    ensure!(sync.status.is_some_and(|status| status.copies.is_some_and(|it| it.ready == 0)));
    Ok(())
}

#[tokio::test]
async fn a_mutating_policy_that_overrides_a_label_is_contended() -> Result<()> {
    let mutation = Mutation {
        operations: &["CREATE", "UPDATE"],
        condition: "has(object.metadata.labels) && 'team' in object.metadata.labels",
        applied: "Object{metadata: Object.metadata{labels: {'team': 'theirs'}}}",
    };
    let probe = json!({"metadata": {"labels": {"team": "ours"}}});
    let label = |found: &ConfigMap| found.metadata.labels.as_ref()?.get("team").cloned();
    let is_mutated = |found: &ConfigMap| label(found).as_deref() == Some("theirs");
    let cluster = mutating_cluster(&mutation, &probe, is_mutated).await?;
    let labels = [("team".to_owned(), "ours".to_owned())].into();
    let metadata = DestinationMetadata { labels, ..DestinationMetadata::default() };
    let spec = one_to_one("central", "shared", "app");
    let spec = ConfigMapSyncSpec { destination_metadata: Some(metadata), ..spec };
    ensure_contended(&cluster, spec).await
}

/// A cluster with a policy that alters data. Neither the managed fields nor the recorded hash show it: the
/// API server sets the managed fields before it runs mutating policies.
async fn altering_cluster(
    condition: &'static str,
    applied: &'static str,
) -> Result<OperatorCluster> {
    let mutation = Mutation { operations: &["CREATE", "UPDATE"], condition, applied };
    let probe = json!({"data": {"a": "ours"}});
    let is_mutated = |found: &ConfigMap| {
        found.data.as_ref().is_some_and(|data| data.values().any(|value| value == "theirs"))
    };
    mutating_cluster(&mutation, &probe, is_mutated).await
}

#[tokio::test]
async fn a_mutating_policy_that_changes_a_value_is_contended() -> Result<()> {
    let cluster = altering_cluster(HAS_KEY, "Object{data: {'a': 'theirs'}}").await?;
    ensure_contended(&cluster, one_to_one("central", "shared", "app")).await
}

#[tokio::test]
async fn a_mutating_policy_that_adds_a_value_is_contended() -> Result<()> {
    let cluster = altering_cluster("true", "Object{data: {'added': 'theirs'}}").await?;
    ensure_contended(&cluster, one_to_one("central", "shared", "app")).await
}

#[tokio::test]
async fn altered_data_is_found_by_the_next_leader() -> Result<()> {
    let mut cluster = altering_cluster(HAS_KEY, "Object{data: {'a': 'theirs'}}").await?;
    let fixture = cluster.fixture();
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Contended", SOON).await?;

    cluster.replicas[0].process().kill()?;
    let mark = cluster.audit().mark().await?;
    cluster.replica()?.restart()?;
    until("the new leader writes the copy", SOON, || async {
        let events = cluster.audit().since(mark).await?;
        let writes = copy_writes_in(&events, "app").len();
        Ok(Seen::from_bool(writes > 0, || "no write".to_owned()))
    })
    .await?;
    fixture.wait_reason("central", "sync", "Contended", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn a_source_that_comes_and_goes_is_followed_at_once() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let mut spec = one_to_one("central", "shared", "app");
    spec.source_deletion_policy = SourceDeletionPolicy::Delete;
    fixture.create_sync("central", "sync", spec).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    for _ in 0..CYCLES {
        fixture.delete_config_map("central", "shared").await?;
        fixture.wait_no_config_map("app", "shared", FOLLOWED).await?;
        fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
        fixture.wait_data("app", "shared", &[("a", "1")], FOLLOWED).await?;
    }
    fixture.wait_reason("central", "sync", "Synced", FOLLOWED).await?;
    Ok(())
}

#[tokio::test]
async fn a_namespace_label_that_comes_and_goes_is_followed_at_once() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let spec = to_selected(with_labels(&[("on", "1")]));
    fixture.create_sync("central", "sync", spec).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    for _ in 0..CYCLES {
        fixture.label_namespace("app", &json!({"on": "1"})).await?;
        fixture.wait_data("app", "shared", &[("a", "1")], FOLLOWED).await?;
        fixture.label_namespace("app", &json!({"on": null})).await?;
        fixture.wait_no_config_map("app", "shared", FOLLOWED).await?;
    }
    Ok(())
}
