//! Promise: `uninstall` lets the operator go without losing a copy and without wedging a sync.

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
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::audit::copy_writes;
use crate::support::deny_policy::DenyPolicy;
use crate::support::orphan_collection::impatient;
use crate::support::scale::quick_or_full;
use crate::support::uninstall_steps;
use crate::support::uninstall_steps::HELD;
use crate::support::uninstall_steps::asks_for_deletion;
use crate::support::uninstall_steps::copies;
use crate::support::uninstall_steps::end_operator;
use crate::support::uninstall_steps::finalizers;
use crate::support::uninstall_steps::in_background;
use crate::support::uninstall_steps::restored;
use crate::support::uninstall_steps::some_of_each;
use crate::support::uninstall_steps::start_deployment;
use crate::support::uninstall_steps::state;
use crate::support::uninstall_steps::uninstall;
use crate::support::uninstall_steps::writes_by_person;

#[tokio::test]
async fn copies_stay_syncs_are_free_and_a_new_operator_goes_on() -> Result<()> {
    let mut world = OperatorCluster::start_with(1, impatient("1s")).await?;
    let fixture = world.fixture();
    some_of_each(&fixture).await?;
    let before = copies(&fixture).await?;
    end_operator(&mut world).await?;

    let mark = world.audit().mark().await?;
    let done = uninstall(&world, &["--yes"]).await?;
    ensure!(done.code == 0 && done.stdout.contains("2 copies kept"), "{done:?}");
    let events = world.audit().since(mark).await?;
    let writes = writes_by_person(&events);
    // made, adopted: their policy is Delete; retained: it asks for nothing.
    ensure!(writes.len() == 2 + 3, "{}", lines(&writes));
    let after = copies(&fixture).await?;
    for (at, copy) in &before {
        let now = after.get(at).with_context(|| format!("{at} is gone"))?;
        ensure!(!asks_for_deletion(now), "{now:?}");
        ensure!(state(now) == state(copy), "{at}: {now:?}\nwas {copy:?}");
    }
    for (name, left) in [("made", vec![HELD]), ("retained", vec![]), ("adopted", vec![])] {
        ensure!(finalizers(&fixture, name).await? == left, "{name}");
    }

    let mark = world.audit().mark().await?;
    let again = uninstall(&world, &["--yes"]).await?;
    ensure!(again.code == 0 && again.stdout.contains("nothing left to undo"), "{again:?}");
    let events = world.audit().since(mark).await?;
    ensure!(writes_by_person(&events).is_empty(), "{}", lines(&writes_by_person(&events)));

    fixture.delete_sync("central", "retained").await?;
    fixture.wait_no_sync("central", "retained", SOON).await?;
    let mark = world.audit().mark().await?;
    world.add_replicas(1).await?;
    until("the operator has gone on", SOON, || async {
        let now = copies(&fixture).await?;
        let asking = now.values().filter(|copy| asks_for_deletion(copy)).count();
        let marked = now.values().filter(|copy| {
            let labels = copy.metadata.labels.clone().unwrap_or_default();
            labels.contains_key(names::LABEL_SYNC_UID)
        });
        let marked = marked.count();
        Ok(Seen::from_bool((asking, marked) == (2, 2), || format!("{asking} of {marked}")))
    })
    .await?;
    ensure_marks_written_once(&world.audit().since(mark).await?)?;
    for (at, copy) in &before {
        let now = fixture.config_map(&at.namespace, &at.name).await?.context("it is gone")?;
        ensure!(now.data == copy.data, "{at}: {now:?}");
    }
    Ok(())
}

/// Each copy was written once, and its data not at all.
fn ensure_marks_written_once(events: &[Event]) -> Result<()> {
    let tried = copy_writes(events);
    let written = succeeded_after_retries(&tried, 403)?;
    ensure!(written.len() == 3, "one each, and one released: {}", lines(&tried));
    let no_data = |event: &&Event| {
        let sent = event.request_object.as_ref().map(ToString::to_string).unwrap_or_default();
        event.verb == "patch" && !sent.contains("\"/data\"") && !sent.contains("inaryData")
    };
    ensure!(tried.iter().all(no_data), "{}", lines(&tried));
    Ok(())
}

#[tokio::test]
async fn copies_are_deleted_where_that_is_asked_for_and_others_are_released() -> Result<()> {
    let mut world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    some_of_each(&fixture).await?;
    let mut clone = fixture.config_map("app", "made").await?.context("the copy is there")?;
    clone.metadata.name = Some("clone".to_owned());
    let clone = fixture.clone_config_map(&clone).await?;
    end_operator(&mut world).await?;
    // Kept once, deleted after all.
    ensure!(uninstall(&world, &["--yes"]).await?.code == 0);
    let done = uninstall(&world, &["--yes", "--delete-copies"]).await?;
    ensure!(done.code == 0, "{done:?}");
    ensure!(done.stdout.contains("1 deleted, 2 released"), "{done:?}");
    ensure!(fixture.config_map("app", "made").await?.is_none(), "{done:?}");
    for name in ["retained", "adopted"] {
        let left = fixture.config_map("app", name).await?.context("released, not deleted")?;
        let keys = left.metadata.annotations.unwrap_or_default().into_keys();
        let keys: Vec<_> =
            keys.chain(left.metadata.labels.unwrap_or_default().into_keys()).collect();
        ensure!(!keys.iter().any(|key| key.starts_with(names::PREFIX)), "{name}: {keys:?}");
    }
    let now = fixture.config_map("app", "clone").await?.context("it is nobody's copy")?;
    ensure!(now.metadata == clone.metadata, "{now:?}");
    Ok(())
}

#[tokio::test]
async fn while_somebody_leads_nothing_is_undone() -> Result<()> {
    let mut world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    some_of_each(&fixture).await?;
    let pods = Api::<Pod>::namespaced(fixture.client(), OPERATOR);
    let mark = world.audit().mark().await?;
    let refused = uninstall(&world, &["--yes", "--timeout", "3s"]).await?;
    let told = ["have not terminated", "configmapsync-0", "Nothing is lost", "kubectl"];
    ensure!(refused.code == 1, "{refused:?}");
    ensure!(told.iter().all(|word| refused.stderr.contains(word)), "{refused:?}");
    // As somebody does who wants to look at it: the pod is no longer one of the Deployment's.
    let apart = Patch::Merge(json!({"metadata": {"labels": {"app.kubernetes.io/name": "apart"}}}));
    pods.patch(&world.replica()?.pod().name, &PatchParams::default(), &apart).await?;
    let refused = uninstall(&world, &["--yes"]).await?;
    ensure!(refused.code == 1 && refused.stderr.contains("keeps renewing"), "{refused:?}");
    let events = world.audit().since(mark).await?;
    ensure!(writes_by_person(&events).is_empty(), "{}", lines(&writes_by_person(&events)));
    Ok(())
}

#[tokio::test]
async fn the_deployment_is_scaled_down_and_its_pods_are_waited_for() -> Result<()> {
    let mut world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    some_of_each(&fixture).await?;
    start_deployment(&world, "copier", 3).await?;
    let running = in_background(&world, &["--yes", "--deployment", "copier"]).await?;
    until("the Deployment is scaled to 0", SOON, || async {
        let replicas = uninstall_steps::replicas(&fixture, "copier").await?;
        Ok(Seen::from_bool(replicas == 0, || format!("{replicas} replicas")))
    })
    .await?;
    // It would have been done long since.
    let mark = world.audit().mark().await?;
    testbed::wait::stays("nothing is undone", Duration::from_secs(3), || async {
        let held = finalizers(&fixture, "made").await?;
        Ok(Seen::from_bool(held.contains(&names::FINALIZER.to_owned()), || format!("{held:?}")))
    })
    .await?;
    let events = world.audit().since(mark).await?;
    ensure!(writes_by_person(&events).is_empty() && writes_by_operator(&events).is_empty());
    end_operator(&mut world).await?;
    let done = running.ended().await?;
    ensure!(done.code == 0, "{done:?}");
    let told = ["scaled from 3 to 0", "configmapsync-0", "2 copies kept"];
    ensure!(told.iter().all(|word| done.stdout.contains(word)), "{done:?}");
    Ok(())
}

#[tokio::test]
async fn what_is_refused_keeps_every_finalizer_and_the_next_run_goes_on() -> Result<()> {
    let mut world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    some_of_each(&fixture).await?;
    end_operator(&mut world).await?;
    let deny = DenyPolicy::install(&world.control_plane, "other", "UPDATE").await?;
    restored(&fixture, "other", "central/lost", 1).await?;
    let failed = uninstall(&world, &["--yes"]).await?;
    let told = ["1 ConfigMaps", "other/copy-0", "refused by a policy", "Nothing is lost"];
    ensure!(failed.code == 1, "{failed:?}");
    ensure!(told.iter().all(|word| failed.stderr.contains(word)), "{failed:?}");
    for name in ["made", "retained", "adopted"] {
        let held = finalizers(&fixture, name).await?;
        ensure!(held.contains(&names::FINALIZER.to_owned()), "{name}: {held:?}");
    }
    let made = fixture.config_map("app", "made").await?.context("the copy is there")?;
    ensure!(!asks_for_deletion(&made), "one that is refused does not keep the others");
    deny.remove().await?;
    let done = uninstall(&world, &["--yes"]).await?;
    ensure!(done.code == 0 && done.stdout.contains("1 copies kept"), "{done:?}");
    ensure!(finalizers(&fixture, "made").await? == [HELD]);
    Ok(())
}

#[tokio::test]
async fn however_many_there_are_and_without_the_kind() -> Result<()> {
    let world = OperatorCluster::start(0).await?;
    let fixture = world.fixture();
    let count = quick_or_full(1_100, 10_000);
    fixture.create_namespaces(&["central", "app"]).await?;
    restored(&fixture, "app", "central/lost", count).await?;
    uninstall_steps::held_syncs(&fixture, count).await?;
    let done = uninstall(&world, &["--yes"]).await?;
    let told = format!(
        "{count} copies kept, 0 deleted, 0 released; our finalizer removed from {count} ConfigMapSyncs"
    );
    ensure!(done.code == 0 && done.stdout.contains(&told), "{done:?}");
    ensure!(!copies(&fixture).await?.values().any(asks_for_deletion));
    for name in ["sync-0".to_owned(), format!("sync-{}", count - 1)] {
        ensure!(finalizers(&fixture, &name).await?.is_empty(), "{name}");
    }
    uninstall_steps::delete_kind(&fixture).await?;
    let asks = json!({"metadata": {"annotations": {names::ANNOTATION_DELETION_POLICY: "Delete"}}});
    fixture.patch_config_map("app", "copy-0", &asks).await?;
    let done = uninstall(&world, &["--yes"]).await?;
    ensure!(done.code == 0 && done.stdout.contains("1 copies kept"), "{done:?}");
    Ok(())
}

#[tokio::test]
async fn a_person_is_asked_and_who_cannot_be_asked_is_told() -> Result<()> {
    let world = OperatorCluster::start(0).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["app"]).await?;
    restored(&fixture, "app", "central/lost", 2).await?;
    let kubeconfig = world.control_plane.kubeconfig();
    let mark = world.audit().mark().await?;
    let unasked = uninstall(&world, &[]).await?;
    ensure!(unasked.code == 2 && unasked.stderr.contains("--yes"), "{unasked:?}");
    ensure!(unasked.stdout.contains("2 are kept"), "{unasked:?}");
    let no = configmapsync_with_input(kubeconfig, &["uninstall"], "n").await?;
    ensure!(no.code == 1 && no.stdout.contains("Nothing was done"), "{no:?}");
    let events = world.audit().since(mark).await?;
    ensure!(writes_by_person(&events).is_empty(), "{}", lines(&writes_by_person(&events)));
    let yes = configmapsync_with_input(kubeconfig, &["uninstall"], "y").await?;
    ensure!(yes.code == 0 && yes.stdout.contains("2 copies kept"), "{yes:?}");
    Ok(())
}
