//! The command `plan` prints what the operator would do, and changes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::DeletionPolicy;
use harness::audit_queries::writes_by_operator;
use harness::cli::CommandResult;
use harness::cli::configmapsync;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use serde_json::Value;
use serde_json::json;
use testbed::kubeconfig::Credential;
use testbed::wait::Seen;
use testbed::wait::until;

const NAMESPACES: [&str; 4] = ["central", "app", "other", "third"];

async fn plan(cluster: &OperatorCluster, arguments: &[&str]) -> Result<CommandResult> {
    let arguments = [&["plan"], arguments].concat();
    configmapsync(cluster.control_plane.kubeconfig(), &arguments).await
}

/// The steps of a plan in JSON, such as `create app/shared`.
fn steps(plan: &CommandResult) -> Result<BTreeSet<String>> {
    let plan: Value = serde_json::from_str(&plan.stdout).with_context(|| format!("{plan:?}"))?;
    let syncs = plan["configMapSyncs"].as_array().cloned().unwrap_or_default();
    let steps = syncs.iter().filter_map(|sync| sync["steps"].as_array()).flatten();
    let text = |step: &Value, field: &str| step[field].as_str().unwrap_or_default().to_owned();
    Ok(steps
        .map(|step| {
            let [action, namespace, name] =
                ["action", "namespace", "name"].map(|field| text(step, field));
            format!("{action} {namespace}/{name}")
        })
        .collect())
}

/// Writes a file with a Namespace, which `plan` ignores, and the ConfigMapSync `central/sync`.
fn write_manifest(cluster: &OperatorCluster, destination: &str) -> Result<PathBuf> {
    let file = cluster.control_plane.folder().join("sync.yaml");
    let text = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: ignored\n---\n\
         apiVersion: apps.nishaf.info/v1\nkind: ConfigMapSync\n\
         metadata:\n  name: sync\n  namespace: central\n\
         spec:\n  sourceNamespace: central\n  configMapName: shared\n\
         \x20 destinationNamespace: {destination}\n"
    );
    fs::write(&file, text)?;
    Ok(file)
}

#[tokio::test]
async fn the_exit_code_shows_changes_no_changes_or_failure() -> Result<()> {
    let mut cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&NAMESPACES).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let file = write_manifest(&cluster, "app")?;
    let file = file.to_str().context("the path is not UTF-8")?;

    let before = plan(&cluster, &["-f", file]).await?;
    ensure!(before.code == 2, "{before:?}");
    ensure!(before.stdout.contains("not created yet"), "{before:?}");
    ensure!(before.stdout.contains("create   app/shared"), "{before:?}");
    ensure!(fixture.sync("central", "sync").await?.is_none(), "plan has written");

    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    let waiting = plan(&cluster, &["central/sync"]).await?;
    ensure!(waiting.code == 2 && waiting.stdout.contains("1 to create"), "{waiting:?}");
    ensure!(fixture.config_map("app", "shared").await?.is_none(), "plan has written");

    cluster.add_replicas(1).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    for arguments in [&[][..], &["central/sync"], &["-f", file], &["-o", "json"]] {
        let nothing = plan(&cluster, arguments).await?;
        ensure!(nothing.code == 0, "{arguments:?}: {nothing:?}");
    }
    let moved = write_manifest(&cluster, "other")?;
    let moved = plan(&cluster, &["-f", moved.to_str().context("the path is not UTF-8")?]).await?;
    let lists_deletion =
        moved.stdout.contains("delete   app/shared     it is no longer desired, once");
    ensure!(moved.code == 2 && lists_deletion, "{moved:?}");
    ensure!(moved.stdout.contains("create   other/shared"), "{moved:?}");
    for (arguments, words) in [
        (&["central/none"][..], "does not exist"),
        (&["-f", "/dev/null"], "it contains no ConfigMapSync"),
        (&["-f", "/nowhere/at/all"], "cannot use /nowhere/at/all"),
    ] {
        let failed = plan(&cluster, arguments).await?;
        ensure!(failed.code == 1 && failed.stderr.contains(words), "{failed:?}");
    }
    let both = plan(&cluster, &["central/sync", "-f", file]).await?;
    ensure!(both.code == 1 && both.stderr.contains("Usage:"), "{both:?}");
    Ok(())
}

#[tokio::test]
async fn plan_without_read_permission_fails() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let control_plane = &cluster.control_plane;
    let guest = control_plane.authority().issue_client("guest", "guest", &[])?;
    let kubeconfig = control_plane.folder().join("guest.kubeconfig");
    fs::write(&kubeconfig, control_plane.kubeconfig_for(&Credential::Certificate(guest))?)?;
    let refused = configmapsync(&kubeconfig, &["plan"]).await?;
    let words = ["cannot list ConfigMapSyncs", "forbidden"];
    let is_reported = words.iter().all(|word| refused.stderr.contains(word));
    ensure!(refused.code == 1 && is_reported && refused.stdout.is_empty(), "{refused:?}");
    // A file that cannot be used is reported before the cluster is read.
    for command in ["plan", "rights"] {
        let unusable = configmapsync(&kubeconfig, &[command, "--filename", "/nowhere"]).await?;
        let is_reported = unusable.stderr.contains("cannot use /nowhere");
        ensure!(unusable.code == 1 && is_reported, "{unusable:?}");
    }
    Ok(())
}

/// Creates ConfigMapSyncs, stops the operator, and makes changes that it will act on: all but one
/// have a pending step.
async fn create_pending_steps(cluster: &mut OperatorCluster, fixture: &Fixture) -> Result<()> {
    fixture.create_namespaces(&NAMESPACES).await?;
    for name in ["edited", "deleted", "moved", "retained", "taken", "restored", "fine"] {
        fixture.create_config_map("central", name, &[("a", "1")]).await?;
        let mut spec = one_to_one("central", name, "app");
        if name == "retained" {
            spec.deletion_policy = DeletionPolicy::Retain;
        }
        if ["taken", "restored"].contains(&name) {
            spec.suspend = true;
        }
        fixture.create_sync("central", name, spec).await?;
        let reason = if ["taken", "restored"].contains(&name) { "Suspended" } else { "Synced" };
        fixture.wait_reason("central", name, reason, SOON).await?;
    }
    cluster.replica()?.terminate_and_wait().await?;
    fixture.patch_config_map("app", "edited", &json!({"data": {"a": "2"}})).await?;
    fixture.delete_config_map("app", "deleted").await?;
    let elsewhere = json!({"spec": {"destinationNamespace": "other"}});
    fixture.patch_sync("central", "moved", &elsewhere).await?;
    fixture.delete_sync("central", "retained").await?;
    fixture.create_config_map("app", "taken", &[("a", "theirs")]).await?;
    fixture.restore_copy("app", "restored", "central/restored", "lost").await?;
    for name in ["taken", "restored"] {
        fixture.patch_sync("central", name, &json!({"spec": {"suspend": false}})).await?;
    }
    Ok(())
}

#[tokio::test]
async fn plan_lists_exactly_what_the_operator_then_does() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    create_pending_steps(&mut cluster, &fixture).await?;

    let mark = cluster.audit().mark().await?;
    let planned = plan(&cluster, &["-o", "json"]).await?;
    ensure!(planned.code == 2, "{planned:?}");
    ensure!(
        !planned.stdout.contains("theirs"),
        "the plan shows a value of a ConfigMap: {planned:?}"
    );
    let written = cluster.audit().since(mark).await?;
    let written: Vec<_> = written.iter().filter(|event| event.is_write()).collect();
    let by_plan = written.iter().any(|event| event.user.username == "admin");
    ensure!(!by_plan, "plan has written: {written:?}");
    let planned = steps(&planned)?;
    let expected = [
        "update app/edited",
        "create app/deleted",
        "create other/moved",
        "delete app/moved",
        "release app/retained",
        "leave app/taken",
        "update app/restored",
        "keep app/fine",
    ];
    ensure!(planned == expected.map(ToOwned::to_owned).into(), "{planned:?}");

    let mark = cluster.audit().mark().await?;
    cluster.replica()?.restart()?;
    until("the operator has no pending step", SOON, || async {
        let left = plan(&cluster, &[]).await?;
        Ok(Seen::from_bool(left.code == 0, || left.stdout))
    })
    .await?;
    let events = cluster.audit().since(mark).await?;
    let writes = writes_by_operator(&events);
    let copies = writes.iter().filter(|event| event.resource() == "configmaps");
    let done: BTreeSet<_> = copies
        .map(|event| format!("{} {}/{}", event.verb, event.namespace(), event.name()))
        .collect();
    let as_verb = |step: &String| {
        let (action, object) = step.split_once(' ')?;
        let verb = match action {
            "update" | "restamp" | "release" => "patch",
            "create" | "delete" => action,
            _ => return None,
        };
        Some(format!("{verb} {object}"))
    };
    let planned: BTreeSet<_> = planned.iter().filter_map(as_verb).collect();
    ensure!(done == planned, "planned {planned:?}\ndone {done:?}");
    Ok(())
}
