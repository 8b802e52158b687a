//! The command `uninstall` prepares the removal of the operator: no copy is lost, and no finalizer
//! blocks the deletion of a ConfigMapSync.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names;
use harness::audit_queries::succeeded_after_retries;
use harness::audit_queries::writes_by_operator;
use harness::cli::configmapsync_with_input;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::audit::Event;
use testbed::audit::lines;
use testbed::repository::manifest;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::audit::copy_writes;
use crate::support::orphan_collection::fast_collection;
use crate::support::scale::quick_or_full;
use crate::support::uninstall_steps;
use crate::support::uninstall_steps::OTHER_FINALIZER;
use crate::support::uninstall_steps::copies;
use crate::support::uninstall_steps::create_copies_of_each_kind;
use crate::support::uninstall_steps::create_orphans;
use crate::support::uninstall_steps::finalizers;
use crate::support::uninstall_steps::is_deletable;
use crate::support::uninstall_steps::preserved_state;
use crate::support::uninstall_steps::start_deployment;
use crate::support::uninstall_steps::start_uninstall;
use crate::support::uninstall_steps::stop_operator;
use crate::support::uninstall_steps::uninstall;
use crate::support::uninstall_steps::writes_by_admin;

#[tokio::test]
async fn uninstall_keeps_copies_for_a_later_installation() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(1, fast_collection("1s")).await?;
    let fixture = cluster.fixture();
    create_copies_of_each_kind(&fixture).await?;
    let before = copies(&fixture).await?;
    stop_operator(&mut cluster).await?;

    let mark = cluster.audit().mark().await?;
    let done = uninstall(&cluster, &["--yes"]).await?;
    ensure!(done.code == 0 && done.stdout.contains("2 copies kept"), "{done:?}");
    let events = cluster.audit().since(mark).await?;
    let writes = writes_by_admin(&events);
    // One write for each of three finalizers, and for the deletion policy of `made` and `adopted`;
    // `retained` has none.
    ensure!(writes.len() == 2 + 3, "{}", lines(&writes));
    let after = copies(&fixture).await?;
    for (at, copy) in &before {
        let now = after.get(at).with_context(|| format!("{at} is gone"))?;
        ensure!(!is_deletable(now), "{now:?}");
        ensure!(preserved_state(now) == preserved_state(copy), "{at}: {now:?}\nwas {copy:?}");
    }
    for (name, left) in [("made", vec![OTHER_FINALIZER]), ("retained", vec![]), ("adopted", vec![])]
    {
        ensure!(finalizers(&fixture, name).await? == left, "{name}");
    }

    let mark = cluster.audit().mark().await?;
    let again = uninstall(&cluster, &["--yes"]).await?;
    ensure!(again.code == 0 && again.stdout.contains("nothing left to undo"), "{again:?}");
    let events = cluster.audit().since(mark).await?;
    ensure!(writes_by_admin(&events).is_empty(), "{}", lines(&writes_by_admin(&events)));

    fixture.delete_sync("central", "retained").await?;
    fixture.wait_no_sync("central", "retained", SOON).await?;
    let mark = cluster.audit().mark().await?;
    // A later installation: the ClusterRoleBinding was deleted.
    cluster.control_plane.apply_file(&manifest("rbac.yaml")).await?;
    cluster.add_replicas(1).await?;
    until("two of the copies have markers and the deletion policy again", SOON, || async {
        let now = copies(&fixture).await?;
        let deletable = now.values().filter(|copy| is_deletable(copy)).count();
        let marked = now.values().filter(|copy| {
            let labels = copy.metadata.labels.clone().unwrap_or_default();
            labels.contains_key(names::LABEL_SYNC_UID)
        });
        let marked = marked.count();
        Ok(Seen::from_bool((deletable, marked) == (2, 2), || format!("{deletable} of {marked}")))
    })
    .await?;
    ensure_markers_written_once(&cluster.audit().since(mark).await?)?;
    for (at, copy) in &before {
        let now = fixture
            .config_map(&at.namespace, &at.name)
            .await?
            .with_context(|| format!("{at} is gone"))?;
        ensure!(now.data == copy.data, "{at}: {now:?}");
    }
    Ok(())
}

/// Fails unless each copy was written once, and without its data.
fn ensure_markers_written_once(events: &[Event]) -> Result<()> {
    let attempts = copy_writes(events);
    let written = succeeded_after_retries(&attempts, 403)?;
    ensure!(written.len() == 3, "expected one write for each copy: {}", lines(&attempts));
    let no_data = |event: &&Event| {
        let sent = event.request_object.as_ref().map(ToString::to_string).unwrap_or_default();
        event.verb == "patch" && !sent.contains("\"/data\"") && !sent.contains("inaryData")
    };
    ensure!(attempts.iter().all(no_data), "data was written: {}", lines(&attempts));
    Ok(())
}

#[tokio::test]
async fn delete_copies_releases_what_the_operator_did_not_create() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    create_copies_of_each_kind(&fixture).await?;
    let mut clone = fixture.config_map("app", "made").await?.context("no copy")?;
    clone.metadata.name = Some("clone".to_owned());
    let clone = fixture.clone_config_map(&clone).await?;
    stop_operator(&mut cluster).await?;
    // A first run that keeps the copies does not prevent a second one from deleting them.
    ensure!(uninstall(&cluster, &["--yes"]).await?.code == 0);
    let done = uninstall(&cluster, &["--yes", "--delete-copies"]).await?;
    ensure!(done.code == 0, "{done:?}");
    ensure!(done.stdout.contains("1 deleted, 2 released"), "{done:?}");
    ensure!(fixture.config_map("app", "made").await?.is_none(), "{done:?}");
    for name in ["retained", "adopted"] {
        let left = fixture
            .config_map("app", name)
            .await?
            .with_context(|| format!("app/{name} was deleted instead of released"))?;
        let keys = left.metadata.annotations.unwrap_or_default().into_keys();
        let keys: Vec<_> =
            keys.chain(left.metadata.labels.unwrap_or_default().into_keys()).collect();
        ensure!(!keys.iter().any(|key| key.starts_with(names::PREFIX)), "{name}: {keys:?}");
    }
    let now = fixture.config_map("app", "clone").await?.context("the clone was deleted")?;
    ensure!(now.metadata == clone.metadata, "{now:?}");
    Ok(())
}

#[tokio::test]
async fn uninstall_changes_nothing_while_a_replica_leads() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    create_copies_of_each_kind(&fixture).await?;
    let pods = Api::<Pod>::namespaced(fixture.client(), OPERATOR);
    let mark = cluster.audit().mark().await?;
    let refused = uninstall(&cluster, &["--yes", "--timeout", "3s"]).await?;
    let words = ["have not terminated", "configmapsync-0", "Nothing is lost", "kubectl"];
    ensure!(refused.code == 1, "{refused:?}");
    ensure!(words.iter().all(|word| refused.stderr.contains(word)), "{refused:?}");
    // A user isolates the pod for debugging: the Deployment no longer selects it, but it still
    // leads.
    let apart = Patch::Merge(json!({"metadata": {"labels": {"app.kubernetes.io/name": "apart"}}}));
    pods.patch(&cluster.replica()?.pod().name, &PatchParams::default(), &apart).await?;
    let refused = uninstall(&cluster, &["--yes"]).await?;
    ensure!(refused.code == 1 && refused.stderr.contains("keeps renewing"), "{refused:?}");
    let events = cluster.audit().since(mark).await?;
    ensure!(writes_by_admin(&events).is_empty(), "{}", lines(&writes_by_admin(&events)));
    Ok(())
}

#[tokio::test]
async fn uninstall_scales_down_and_waits_for_the_pods() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    create_copies_of_each_kind(&fixture).await?;
    start_deployment(&cluster, "copier", 3).await?;
    let running = start_uninstall(&cluster, &["--yes", "--deployment", "copier"]).await?;
    until("the Deployment copier is scaled to 0", SOON, || async {
        let replicas = uninstall_steps::replicas(&fixture, "copier").await?;
        Ok(Seen::from_bool(replicas == 0, || format!("{replicas} replicas")))
    })
    .await?;
    // Long enough for a command that does not wait for the pods.
    let mark = cluster.audit().mark().await?;
    testbed::wait::stays(
        "the ConfigMapSync made keeps its finalizer",
        Duration::from_secs(3),
        || async {
            let held = finalizers(&fixture, "made").await?;
            Ok(Seen::from_bool(held.contains(&names::FINALIZER.to_owned()), || format!("{held:?}")))
        },
    )
    .await?;
    let events = cluster.audit().since(mark).await?;
    ensure!(writes_by_admin(&events).is_empty() && writes_by_operator(&events).is_empty());
    stop_operator(&mut cluster).await?;
    let done = running.wait().await?;
    ensure!(done.code == 0, "{done:?}");
    let words = ["scaled from 3 to 0", "configmapsync-0", "2 copies kept"];
    ensure!(words.iter().all(|word| done.stdout.contains(word)), "{done:?}");
    Ok(())
}

#[tokio::test]
async fn uninstall_handles_many_objects_and_a_missing_crd() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    let count = quick_or_full(1_100, 10_000);
    fixture.create_namespaces(&["central", "app"]).await?;
    create_orphans(&fixture, "app", "central/lost", count).await?;
    uninstall_steps::create_held_syncs(&fixture, count).await?;
    let done = uninstall(&cluster, &["--yes"]).await?;
    let summary = format!(
        "{count} copies kept, 0 deleted, 0 released; our finalizer removed from {count} ConfigMapSyncs"
    );
    ensure!(done.code == 0 && done.stdout.contains(&summary), "{done:?}");
    ensure!(!copies(&fixture).await?.values().any(is_deletable));
    for name in ["sync-0".to_owned(), format!("sync-{}", count - 1)] {
        ensure!(finalizers(&fixture, &name).await?.is_empty(), "{name}");
    }
    uninstall_steps::delete_crd(&fixture).await?;
    let patch = json!({"metadata": {"annotations": {names::ANNOTATION_DELETION_POLICY: "Delete"}}});
    fixture.patch_config_map("app", "copy-0", &patch).await?;
    let done = uninstall(&cluster, &["--yes"]).await?;
    ensure!(done.code == 0 && done.stdout.contains("1 copies kept"), "{done:?}");
    Ok(())
}

#[tokio::test]
async fn uninstall_asks_for_confirmation_or_yes() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["app"]).await?;
    create_orphans(&fixture, "app", "central/lost", 2).await?;
    let kubeconfig = cluster.control_plane.kubeconfig();
    let mark = cluster.audit().mark().await?;
    let no_terminal = uninstall(&cluster, &[]).await?;
    ensure!(no_terminal.code == 2 && no_terminal.stderr.contains("--yes"), "{no_terminal:?}");
    ensure!(no_terminal.stdout.contains("2 are kept"), "{no_terminal:?}");
    let no = configmapsync_with_input(kubeconfig, &["uninstall"], "n").await?;
    ensure!(no.code == 1 && no.stdout.contains("Nothing was done"), "{no:?}");
    let events = cluster.audit().since(mark).await?;
    ensure!(writes_by_admin(&events).is_empty(), "{}", lines(&writes_by_admin(&events)));
    let yes = configmapsync_with_input(kubeconfig, &["uninstall"], "y").await?;
    ensure!(yes.code == 0 && yes.stdout.contains("2 copies kept"), "{yes:?}");
    Ok(())
}
