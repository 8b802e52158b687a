//! Promise: kubectl is the manual.

use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::custom_resource_definition;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use serde_json::Value;
use testbed::control_plane::ControlPlane;
use testbed::repository;
use testbed::wait::Seen;
use testbed::wait::until;
use tokio::process::Command;
use tokio::time::timeout;

/// How long one command may take, whatever it waits for itself.
const COMMAND: Duration = Duration::from_mins(1);

/// Runs kubectl in the root of the repository, and returns what it printed.
async fn kubectl(cluster: &ControlPlane, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(cluster.tools().path("kubectl")?);
    command.arg("--kubeconfig").arg(cluster.kubeconfig());
    command.arg("--cache-dir").arg(cluster.folder().join("kubectl-cache"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command.current_dir(repository::root());
    let context = || format!("kubectl {}", arguments.join(" "));
    let output = timeout(COMMAND, command.output()).await.with_context(context)??;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} ended with {}: {said}{errors}", context(), output.status);
    Ok(said)
}

/// Text without its line breaks and indents.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Every object at and below `path`, with its path.
fn objects<'a>(schema: &'a Value, path: &str) -> Vec<(String, &'a Value)> {
    let schema = if schema["items"].is_object() { &schema["items"] } else { schema };
    let mut found = Vec::new();
    if let Some(fields) = schema["properties"].as_object() {
        found.push((path.to_owned(), schema));
        for (field, schema) in fields {
            found.extend(objects(schema, &format!("{path}.{field}")));
        }
    }
    found
}

#[tokio::test]
async fn explain_describes_every_field() -> Result<()> {
    let world = OperatorCluster::start(0).await?;
    let cluster = &world.control_plane;
    let definition = serde_json::to_value(custom_resource_definition())?;
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    until("the API server tells what the fields mean", SOON, || async {
        let said = kubectl(cluster, &["explain", "configmapsync.spec"]).await;
        Ok(said.map_or_else(|error| Seen::NotYet(format!("{error:#}")), |_| Seen::Done(())))
    })
    .await?;
    let mut described = 0;
    for part in ["spec", "status"] {
        let path = format!("configmapsync.{part}");
        for (path, schema) in objects(&schema["properties"][part], &path) {
            let said = kubectl(cluster, &["explain", &path]).await?;
            let (about, fields) = said.split_once("FIELDS:").with_context(|| said.clone())?;
            ensure!(!about.contains("<empty>"), "{path} itself is not described: {said}");
            for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
                let description = schema["description"].as_str().unwrap_or_default();
                ensure!(description.len() > 10, "{path}.{field} is not described");
                let heading = format!("{field}\t<");
                let entry = fields.split("\n  ").find(|entry| entry.starts_with(&heading));
                ensure!(entry.is_some(), "kubectl does not know {path}.{field}: {said}");
                let told = flat(fields).contains(&flat(description));
                ensure!(told, "kubectl does not print what {path}.{field} is: {said}");
                described += 1;
            }
        }
    }
    ensure!(described > 30, "only {described} fields were found");
    Ok(())
}

#[tokio::test]
async fn wait_ends_when_it_is_ready_and_get_shows_the_columns() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let cluster = &world.control_plane;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;

    let wait = ["wait", "--for=condition=Ready", "configmapsync/sync", "-n", "central"];
    let said = kubectl(cluster, &[&wait[..], &["--timeout=20s"]].concat()).await?;
    ensure!(said.contains("condition met"), "{said}");
    ensure!(fixture.config_map("app", "shared").await?.is_some(), "ready means copied");

    fixture.create_sync("central", "lost", one_to_one("central", "nothing", "app")).await?;
    fixture.wait_reason("central", "lost", "SourceNotFound", SOON).await?;
    let said = kubectl(cluster, &["get", "cms", "-n", "central"]).await?;
    let rows: Vec<Vec<_>> = said.lines().map(|line| line.split_whitespace().collect()).collect();
    let expected = [
        ["NAME", "SOURCE", "DESTINATION", "READY", "REASON", "COPIES", "AGE"],
        ["lost", "nothing", "app", "False", "SourceNotFound", "0", ""],
        ["sync", "shared", "app", "True", "Synced", "1", ""],
    ];
    ensure!(rows.len() == expected.len(), "{said}");
    for (row, expected) in rows.iter().zip(expected) {
        // How old it is by now, nobody knows beforehand.
        let age = expected[6].is_empty() || row.last() == expected.last();
        ensure!(row.len() == 7 && row[..6] == expected[..6] && age, "{expected:?} in: {said}");
    }
    Ok(())
}

#[tokio::test]
async fn apply_installs_what_is_in_the_repository() -> Result<()> {
    let cluster = ControlPlane::start().await?;
    let established = ["wait", "--for=condition=Established", "--timeout=20s"];
    for again in [false, true] {
        let kinds = kubectl(&cluster, &["apply", "-k", "deploy/crds"]).await?;
        let rest = kubectl(&cluster, &["apply", "-k", "deploy"]).await?;
        for line in kinds.lines().chain(rest.lines()) {
            ensure!(line.ends_with("created") != again, "{line}");
        }
        for object in [
            "customresourcedefinition.apiextensions.k8s.io/configmapsyncs.apps.nishaf.info",
            "namespace/configmapsync",
            "clusterrole.rbac.authorization.k8s.io/configmapsync",
            "deployment.apps/configmapsync",
        ] {
            ensure!(kinds.contains(object) || rest.contains(object), "no {object}: {kinds}{rest}");
        }
        let definition = "crd/configmapsyncs.apps.nishaf.info";
        kubectl(&cluster, &[&established[..], &[definition]].concat()).await?;
    }
    let namespaces = "deploy/samples/source.yaml";
    kubectl(&cluster, &["apply", "-f", namespaces]).await?;
    let seed = kubectl(&cluster, &["apply", "-f", "deploy/samples/configmapsync.yaml"]).await?;
    ensure!(seed.contains("my-config-sync created"), "{seed}");
    Ok(())
}
