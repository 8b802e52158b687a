//! `kubectl explain`, `get`, `wait` and `apply` work as users expect.

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

/// Deadline of one command, including what it waits for.
const COMMAND: Duration = Duration::from_mins(1);

/// Runs kubectl in the root of the repository, and returns its stdout.
async fn kubectl(control_plane: &ControlPlane, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(control_plane.tools().path("kubectl")?);
    command.arg("--kubeconfig").arg(control_plane.kubeconfig());
    command.arg("--cache-dir").arg(control_plane.folder().join("kubectl-cache"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command.current_dir(repository::root());
    let context = || format!("kubectl {}", arguments.join(" "));
    let output = timeout(COMMAND, command.output()).await.with_context(context)??;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{} exited with {}: {stdout}{errors}",
        context(),
        output.status
    );
    Ok(stdout)
}

/// The text in one line.
fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The schema of every object at and below `path`, with its path.
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
    let cluster = OperatorCluster::start(0).await?;
    let control_plane = &cluster.control_plane;
    let definition = serde_json::to_value(custom_resource_definition())?;
    let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
    until("the API server serves the descriptions of the fields", SOON, || async {
        let stdout = kubectl(control_plane, &["explain", "configmapsync.spec"]).await;
        Ok(stdout.map_or_else(|error| Seen::NotYet(format!("{error:#}")), |_| Seen::Done(())))
    })
    .await?;
    let mut described = 0;
    for part in ["spec", "status"] {
        let path = format!("configmapsync.{part}");
        for (path, schema) in objects(&schema["properties"][part], &path) {
            let stdout = kubectl(control_plane, &["explain", &path]).await?;
            let (about, fields) = stdout.split_once("FIELDS:").with_context(|| stdout.clone())?;
            ensure!(!about.contains("<empty>"), "{path} itself is not described: {stdout}");
            for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
                let description = schema["description"].as_str().unwrap_or_default();
                ensure!(description.len() > 10, "{path}.{field} is not described");
                let heading = format!("{field}\t<");
                let entry = fields.split("\n  ").find(|entry| entry.starts_with(&heading));
                ensure!(entry.is_some(), "kubectl does not know {path}.{field}: {stdout}");
                let is_described = flat(fields).contains(&flat(description));
                ensure!(
                    is_described,
                    "kubectl does not print the description of {path}.{field}: {stdout}"
                );
                described += 1;
            }
        }
    }
    ensure!(described > 30, "only {described} fields were found");
    Ok(())
}

#[tokio::test]
async fn wait_ends_at_ready_and_get_shows_the_columns() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let control_plane = &cluster.control_plane;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;

    let wait = ["wait", "--for=condition=Ready", "configmapsync/sync", "-n", "central"];
    let stdout = kubectl(control_plane, &[&wait[..], &["--timeout=20s"]].concat()).await?;
    ensure!(stdout.contains("condition met"), "{stdout}");
    ensure!(
        fixture.config_map("app", "shared").await?.is_some(),
        "Ready before the copy was created"
    );

    fixture.create_sync("central", "lost", one_to_one("central", "nothing", "app")).await?;
    fixture.wait_reason("central", "lost", "SourceNotFound", SOON).await?;
    let stdout = kubectl(control_plane, &["get", "cms", "-n", "central"]).await?;
    let rows: Vec<Vec<_>> = stdout.lines().map(|line| line.split_whitespace().collect()).collect();
    let expected = [
        ["NAME", "SOURCE", "DESTINATION", "READY", "REASON", "COPIES", "AGE"],
        ["lost", "nothing", "app", "False", "SourceNotFound", "0", ""],
        ["sync", "shared", "app", "True", "Synced", "1", ""],
    ];
    ensure!(rows.len() == expected.len(), "{stdout}");
    for (row, expected) in rows.iter().zip(expected) {
        // The age is not known in advance.
        let age = expected[6].is_empty() || row.last() == expected.last();
        ensure!(row.len() == 7 && row[..6] == expected[..6] && age, "{expected:?} in: {stdout}");
    }
    Ok(())
}

#[tokio::test]
async fn apply_installs_the_manifests_twice() -> Result<()> {
    let control_plane = ControlPlane::start().await?;
    let established = ["wait", "--for=condition=Established", "--timeout=20s"];
    for again in [false, true] {
        let kinds = kubectl(&control_plane, &["apply", "-k", "deploy/crds"]).await?;
        let rest = kubectl(&control_plane, &["apply", "-k", "deploy"]).await?;
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
        kubectl(&control_plane, &[&established[..], &[definition]].concat()).await?;
    }
    let namespaces = "deploy/samples/source.yaml";
    kubectl(&control_plane, &["apply", "-f", namespaces]).await?;
    let sample =
        kubectl(&control_plane, &["apply", "-f", "deploy/samples/configmapsync.yaml"]).await?;
    ensure!(sample.contains("my-config-sync created"), "{sample}");
    Ok(())
}
