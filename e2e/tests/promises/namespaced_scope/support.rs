//! A cluster whose operator is limited to some namespaces.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::requests_by_operator;
use harness::cli::configmapsync;
use harness::operator_cluster::OperatorCluster;
use harness::permissions::limit_to;
use harness::replica::Options;
use serde_json::Value;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::audit::Event;
use testbed::audit::Mark;
use testbed::audit::lines;

/// The namespaces of the operator, besides its own.
pub const SCOPE: [&str; 3] = ["central", "a", "b"];
/// Another namespace.
pub const OUTSIDE: &str = "outside";

/// An operator that is limited to [`SCOPE`] and these namespaces.
pub fn limited(others: &[&str]) -> Options {
    let list = [&SCOPE[..], others].concat().join(",");
    Options { arguments: vec!["--namespaces".to_owned(), list], ..Options::default() }
}

/// A cluster whose operator is limited to [`SCOPE`], with a source `shared` in `central` and `outside`.
pub async fn limited_cluster(replicas: usize) -> Result<(OperatorCluster, Mark)> {
    limited_cluster_with(replicas, &[]).await
}

/// As [`limited_cluster`]; the list of the operator has `others`, too, which do not exist.
pub async fn limited_cluster_with(
    replicas: usize,
    others: &[&str],
) -> Result<(OperatorCluster, Mark)> {
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
    if replicas > 0 {
        cluster.wait_leader().await?;
    }
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
pub async fn ensure_inside(cluster: &OperatorCluster, since: Mark) -> Result<()> {
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

/// The Deployment of an operator with these arguments and environment variables. Its controller does not
/// run.
pub async fn create_deployment(
    cluster: &OperatorCluster,
    arguments: &[&str],
    environment: &Value,
) -> Result<()> {
    let labels = json!({"app.kubernetes.io/name": OPERATOR});
    let arguments = [&["run"][..], arguments].concat();
    let container =
        json!({"name": OPERATOR, "image": OPERATOR, "args": arguments, "env": environment});
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
pub async fn findings(cluster: &OperatorCluster, question: &str) -> Result<Vec<Value>> {
    let kubeconfig = cluster.control_plane.kubeconfig();
    let ended = configmapsync(kubeconfig, &["check", "--output", "json"]).await?;
    let report: Value = serde_json::from_str(&ended.stdout).with_context(|| ended.stderr)?;
    let checks = report["checks"].as_array().context("no checks")?;
    Ok(checks.iter().filter(|it| it["check"] == question).cloned().collect())
}
