//! An operator that is limited to some namespaces works there, with permissions in these only: it
//! copies, repairs, cleans up and hands over. It never asks for anything elsewhere, except for the list
//! of namespaces. A ConfigMapSync that names another namespace is invalid.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names;
use harness::audit_queries::requests_by_operator;
use harness::cli::configmapsync;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::permissions::limit_to;
use harness::replica::Options;
use harness::replica::Replica;
use k8s_openapi::api::rbac::v1::ClusterRoleBinding;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::Api;
use serde_json::Value;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::audit::Event;
use testbed::audit::Mark;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

use crate::support::conditions::message;
use crate::support::copies::to_selected;
use crate::support::copies::wait_copies_in;
use crate::support::scale::propagation;
use crate::support::uninstall_steps::stop_operator;
use crate::support::uninstall_steps::uninstall;

const SCOPE: [&str; 3] = ["central", "a", "b"];
const OUTSIDE: &str = "outside";
const UNCHANGED: Duration = Duration::from_secs(2);

/// An operator that is limited to [`SCOPE`] and these namespaces.
fn limited(others: &[&str]) -> Options {
    let list = [&SCOPE[..], others].concat().join(",");
    Options { arguments: vec!["--namespaces".to_owned(), list], ..Options::default() }
}

/// A cluster whose operator is limited to [`SCOPE`], with a source `shared` in `central` and `outside`.
async fn limited_cluster(replicas: usize) -> Result<(OperatorCluster, Mark)> {
    limited_cluster_with(replicas, &[]).await
}

/// As [`limited_cluster`]; the list of the operator has `others`, too, which do not exist.
async fn limited_cluster_with(replicas: usize, others: &[&str]) -> Result<(OperatorCluster, Mark)> {
    let mut cluster = OperatorCluster::start_with(0, limited(others)).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&SCOPE).await?;
    fixture.create_namespaces(&[OUTSIDE]).await?;
    for namespace in ["central", OUTSIDE] {
        fixture.create_config_map(namespace, "shared", &[("key", "1")]).await?;
    }
    limit_to(&cluster.control_plane, &SCOPE).await?;
    let mark = cluster.audit().mark().await?;
    cluster.add_replicas(replicas).await?;
    cluster.wait_leader().await?;
    Ok((cluster, mark))
}

/// Whether a request needs permissions that the operator must not have.
fn is_outside(event: &Event) -> bool {
    let is_namespaced =
        !["", "namespaces", "customresourcedefinitions"].contains(&event.resource());
    let namespace = event.namespace();
    is_namespaced && namespace != OPERATOR && !SCOPE.contains(&namespace)
}

/// Fails if the operator asked for anything outside the scope, or for anything that was denied by RBAC.
async fn ensure_inside(cluster: &OperatorCluster, since: Mark) -> Result<()> {
    let events = cluster.audit().since(since).await?;
    let is_denied = |event: &Event| event.response_status.code == 403 && !is_by_policy(event);
    let requests = requests_by_operator(&events);
    let found: Vec<_> = requests.filter(|event| is_outside(event) || is_denied(event)).collect();
    ensure!(found.is_empty(), "{}", lines(&found));
    Ok(())
}

/// The probe of the fence is meant to be denied, by a policy.
fn is_by_policy(event: &Event) -> bool {
    event.response_status.message.contains("ValidatingAdmissionPolicy")
}

#[tokio::test]
async fn copies_in_the_scope_need_permissions_there_only() -> Result<()> {
    let (cluster, mark) = limited_cluster(1).await?;
    let fixture = cluster.fixture();
    fixture.create_sync("central", "named", one_to_one("central", "shared", "a")).await?;
    fixture.wait_reason("central", "named", "Synced", SOON).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"key": "2"}})).await?;
    fixture.wait_data("a", "shared", &[("key", "2")], propagation()).await?;
    // Drift: edited, then deleted.
    fixture.patch_config_map("a", "shared", &json!({"data": {"key": "edited"}})).await?;
    fixture.wait_data("a", "shared", &[("key", "2")], propagation()).await?;
    fixture.delete_config_map("a", "shared").await?;
    fixture.wait_data("a", "shared", &[("key", "2")], propagation()).await?;
    // A ConfigMapSync in another namespace of the scope, and an orphan.
    fixture.create_sync("b", "other", one_to_one("central", "shared", "b")).await?;
    fixture.wait_data("b", "shared", &[("key", "2")], SOON).await?;
    fixture.delete_sync_without_finalizers("b", "other").await?;
    fixture.wait_no_config_map("b", "shared", 3 * SOON).await?;
    fixture.delete_sync("central", "named").await?;
    fixture.wait_no_sync("central", "named", SOON).await?;
    fixture.wait_no_config_map("a", "shared", SOON).await?;
    ensure_inside(&cluster, mark).await
}

#[tokio::test]
async fn a_selector_selects_within_the_scope() -> Result<()> {
    let (cluster, mark) = limited_cluster(1).await?;
    let fixture = cluster.fixture();
    fixture.create_sync("central", "all", to_selected(LabelSelector::default())).await?;
    wait_copies_in(&fixture, "all", &["a", "b"], SOON).await?;
    fixture.wait_reason("central", "all", "Synced", SOON).await?;
    fixture.label_namespace(OUTSIDE, &json!({"team": "x"})).await?;
    fixture.delete_namespace("b").await?;
    wait_copies_in(&fixture, "all", &["a"], SOON).await?;
    ensure!(
        fixture.config_map(OUTSIDE, "shared").await?.is_some_and(|it| it.metadata.labels.is_none())
    );
    ensure_inside(&cluster, mark).await
}

#[tokio::test]
async fn a_named_namespace_outside_the_scope_is_invalid() -> Result<()> {
    let (cluster, mark) = limited_cluster(1).await?;
    let fixture = cluster.fixture();
    let rows = [
        ("source", one_to_one(OUTSIDE, "shared", "a"), "spec.sourceNamespace"),
        ("destination", one_to_one("central", "shared", OUTSIDE), "spec.destinationNamespace"),
    ];
    for (name, spec, field) in rows {
        fixture.create_sync("central", name, spec).await?;
        let sync = fixture.wait_reason("central", name, "InvalidSpec", SOON).await?;
        let message = message(&sync);
        let says = [field, OUTSIDE, "--namespaces", "scope.namespaces"];
        ensure!(says.iter().all(|it| message.contains(it)), "{message}");
        fixture.delete_sync("central", name).await?;
        fixture.wait_no_sync("central", name, SOON).await?;
    }
    ensure_inside(&cluster, mark).await
}

#[tokio::test]
async fn a_sync_outside_the_scope_is_not_seen() -> Result<()> {
    let (cluster, mark) = limited_cluster(1).await?;
    let fixture = cluster.fixture();
    fixture.create_sync(OUTSIDE, "unseen", one_to_one("central", "shared", "a")).await?;
    fixture.create_sync("central", "seen", one_to_one("central", "shared", "b")).await?;
    fixture.wait_reason("central", "seen", "Synced", SOON).await?;
    stays("the ConfigMapSync outside the scope has no effect", UNCHANGED, || async {
        let sync = fixture.sync(OUTSIDE, "unseen").await?;
        let has_conditions =
            sync.is_none_or(|it| it.status.is_some_and(|status| !status.conditions.is_empty()));
        let copy = fixture.config_map("a", "shared").await?;
        let is_untouched = !has_conditions && copy.is_none();
        Ok(Seen::from_bool(is_untouched, || format!("conditions: {has_conditions}, {copy:?}")))
    })
    .await?;
    ensure_inside(&cluster, mark).await
}

#[tokio::test]
async fn a_failover_needs_permissions_in_the_scope_only() -> Result<()> {
    let (mut cluster, mark) = limited_cluster(2).await?;
    let fixture = cluster.fixture();
    fixture.create_sync("central", "named", one_to_one("central", "shared", "a")).await?;
    fixture.wait_reason("central", "named", "Synced", SOON).await?;
    drop(cluster.take_leader().await?);
    fixture.patch_config_map("central", "shared", &json!({"data": {"key": "2"}})).await?;
    fixture.wait_data("a", "shared", &[("key", "2")], SOON).await?;
    fixture.delete_sync("central", "named").await?;
    fixture.wait_no_sync("central", "named", SOON).await?;
    fixture.wait_no_config_map("a", "shared", SOON).await?;
    ensure_inside(&cluster, mark).await
}

#[tokio::test]
async fn a_namespace_without_permissions_does_not_block_others() -> Result<()> {
    let (mut cluster, _) = limited_cluster_with(1, &["absent"]).await?;
    let fixture = cluster.fixture();
    fixture.create_sync("central", "named", one_to_one("central", "shared", "a")).await?;
    fixture.wait_reason("central", "named", "Synced", SOON).await?;
    // It exists now, and the operator has no permissions there.
    fixture.create_namespaces(&["absent"]).await?;
    let unready = "the operator reports that it may not watch the namespace";
    until(unready, SOON, || async {
        let is_ready = cluster.replicas[0].is_ready().await?;
        Ok(Seen::from_bool(!is_ready, || "it is ready".to_owned()))
    })
    .await?;
    // Nor does a new leader wait for it.
    cluster.replica()?.terminate_and_wait().await?;
    cluster.replicas.clear();
    fixture.patch_config_map("central", "shared", &json!({"data": {"key": "2"}})).await?;
    let options = limited(&["absent"]);
    let replica = Replica::start(&cluster.control_plane, "configmapsync-next", &options).await?;
    cluster.replicas.push(replica);
    fixture.wait_data("a", "shared", &[("key", "2")], SOON).await?;

    limit_to(&cluster.control_plane, &["absent"]).await?;
    fixture.create_sync("absent", "late", one_to_one("central", "shared", "absent")).await?;
    fixture.wait_reason("absent", "late", "Synced", SOON).await?;
    cluster.replicas[0].wait_ready().await
}

/// Whether a ConfigMapSync has the operator's finalizer.
async fn has_finalizer(fixture: &Fixture, namespace: &str, name: &str) -> Result<bool> {
    let sync = fixture.sync(namespace, name).await?.context("no such ConfigMapSync")?;
    Ok(sync.metadata.finalizers.iter().flatten().any(|it| it == names::FINALIZER))
}

/// The Deployment of an operator that is limited to these namespaces. Its controller does not run.
async fn create_deployment(cluster: &OperatorCluster, namespaces: &str) -> Result<()> {
    let labels = json!({"app.kubernetes.io/name": OPERATOR});
    let arguments = ["run".to_owned(), format!("--namespaces={namespaces}")];
    let container = json!({"name": OPERATOR, "image": OPERATOR, "args": arguments});
    let pod = json!({"serviceAccountName": OPERATOR, "containers": [container]});
    let deployment = json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": OPERATOR, "namespace": OPERATOR},
        "spec": {
            "replicas": 0,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    });
    cluster.control_plane.apply(deployment).await?;
    Ok(())
}

/// The findings of `check` on this question.
async fn findings(cluster: &OperatorCluster, question: &str) -> Result<Vec<Value>> {
    let kubeconfig = cluster.control_plane.kubeconfig();
    let ended = configmapsync(kubeconfig, &["check", "--output", "json"]).await?;
    let report: Value = serde_json::from_str(&ended.stdout).with_context(|| ended.stderr)?;
    let checks = report["checks"].as_array().context("no checks")?;
    Ok(checks.iter().filter(|it| it["check"] == question).cloned().collect())
}

#[tokio::test]
async fn check_knows_the_permissions_of_a_limited_operator() -> Result<()> {
    let (cluster, _) = limited_cluster(1).await?;
    create_deployment(&cluster, &SCOPE.join(",")).await?;
    let permitted = findings(&cluster, "permitted").await?;
    let is_ok = |it: &Value| it["state"] == "ok";
    ensure!(permitted.len() > 10 && permitted.iter().all(is_ok), "{permitted:#?}");
    create_deployment(&cluster, "central,a,elsewhere").await?;
    let permitted = findings(&cluster, "permitted").await?;
    let wrong: Vec<_> = permitted.iter().filter(|it| !is_ok(it)).collect();
    let is_named = |it: &&Value| it["subject"].as_str().is_some_and(|it| it.contains("elsewhere"));
    ensure!(!wrong.is_empty() && wrong.iter().all(is_named), "{wrong:#?}");
    Ok(())
}

#[tokio::test]
async fn a_namespace_leaves_the_scope_after_uninstall_there() -> Result<()> {
    let (mut cluster, _) = limited_cluster(1).await?;
    let fixture = cluster.fixture();
    let syncs = [("b", "leaving", "b"), ("central", "staying", "a")];
    for (namespace, name, destination) in syncs {
        let spec = one_to_one("central", "shared", destination);
        fixture.create_sync(namespace, name, spec).await?;
        fixture.wait_reason(namespace, name, "Synced", SOON).await?;
    }
    stop_operator(&mut cluster).await?;
    create_deployment(&cluster, "central,a").await?;
    let left = async || -> Result<Value> {
        let found = findings(&cluster, "installed").await?.into_iter();
        let mut found = found.filter(|it| it["subject"] == "ConfigMapSyncs outside the scope");
        found.next().context("check does not mention the ConfigMapSyncs outside the scope")
    };
    let finding = left().await?;
    let message = finding["message"].as_str().unwrap_or_default();
    let says = finding["state"] == "wrong" && message.contains("uninstall --namespaces b`");
    ensure!(says, "{finding}");

    let done = uninstall(&cluster, &["--yes", "--namespaces", "b"]).await?;
    ensure!(done.code == 0 && done.stdout.contains("1 copies kept"), "{done:?}");
    ensure!(!has_finalizer(&fixture, "b", "leaving").await?, "b/leaving has the finalizer");
    ensure!(has_finalizer(&fixture, "central", "staying").await?, "central/staying lost it");
    for (namespace, is_deletable) in [("a", true), ("b", false)] {
        let copy = fixture.config_map(namespace, "shared").await?.context("the copy is gone")?;
        let annotations = copy.metadata.annotations.unwrap_or_default();
        let found = annotations.contains_key(names::ANNOTATION_DELETION_POLICY);
        ensure!(found == is_deletable, "{namespace}: {annotations:?}");
    }
    ensure!(left().await?["state"] == "ok", "{}", left().await?);
    let bindings = Api::<ClusterRoleBinding>::all(fixture.client());
    ensure!(bindings.get_opt(OPERATOR).await?.is_some(), "the ClusterRoleBinding is gone");
    fixture.delete_sync("b", "leaving").await?;
    fixture.wait_no_sync("b", "leaving", SOON).await
}
