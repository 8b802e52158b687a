//! What counts as contention: changes by others, also those of a mutating policy, and not what
//! follows from our own desired state.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::DestinationMetadata;
use configmapsync::api::SourceDeletionPolicy;
use harness::audit_queries::copy_writes_in;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use serde_json::Value;
use serde_json::json;
use testbed::control_plane::ControlPlane;
use testbed::control_plane::Settings;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

/// Times that the source or the label comes and goes. Counted as contention, the last ones would be
/// followed after delays of 8 s and more.
const CYCLES: usize = 12;
/// Each deletion and creation is followed within this time.
const FOLLOWED: Duration = Duration::from_secs(5);
/// The mutation is contended for this time. With delays of 1, 2, 4 and 8 s, the operator writes at
/// most [`MAX_WRITES`] times in it; in a hot loop, hundreds of times.
const CONTENDED: Duration = Duration::from_secs(15);
const MAX_WRITES: usize = 12;

/// A mutating policy that overrides a label of each ConfigMap in `app`, and its binding.
fn overriding_policy() -> [Value; 2] {
    let version = "admissionregistration.k8s.io/v1beta1";
    let metadata = json!({"name": "team-label"});
    let rule = json!({
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["configmaps"],
    });
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": "app"}});
    let labelled = "has(object.metadata.labels) && 'team' in object.metadata.labels";
    let expression = "Object{metadata: Object.metadata{labels: {'team': 'theirs'}}}";
    let policy = json!({
        "matchConstraints": {"namespaceSelector": selector, "resourceRules": [rule]},
        "matchConditions": [{"name": "labelled", "expression": labelled}],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
        "mutations": [{
            "patchType": "ApplyConfiguration",
            "applyConfiguration": {"expression": expression},
        }],
    });
    let object = |kind: &str, spec: Value| json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec});
    let binding = json!({"policyName": "team-label"});
    [object("MutatingAdmissionPolicy", policy), object("MutatingAdmissionPolicyBinding", binding)]
}

#[tokio::test]
async fn a_mutating_policy_that_overrides_a_label_is_contended() -> Result<()> {
    let control_plane = ControlPlane::start_as(Settings::with_mutating_policies()).await?;
    harness::installation::install(&control_plane).await?;
    let cluster = OperatorCluster::start_in(control_plane, 1, Options::default()).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    for object in overriding_policy() {
        cluster.control_plane.apply(object).await?;
    }
    fixture.create_config_map("app", "probe", &[]).await?;
    until("the policy overrides the label", SOON, || async {
        let label = json!({"metadata": {"labels": {"team": "ours"}}});
        fixture.patch_config_map("app", "probe", &label).await?;
        let probe = fixture.config_map("app", "probe").await?;
        let labels = probe.and_then(|probe| probe.metadata.labels).unwrap_or_default();
        Ok(Seen::from_bool(labels.get("team").is_some_and(|it| it == "theirs"), || {
            format!("{labels:?}")
        }))
    })
    .await?;

    let mut spec = one_to_one("central", "shared", "app");
    let labels = [("team".to_owned(), "ours".to_owned())].into();
    spec.destination_metadata = Some(DestinationMetadata { labels, ..Default::default() });
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
    let mut spec = one_to_one("central", "shared", "app");
    spec.destination_namespace = None;
    spec.destination_namespace_selector =
        serde_json::from_value(json!({"matchLabels": {"on": "1"}}))?;
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
