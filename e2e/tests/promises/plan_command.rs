//! Promise: `plan` tells beforehand what the operator will do, and does nothing itself.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::DeletionPolicy;
use harness::audit_queries::writes_by_operator;
use harness::cli::Ended;
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

async fn plan(world: &OperatorCluster, arguments: &[&str]) -> Result<Ended> {
    let arguments = [&["plan"], arguments].concat();
    configmapsync(world.control_plane.kubeconfig(), &arguments).await
}

/// What a plan in JSON says of places: `create app/shared`.
fn places(plan: &Ended) -> Result<BTreeSet<String>> {
    let plan: Value = serde_json::from_str(&plan.printed).with_context(|| format!("{plan:?}"))?;
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

fn manifest(world: &OperatorCluster, destination: &str) -> Result<PathBuf> {
    let file = world.control_plane.folder().join("sync.yaml");
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
async fn the_exit_code_tells_changes_from_none_and_from_failure() -> Result<()> {
    let mut world = OperatorCluster::start(0).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&NAMESPACES).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let file = manifest(&world, "app")?;
    let file = file.to_str().context("a path that is no text")?;

    let before = plan(&world, &["-f", file]).await?;
    ensure!(before.code == 2, "{before:?}");
    ensure!(before.printed.contains("not created yet"), "{before:?}");
    ensure!(before.printed.contains("create   app/shared"), "{before:?}");
    ensure!(fixture.sync("central", "sync").await?.is_none(), "it only tells");

    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    let waiting = plan(&world, &["central/sync"]).await?;
    ensure!(waiting.code == 2 && waiting.printed.contains("1 to create"), "{waiting:?}");
    ensure!(fixture.config_map("app", "shared").await?.is_none(), "it only tells");

    world.add_replicas(1).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    for arguments in [&[][..], &["central/sync"], &["-f", file], &["-o", "json"]] {
        let nothing = plan(&world, arguments).await?;
        ensure!(nothing.code == 0, "{arguments:?}: {nothing:?}");
    }
    let moved = manifest(&world, "other")?;
    let moved = plan(&world, &["-f", moved.to_str().context("a path that is no text")?]).await?;
    let told = moved.printed.contains("delete   app/shared     it is no longer desired, once");
    ensure!(moved.code == 2 && told, "{moved:?}");
    ensure!(moved.printed.contains("create   other/shared"), "{moved:?}");
    for (arguments, words) in [
        (&["central/none"][..], "does not exist"),
        (&["-f", "/dev/null"], "it contains no ConfigMapSync"),
        (&["-f", "/nowhere/at/all"], "cannot plan /nowhere/at/all"),
    ] {
        let failed = plan(&world, arguments).await?;
        ensure!(failed.code == 1 && failed.complained.contains(words), "{failed:?}");
    }
    let both = plan(&world, &["central/sync", "-f", file]).await?;
    ensure!(both.code == 1 && both.complained.contains("Usage:"), "{both:?}");
    Ok(())
}

#[tokio::test]
async fn who_may_not_read_gets_no_plan() -> Result<()> {
    let world = OperatorCluster::start(0).await?;
    let cluster = &world.control_plane;
    let nobody = cluster.authority().issue_client("nobody", "nobody", &[])?;
    let kubeconfig = cluster.folder().join("nobody.kubeconfig");
    fs::write(&kubeconfig, cluster.kubeconfig_for(&Credential::Certificate(nobody))?)?;
    let refused = configmapsync(&kubeconfig, &["plan"]).await?;
    let words = ["cannot list ConfigMapSyncs", "forbidden"];
    let told = words.iter().all(|word| refused.complained.contains(word));
    ensure!(refused.code == 1 && told && refused.printed.is_empty(), "{refused:?}");
    Ok(())
}

/// Six syncs, each with something to do, left undone by an operator that has stopped.
async fn leave_undone(world: &mut OperatorCluster, fixture: &Fixture) -> Result<()> {
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
    world.replica()?.terminate_and_wait().await?;
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
async fn what_it_says_is_what_the_operator_then_does() -> Result<()> {
    let mut world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    leave_undone(&mut world, &fixture).await?;

    let mark = world.audit().mark().await?;
    let planned = plan(&world, &["-o", "json"]).await?;
    ensure!(planned.code == 2, "{planned:?}");
    ensure!(!planned.printed.contains("theirs"), "no value of a ConfigMap: {planned:?}");
    let written = world.audit().since(mark).await?;
    let written: Vec<_> = written.iter().filter(|event| event.is_write()).collect();
    let by_person = written.iter().any(|event| event.user.username == "admin");
    ensure!(!by_person, "a plan writes nothing: {written:?}");
    let said = places(&planned)?;
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
    ensure!(said == expected.map(ToOwned::to_owned).into(), "{said:?}");

    let mark = world.audit().mark().await?;
    world.replica()?.restart()?;
    until("the operator has done it", SOON, || async {
        let left = plan(&world, &[]).await?;
        Ok(Seen::from_bool(left.code == 0, || left.printed))
    })
    .await?;
    let events = world.audit().since(mark).await?;
    let writes = writes_by_operator(&events);
    let copies = writes.iter().filter(|event| event.resource() == "configmaps");
    let done: BTreeSet<_> = copies
        .map(|event| format!("{} {}/{}", event.verb, event.namespace(), event.name()))
        .collect();
    let as_verb = |step: &String| {
        let (action, place) = step.split_once(' ')?;
        let verb = match action {
            "update" | "restamp" | "release" => "patch",
            "create" | "delete" => action,
            _ => return None,
        };
        Some(format!("{verb} {place}"))
    };
    let announced: BTreeSet<_> = said.iter().filter_map(as_verb).collect();
    ensure!(done == announced, "announced {announced:?}\ndone {done:?}");
    Ok(())
}
