//! A copy with labels and annotations of `destinationMetadata`, and waiting for them.

use std::collections::BTreeMap;

use anyhow::Result;
use configmapsync::api::DeletionPolicy;
use configmapsync::api::DestinationMetadata;
use configmapsync::names;
use harness::fixture::Fixture;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::core::v1::ConfigMap;

use crate::support::scale::propagation;

type Map = BTreeMap<String, String>;

fn map(pairs: &[(&str, &str)]) -> Map {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

/// The labels or annotations without our markers.
fn without_markers(all: Option<&Map>) -> Map {
    let ours = |key: &String| key.starts_with(names::PREFIX) || key == names::LABEL_MANAGED_BY;
    all.into_iter()
        .flatten()
        .filter(|(key, _)| !ours(key))
        .map(|(k, v)| (k.clone(), v.clone()))
        .collect()
}

/// Waits until the copy has exactly these labels and annotations, besides our markers.
pub async fn wait_metadata(
    fixture: &Fixture,
    labels: &[(&str, &str)],
    annotations: &[(&str, &str)],
) -> Result<ConfigMap> {
    let what = format!("app/shared has the labels {labels:?} and the annotations {annotations:?}");
    fixture
        .wait_config_map("app", "shared", &what, propagation(), |copy| {
            without_markers(copy.metadata.labels.as_ref()) == map(labels)
                && without_markers(copy.metadata.annotations.as_ref()) == map(annotations)
        })
        .await
}

/// Creates a copy with the labels team and tier, and the annotation note.
pub async fn create_labelled_copy(
    cluster: &OperatorCluster,
    deletion_policy: DeletionPolicy,
) -> Result<Fixture> {
    let fixture = cluster.fixture();
    let mut spec = one_to_one("central", "shared", "app");
    spec.deletion_policy = deletion_policy;
    spec.destination_metadata = Some(DestinationMetadata {
        labels: map(&[("team", "a"), ("tier", "web")]),
        annotations: map(&[("example.com/note", "by us")]),
    });
    fixture.create_synced_copy_with(spec, &[("a", "1")]).await?;
    wait_metadata(&fixture, &[("team", "a"), ("tier", "web")], &[("example.com/note", "by us")])
        .await?;
    Ok(fixture)
}
