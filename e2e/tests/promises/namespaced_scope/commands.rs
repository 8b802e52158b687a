//! The commands know the namespaces of a limited operator.

use std::fs;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::cli::CommandResult;
use harness::cli::configmapsync;
use harness::operator_cluster::OperatorCluster;
use serde_json::Value;
use serde_json::json;

use crate::namespaced_scope::support::OUTSIDE;
use crate::namespaced_scope::support::SCOPE;
use crate::namespaced_scope::support::create_deployment;
use crate::namespaced_scope::support::findings;
use crate::namespaced_scope::support::limited_cluster;

/// What `check` says of the scope.
async fn found_scope(cluster: &OperatorCluster) -> Result<Value> {
    let found = findings(cluster, "installed").await?.into_iter();
    let mut found = found.filter(|it| it["subject"] == "the scope of the operator");
    found.next().context("check does not mention the scope")
}

#[tokio::test]
async fn check_knows_the_permissions_of_a_limited_operator() -> Result<()> {
    let (cluster, _) = limited_cluster(1).await?;
    let scope = found_scope(&cluster).await?;
    let says = scope["state"] == "unknown" && scope["message"].to_string().contains("Deployment");
    ensure!(says, "{scope}");

    let is_ok = |it: &Value| it["state"] == "ok";
    let list = SCOPE.join(",");
    let argument = format!("--namespaces={list}");
    let variable = json!([{"name": "CONFIGMAPSYNC_NAMESPACES", "value": list}]);
    for (arguments, environment) in [
        (&[argument.as_str()][..], json!([])),
        (&["--namespaces", list.as_str()], json!([])),
        (&[], variable),
    ] {
        create_deployment(&cluster, arguments, &environment).await?;
        let permitted = findings(&cluster, "permitted").await?;
        ensure!(permitted.len() > 10 && permitted.iter().all(is_ok), "{permitted:#?}");
        let scope = found_scope(&cluster).await?;
        ensure!(is_ok(&scope) && scope["message"] == "a, b, central, configmapsync", "{scope}");
    }
    create_deployment(&cluster, &["--namespaces=central,a,elsewhere"], &json!([])).await?;
    let permitted = findings(&cluster, "permitted").await?;
    let wrong: Vec<_> = permitted.iter().filter(|it| !is_ok(it)).collect();
    let is_named = |it: &&Value| it["subject"].as_str().is_some_and(|it| it.contains("elsewhere"));
    ensure!(!wrong.is_empty() && wrong.iter().all(is_named), "{wrong:#?}");
    Ok(())
}

/// The plan for a file with the ConfigMapSync `namespace/planned` that copies `source/shared` to
/// `destination`.
async fn plan(
    cluster: &OperatorCluster,
    [namespace, source, destination]: [&str; 3],
    arguments: &[&str],
) -> Result<CommandResult> {
    let manifest = json!({
        "apiVersion": "apps.nishaf.info/v1",
        "kind": "ConfigMapSync",
        "metadata": {"name": "planned", "namespace": namespace},
        "spec": {
            "sourceNamespace": source,
            "configMapName": "shared",
            "destinationNamespace": destination,
        },
    });
    let file = cluster.control_plane.folder().join("planned.yaml");
    fs::write(&file, manifest.to_string())?;
    let file = file.to_str().context("the path is not UTF-8")?;
    let arguments = [&["plan", "--filename", file], arguments].concat();
    configmapsync(cluster.control_plane.kubeconfig(), &arguments).await
}

#[tokio::test]
async fn plan_and_rights_know_the_scope() -> Result<()> {
    let (cluster, _) = limited_cluster(0).await?;
    let list = format!("--namespaces={},configmapsync", SCOPE.join(","));
    let limited = [list.as_str()];
    let inside = plan(&cluster, ["central", "central", "a"], &limited).await?;
    ensure!(inside.code == 2 && inside.stdout.contains("create   a/shared"), "{inside:?}");
    for (names, field) in [
        (["central", OUTSIDE, "a"], "spec.sourceNamespace"),
        (["central", "central", OUTSIDE], "spec.destinationNamespace"),
    ] {
        let everywhere = plan(&cluster, names, &[]).await?;
        ensure!(!everywhere.stdout.contains("InvalidSpec"), "{everywhere:?}");
        let invalid = plan(&cluster, names, &limited).await?;
        let says = ["InvalidSpec", field, OUTSIDE].iter().all(|it| invalid.stdout.contains(it));
        ensure!(invalid.code == 0 && says, "{invalid:?}");
    }
    // The operator does not see a ConfigMapSync outside the scope.
    let unseen = plan(&cluster, [OUTSIDE, "central", "a"], &limited).await?;
    ensure!(unseen.code == 1 && unseen.stderr.contains("--namespaces"), "{unseen:?}");
    let kubeconfig = cluster.control_plane.kubeconfig();
    for command in ["plan", "rights"] {
        let ended = configmapsync(kubeconfig, &[command, "outside/unseen", &list]).await?;
        ensure!(ended.code == 1 && ended.stderr.contains("--namespaces"), "{command}: {ended:?}");
    }
    Ok(())
}
