//! Promise: whoever refuses a copy, a policy, a webhook or a quota, is named in the status; no
//! data is; and nobody else has to wait.

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

/// What must be nowhere but in ConfigMaps.
const SECRET: &str = "hunter2-8f14e45fceea167a";
/// "A right is restored: within the cap" of a backoff that is still young.
const MENDED: Duration = Duration::from_secs(30);

/// A policy against ConfigMaps of the operator in `namespace`, and its binding.
fn policy(namespace: &str, operations: &[&str], reason: Option<&str>) -> [Value; 2] {
    let name = format!("nothing-for-{namespace}");
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

/// A webhook that nobody answers for, and that must be asked.
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

/// Allows no more ConfigMaps in `namespace` than there are, and waits until that is so.
async fn close(world: &OperatorCluster, namespace: &str) -> Result<()> {
    let quotas: Api<ResourceQuota> = Api::namespaced(world.control_plane.client(), namespace);
    let spec = json!({"hard": {"count/configmaps": "1"}});
    let metadata = json!({"name": "no-more", "namespace": namespace});
    let quota = json!({
        "apiVersion": "v1", "kind": "ResourceQuota", "metadata": metadata, "spec": spec,
    });
    world.control_plane.apply(quota).await?;
    until("the quota is used up", SOON, || async {
        let quota = quotas.get("no-more").await?;
        let used = quota.status.clone().and_then(|status| status.used).unwrap_or_default();
        let full = used.get("count/configmaps").is_some_and(|used| used.0 == "1");
        Ok(Seen::from_bool(full, || format!("{:?}", quota.status)))
    })
    .await
}

/// Waits until nobody can mark a `ConfigMap` in `namespace`, asked by a dry run: what is tried
/// leaves nothing that would have to be undone, which may be refused by then.
async fn wait_enforced(fixture: &Fixture, namespace: &str) -> Result<()> {
    let maps: Api<ConfigMap> = Api::namespaced(fixture.client(), namespace);
    let marked = json!({"metadata": {"labels": {"apps.nishaf.info/configmapsync-uid": "1"}}});
    let try_only = PatchParams { dry_run: true, ..PatchParams::default() };
    until(format!("marked ConfigMaps are refused in {namespace}"), SOON, || async {
        let answer = maps.patch("probe", &try_only, &Patch::Merge(&marked)).await;
        Ok(Seen::from_bool(answer.is_err(), || "accepted".to_owned()))
    })
    .await
}

/// Waits until the sync has failed for a reason that names who refused.
async fn is_told(fixture: &Fixture, name: &str, reason: &str, words: &str) -> Result<()> {
    let sync = fixture.wait_reason("central", name, reason, SOON).await?;
    ensure!(message(&sync).contains(words), "{words:?} is not in {:?}", message(&sync));
    ensure!(message(&sync).contains(&format!("{name}/shared")), "{}", message(&sync));
    is_silent(&sync)
}

fn is_silent(sync: &ConfigMapSync) -> Result<()> {
    let text = serde_json::to_string(sync)?;
    ensure!(!text.contains(SECRET), "{text}");
    Ok(())
}

/// Neither Events nor logs hold any data.
async fn nothing_leaks(world: &OperatorCluster, since: testbed::audit::Mark) -> Result<()> {
    let events = world.audit().since(since).await?;
    let told = requests_by_operator(&events).filter(|event| event.resource() == "events");
    let told: Vec<_> = told.filter_map(|event| event.request_object.clone()).collect();
    ensure!(!told.is_empty(), "no Event was written");
    ensure!(!json!(told).to_string().contains(SECRET), "{told:#?}");
    let replica = world.replicas.first().context("a world without replicas")?;
    let logged = json!(replica.logs()).to_string();
    ensure!(logged.contains("copy not written"), "{logged}");
    ensure!(!logged.contains(SECRET), "{logged}");
    Ok(())
}

async fn sources_and_namespaces(fixture: &Fixture, namespaces: &[&str]) -> Result<()> {
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_namespaces(namespaces).await?;
    fixture.create_config_map("central", "shared", &[("password", SECRET)]).await?;
    for namespace in namespaces {
        fixture
            .wait_config_map(namespace, "kube-root-ca.crt", "it is there", SOON, |_| true)
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn who_refuses_a_create_is_named_and_nobody_else_waits() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    let refusing = ["strict", "stricter", "closed", "inspected"];
    sources_and_namespaces(&fixture, &refusing).await?;
    fixture.create_namespaces(&["open"]).await?;
    for (namespace, reason) in [("strict", Some("Forbidden")), ("stricter", None)] {
        fixture.create_config_map(namespace, "probe", &[]).await?;
        for object in policy(namespace, &["CREATE", "UPDATE"], reason) {
            world.control_plane.apply(object).await?;
        }
        wait_enforced(&fixture, namespace).await?;
    }
    close(&world, "closed").await?;
    fixture.create_config_map("inspected", "probe", &[]).await?;
    world.control_plane.apply(webhook("inspected")).await?;
    wait_enforced(&fixture, "inspected").await?;

    let mark = world.audit().mark().await?;
    for namespace in refusing.iter().chain(&["open"]) {
        let spec = one_to_one("central", "shared", namespace);
        fixture.create_sync("central", namespace, spec).await?;
    }
    fixture.wait_data("open", "shared", &[("password", SECRET)], propagation()).await?;
    fixture.wait_reason("central", "open", "Synced", SOON).await?;
    is_told(&fixture, "strict", "Forbidden", "team strict takes no copies").await?;
    is_told(&fixture, "stricter", "Forbidden", "team stricter takes no copies").await?;
    is_told(&fixture, "closed", "Forbidden", "exceeded quota: no-more").await?;
    is_told(&fixture, "inspected", "ApiError", "inspector.example.com").await?;

    let longer = json!({"data": {"password": format!("{SECRET}-2")}});
    fixture.patch_config_map("central", "shared", &longer).await?;
    let wanted = [("password", &*format!("{SECRET}-2"))];
    fixture.wait_data("open", "shared", &wanted, propagation()).await?;
    nothing_leaks(&world, mark).await
}

#[tokio::test]
async fn who_refuses_an_update_is_named_and_the_copy_stays_as_it_was() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    let refusing = ["strict", "stricter"];
    sources_and_namespaces(&fixture, &refusing).await?;
    let mark = world.audit().mark().await?;
    for (namespace, reason) in [("strict", Some("Forbidden")), ("stricter", None)] {
        fixture.create_config_map(namespace, "probe", &[]).await?;
        let spec = one_to_one("central", "shared", namespace);
        fixture.create_sync("central", namespace, spec).await?;
        fixture.wait_reason("central", namespace, "Synced", SOON).await?;
        for object in policy(namespace, &["UPDATE"], reason) {
            world.control_plane.apply(object).await?;
        }
        wait_enforced(&fixture, namespace).await?;
    }
    let edit = json!({"data": {"password": format!("{SECRET}-2")}});
    fixture.patch_config_map("central", "shared", &edit).await?;
    for namespace in refusing {
        let words = format!("team {namespace} takes no copies");
        is_told(&fixture, namespace, "Forbidden", &words).await?;
        fixture.wait_data(namespace, "shared", &[("password", SECRET)], SOON).await?;
    }
    nothing_leaks(&world, mark).await?;

    // The policy changes its mind: the next attempt passes.
    for (namespace, reason) in [("strict", Some("Forbidden")), ("stricter", None)] {
        let [_, mut binding] = policy(namespace, &["UPDATE"], reason);
        binding["spec"]["validationActions"] = json!(["Audit"]);
        world.control_plane.apply(binding).await?;
        let wanted = [("password", &*format!("{SECRET}-2"))];
        fixture.wait_data(namespace, "shared", &wanted, MENDED).await?;
        fixture.wait_reason("central", namespace, "Synced", SOON).await?;
    }
    Ok(())
}
