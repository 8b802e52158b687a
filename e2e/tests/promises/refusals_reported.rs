//! The status names the admission policy, webhook or quota that refuses a copy. It contains no
//! data, and other ConfigMapSyncs are not delayed.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use harness::audit_queries::requests_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::Api;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::Value;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::conditions::message;
use crate::support::scale::propagation;

/// A value that must occur only in ConfigMaps.
const SECRET: &str = "hunter2-8f14e45fceea167a";
/// A refused write is retried within this time; the backoff has grown for a few seconds only.
const RETRIED: Duration = Duration::from_secs(30);

/// An admission policy that refuses copies in `namespace` with `reason`, and its binding.
fn policy(namespace: &str, operations: &[&str], reason: Option<&str>) -> [Value; 2] {
    let name = format!("no-copies-in-{namespace}");
    let rules = json!([{
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": operations,
        "resources": ["configmaps"],
    }]);
    let mut validation = json!({
        "expression": "!has(object.metadata.labels) || \
                       !('apps.nishaf.info/configmapsync-uid' in object.metadata.labels)",
        "message": format!("team {namespace} takes no copies"),
    });
    if let Some(reason) = reason {
        validation["reason"] = json!(reason);
    }
    let kind = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": name},
            "spec": spec,
        })
    };
    let selector = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    let constraints = json!({"resourceRules": rules, "namespaceSelector": selector});
    [
        kind(
            "ValidatingAdmissionPolicy",
            json!({"matchConstraints": constraints, "validations": [validation]}),
        ),
        kind(
            "ValidatingAdmissionPolicyBinding",
            json!({"policyName": name, "validationActions": ["Deny"]}),
        ),
    ]
}

/// A mandatory webhook that does not respond, for `namespace`.
fn webhook(namespace: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "inspector"},
        "webhooks": [{
            "name": "inspector.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "timeoutSeconds": 2,
            "failurePolicy": "Fail",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "clientConfig": {"url": "https://127.0.0.1:1/"},
            "rules": [{
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE"],
                "resources": ["configmaps"],
            }],
        }],
    })
}

/// Sets a quota that allows no further ConfigMap in `namespace`, and waits until it is enforced.
async fn exhaust_quota(cluster: &OperatorCluster, namespace: &str) -> Result<()> {
    let quotas: Api<ResourceQuota> = Api::namespaced(cluster.control_plane.client(), namespace);
    let spec = json!({"hard": {"count/configmaps": "1"}});
    let metadata = json!({"name": "no-more", "namespace": namespace});
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": spec,
    });
    cluster.control_plane.apply(quota).await?;
    until("the quota no-more is used up", SOON, || async {
        let quota = quotas.get("no-more").await?;
        let used = quota.status.clone().and_then(|status| status.used).unwrap_or_default();
        let full = used.get("count/configmaps").is_some_and(|used| used.0 == "1");
        Ok(Seen::from_bool(full, || format!("{:?}", quota.status)))
    })
    .await
}

/// Waits until labels of copies are refused in `namespace`. By dry run, since undoing a real change
/// might be refused.
async fn wait_enforced(fixture: &Fixture, namespace: &str) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(fixture.client(), namespace);
    let label = json!({"metadata": {"labels": {"apps.nishaf.info/configmapsync-uid": "1"}}});
    let dry_run = PatchParams { dry_run: true, ..PatchParams::default() };
    until(format!("labels of copies are refused in {namespace}"), SOON, || async {
        let response = maps.patch("probe", &dry_run, &Patch::Merge(&label)).await;
        Ok(Seen::from_bool(response.is_err(), || "admitted".to_owned()))
    })
    .await
}

/// Waits until the ConfigMapSync has failed with `reason`. Fails unless the message contains
/// `words` and the name of the copy, and the object contains no data.
async fn wait_refusal_reported(
    fixture: &Fixture,
    name: &str,
    reason: &str,
    words: &str,
) -> Result<()> {
    let sync = fixture.wait_reason("central", name, reason, SOON).await?;
    ensure!(message(&sync).contains(words), "{words:?} is not in {:?}", message(&sync));
    ensure!(message(&sync).contains(&format!("{name}/shared")), "{}", message(&sync));
    ensure_no_data(&sync)
}

fn ensure_no_data(sync: &ConfigMapSync) -> Result<()> {
    let text = serde_json::to_string(sync)?;
    ensure!(!text.contains(SECRET), "the ConfigMapSync contains data: {text}");
    Ok(())
}

/// Fails if Events or logs contain data.
async fn ensure_no_leak(cluster: &OperatorCluster, since: testbed::audit::Mark) -> Result<()> {
    let events = cluster.audit().since(since).await?;
    let written = requests_by_operator(&events).filter(|event| event.resource() == "events");
    let written: Vec<_> = written.filter_map(|event| event.request_object.clone()).collect();
    ensure!(!written.is_empty(), "no Event was written");
    ensure!(!json!(written).to_string().contains(SECRET), "an Event contains data: {written:#?}");
    let replica = cluster.replicas.first().context("the cluster has no replica")?;
    let logged = json!(replica.logs()).to_string();
    ensure!(logged.contains("copy not written"), "{logged}");
    ensure!(!logged.contains(SECRET), "the log contains data: {logged}");
    Ok(())
}

/// Creates the source, and `namespaces`. Returns when Kubernetes has published its ConfigMap in
/// each, so that they have exactly one.
async fn create_source_and_namespaces(fixture: &Fixture, namespaces: &[&str]) -> Result<()> {
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_namespaces(namespaces).await?;
    fixture.create_config_map("central", "shared", &[("password", SECRET)]).await?;
    for namespace in namespaces {
        let what = format!("the ConfigMap {namespace}/kube-root-ca.crt exists");
        fixture.wait_config_map(namespace, "kube-root-ca.crt", &what, SOON, |_| true).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_create_is_reported_and_delays_no_other_sync() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    let refusing = ["strict", "stricter", "closed", "inspected"];
    create_source_and_namespaces(&fixture, &refusing).await?;
    fixture.create_namespaces(&["open"]).await?;
    for (namespace, reason) in [("strict", Some("Forbidden")), ("stricter", None)] {
        fixture.create_config_map(namespace, "probe", &[]).await?;
        for object in policy(namespace, &["CREATE", "UPDATE"], reason) {
            cluster.control_plane.apply(object).await?;
        }
        wait_enforced(&fixture, namespace).await?;
    }
    exhaust_quota(&cluster, "closed").await?;
    fixture.create_config_map("inspected", "probe", &[]).await?;
    cluster.control_plane.apply(webhook("inspected")).await?;
    wait_enforced(&fixture, "inspected").await?;

    let mark = cluster.audit().mark().await?;
    for namespace in refusing.iter().chain(&["open"]) {
        let spec = one_to_one("central", "shared", namespace);
        fixture.create_sync("central", namespace, spec).await?;
    }
    fixture.wait_data("open", "shared", &[("password", SECRET)], propagation()).await?;
    fixture.wait_reason("central", "open", "Synced", SOON).await?;
    wait_refusal_reported(&fixture, "strict", "Forbidden", "team strict takes no copies").await?;
    wait_refusal_reported(&fixture, "stricter", "Forbidden", "team stricter takes no copies")
        .await?;
    wait_refusal_reported(&fixture, "closed", "Forbidden", "exceeded quota: no-more").await?;
    wait_refusal_reported(&fixture, "inspected", "ApiError", "inspector.example.com").await?;

    let edit = json!({"data": {"password": format!("{SECRET}-2")}});
    fixture.patch_config_map("central", "shared", &edit).await?;
    let wanted = [("password", &*format!("{SECRET}-2"))];
    fixture.wait_data("open", "shared", &wanted, propagation()).await?;
    ensure_no_leak(&cluster, mark).await
}

#[tokio::test]
async fn a_refused_update_is_reported_and_changes_no_copy() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    let refusing = ["strict", "stricter"];
    create_source_and_namespaces(&fixture, &refusing).await?;
    let mark = cluster.audit().mark().await?;
    for (namespace, reason) in [("strict", Some("Forbidden")), ("stricter", None)] {
        fixture.create_config_map(namespace, "probe", &[]).await?;
        let spec = one_to_one("central", "shared", namespace);
        fixture.create_sync("central", namespace, spec).await?;
        fixture.wait_reason("central", namespace, "Synced", SOON).await?;
        for object in policy(namespace, &["UPDATE"], reason) {
            cluster.control_plane.apply(object).await?;
        }
        wait_enforced(&fixture, namespace).await?;
    }
    let edit = json!({"data": {"password": format!("{SECRET}-2")}});
    fixture.patch_config_map("central", "shared", &edit).await?;
    for namespace in refusing {
        let words = format!("team {namespace} takes no copies");
        wait_refusal_reported(&fixture, namespace, "Forbidden", &words).await?;
        fixture.wait_data(namespace, "shared", &[("password", SECRET)], SOON).await?;
    }
    ensure_no_leak(&cluster, mark).await?;

    // Once the policy only audits, the next attempt succeeds.
    for (namespace, reason) in [("strict", Some("Forbidden")), ("stricter", None)] {
        let [_, mut binding] = policy(namespace, &["UPDATE"], reason);
        binding["spec"]["validationActions"] = json!(["Audit"]);
        cluster.control_plane.apply(binding).await?;
        let wanted = [("password", &*format!("{SECRET}-2"))];
        fixture.wait_data(namespace, "shared", &wanted, RETRIED).await?;
        fixture.wait_reason("central", namespace, "Synced", SOON).await?;
    }
    Ok(())
}
