//! Removal of the operator, by Helm or with its namespace, and a later installation: data stays,
//! and no ConfigMapSync is blocked by a finalizer.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::uninstall::access_to_delete;
use harness::audit_queries::succeeded_after_retries;
use harness::audit_queries::writes_by_operator;
use harness::cli::configmapsync;
use harness::unauthorized_tenant::UnauthorizedTenant;
use k8s_openapi::api::rbac::v1::PolicyRule;
use testbed::accounts::UNINSTALL_USER;
use testbed::audit::Event;
use testbed::audit::granted;
use testbed::audit::lines;
use testbed::audit::used_by;
use testbed::repository;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

use crate::helm_cluster;
use crate::helm_cluster::HelmCluster;
use crate::removal_policies;
use crate::removal_scope;
use crate::uninstall_faults;

/// The name of the hook's account in the lists of permissions.
const HOOK: &str = "uninstall";
/// ConfigMapSyncs during the installation and removal with Helm.
const SYNCS: usize = 100;
/// ConfigMapSyncs in the later steps.
const FEW: usize = 5;
/// Copies and ConfigMapSyncs are released within this time.
const UNBLOCKED: Duration = Duration::from_mins(1);
/// The grace period of orphans, in the values of [`HelmCluster`].
const GRACE: Duration = Duration::from_secs(5);

/// All steps on one cluster, since its start takes longer than any of them.
pub async fn remove_and_reinstall() -> Result<()> {
    let mut cluster = HelmCluster::start().await?;
    cluster.install(&[]).await?;
    let tenant = UnauthorizedTenant::start(cluster.control_plane()).await?;
    tenant.wait_enforced().await?;
    cluster.create_syncs(SYNCS).await?;
    cluster.wait_synced(SYNCS).await?;

    removal_policies::a_second_release_is_refused(&cluster).await?;
    removal_policies::policies_are_removed_and_restored_with_the_release(&cluster, SYNCS).await?;
    a_failing_hook_does_the_rest_and_lists_what_is_left(&cluster).await?;
    uninstalling_keeps_copies(&cluster).await?;
    reinstalling_writes_no_data(&cluster).await?;
    uninstalling_deletes_copies_on_request(&cluster).await?;
    kept_copies_outlive_syncs_and_crd(&cluster).await?;
    uninstall_unblocks_syncs_after_deletion_of_the_namespace(&cluster).await?;
    reinstalling_unblocks_syncs_after_deletion_of_the_namespace(&cluster).await?;
    uninstall_faults::each_helm_survives_each_fault(&mut cluster, FEW).await?;

    cluster.delete_syncs(1..FEW).await?;
    cluster.delete_copies().await?;
    removal_scope::a_limited_release_needs_no_other_permissions(&cluster).await?;
    println!("{:?}", tenant.finish().await?);
    Ok(())
}

/// A policy denies the write of one copy to every user. The hook may not read the copy, so that it withholds
/// the message of the policy.
async fn a_failing_hook_does_the_rest_and_lists_what_is_left(cluster: &HelmCluster) -> Result<()> {
    let before = cluster.data().await?;
    cluster.deny_updates("copy-7").await?;
    let refused = cluster.helm.uninstall().await.err().context("the hook did not fail")?;
    let (helm_error, hook_log) = (format!("{refused:#}"), cluster.log_of_failed_hook().await?);
    let command = "kubectl --namespace app annotate configmap copy-7";
    let words = ["1 ConfigMaps", "'e2e-deny'", "message withheld", "Nothing is lost", command];
    for words in words {
        ensure!(hook_log.contains(words), "{words:?} is not in the log of the hook: {hook_log}");
        ensure!(helm_error.contains(words), "{words:?} is not in the error of Helm: {helm_error}");
    }
    ensure!(cluster.held_syncs().await? == 0, "a finalizer was not removed: {hook_log}");
    let copies = cluster.copies().await?;
    let deletable: Vec<_> =
        copies.iter().filter(|(_, copy)| helm_cluster::is_deletable(copy)).collect();
    ensure!(deletable.len() == 1 && deletable[0].0 == "copy-7", "{deletable:?}");
    ensure!(cluster.data().await? == before, "data has changed");
    ensure!(cluster.is_installed().await?, "an object of the release was removed");
    cluster.remove_deny_policy().await?;
    // A user who then decides to keep the release rolls back.
    cluster.helm.go_back().await?;
    cluster.wait_ready().await?;
    cluster.wait_synced(SYNCS).await
}

async fn uninstalling_keeps_copies(cluster: &HelmCluster) -> Result<()> {
    let before = cluster.data().await?;
    let mark = cluster.audit().mark().await?;
    cluster.helm.uninstall().await?;
    let events = cluster.audit().since(mark).await?;
    let used = permissions_used(&events);
    ensure!(used == permissions_of_hook()?, "used: {used:#?}");
    let writes = writes_by_hook(&events);
    ensure!(writes.len() == 2 * SYNCS, "{}", lines(&writes));
    let copies = cluster.copies().await?;
    let deletable = copies.values().filter(|copy| helm_cluster::is_deletable(copy)).count();
    ensure!(deletable == 0, "{deletable} copies still have a deletion policy");
    ensure!(cluster.data().await? == before, "data has changed");
    ensure!(cluster.held_syncs().await? == 0, "a ConfigMapSync still has the finalizer");
    cluster.ensure_nothing_remains().await
}

async fn reinstalling_writes_no_data(cluster: &HelmCluster) -> Result<()> {
    let before = cluster.data().await?;
    let mark = cluster.audit().mark().await?;
    cluster.install(&[]).await?;
    cluster.wait_synced(SYNCS).await?;
    let events = cluster.audit().since(mark).await?;
    let writes = writes_by_operator(&events);
    let of_copies: Vec<_> =
        writes.iter().copied().filter(|event| event.resource() == "configmaps").collect();
    let written = succeeded_after_retries(&of_copies, 403)?;
    ensure!(written.len() == SYNCS, "expected one write for each copy: {}", lines(&of_copies));
    for event in of_copies {
        let sent = event.request_object.clone().unwrap_or_default().to_string();
        let has_no_data = !sent.contains("/data") && !sent.contains("/binaryData");
        ensure!(event.verb == "patch" && has_no_data, "{event}: {sent}");
    }
    ensure!(cluster.data().await? == before, "data has changed");
    Ok(())
}

async fn uninstalling_deletes_copies_on_request(cluster: &HelmCluster) -> Result<()> {
    cluster.install(&[("uninstall.deleteCopies", "true")]).await?;
    let mark = cluster.audit().mark().await?;
    cluster.helm.uninstall().await?;
    let events = cluster.audit().since(mark).await?;
    let used = permissions_used(&events);
    let needed: BTreeSet<_> = granted(HOOK, &access_to_delete()).collect();
    ensure!(used.is_superset(&needed), "used: {used:#?}");
    let left = cluster.copies().await?;
    ensure!(left.is_empty(), "left: {:?}", left.keys());
    ensure!(cluster.held_syncs().await? == 0, "a ConfigMapSync still has the finalizer");
    cluster.ensure_nothing_remains().await
}

async fn kept_copies_outlive_syncs_and_crd(cluster: &HelmCluster) -> Result<()> {
    cluster.delete_syncs(FEW..SYNCS).await?;
    cluster.install(&[]).await?;
    cluster.wait_synced(FEW).await?;
    cluster.helm.uninstall().await?;
    cluster.delete_syncs(0..FEW).await?;
    cluster.delete_crd().await?;
    let before = cluster.data().await?;
    ensure!(before.len() == FEW, "{before:?}");
    cluster.install(&[]).await?;
    until("all copies are released", UNBLOCKED, || async {
        let marked =
            cluster.copies().await?.values().filter(|copy| helm_cluster::is_marked(copy)).count();
        Ok(Seen::from_bool(marked == 0, || format!("{marked} have markers")))
    })
    .await?;
    stays("all copies exist, with their data", 2 * GRACE, || async {
        let now = cluster.data().await?;
        Ok(Seen::from_bool(now == before, || format!("{now:?}")))
    })
    .await?;
    cluster.delete_copies().await
}

/// Creates ConfigMapSyncs, deletes the operator's namespace, and then one ConfigMapSync, which its
/// finalizer blocks.
async fn delete_namespace_of_operator(cluster: &HelmCluster) -> Result<()> {
    cluster.create_syncs(FEW).await?;
    cluster.wait_synced(FEW).await?;
    let before = cluster.data().await?;
    cluster.delete_namespace().await?;
    cluster.start_deletion(0).await?;
    ensure!(cluster.held_syncs().await? == FEW, "a finalizer was removed");
    ensure!(cluster.data().await? == before, "data has changed");
    Ok(())
}

async fn uninstall_unblocks_syncs_after_deletion_of_the_namespace(
    cluster: &HelmCluster,
) -> Result<()> {
    delete_namespace_of_operator(cluster).await?;
    let before = cluster.data().await?;
    let done = configmapsync(cluster.kubeconfig(), &["uninstall", "--yes"]).await?;
    ensure!(done.code == 0, "{done:?}");
    cluster.wait_gone(0, UNBLOCKED).await?;
    ensure!(cluster.held_syncs().await? == 0, "{done:?}");
    let bindings = "kubectl get clusterrolebindings --output name";
    let bindings = cluster.shell().await?.run(bindings).await?;
    ensure!(!bindings.contains("/configmapsync"), "permissions are left: {bindings}");
    ensure!(cluster.data().await? == before, "data has changed");
    cluster.delete_syncs(1..FEW).await?;
    cluster.delete_copies().await?;
    cluster.install(&[]).await
}

async fn reinstalling_unblocks_syncs_after_deletion_of_the_namespace(
    cluster: &HelmCluster,
) -> Result<()> {
    delete_namespace_of_operator(cluster).await?;
    cluster.install(&[]).await?;
    cluster.wait_gone(0, UNBLOCKED).await?;
    cluster.wait_synced(FEW - 1).await
}

fn by_hook(events: &[Event]) -> impl Iterator<Item = &Event> {
    events.iter().filter(|event| event.is_final() && event.user.username == UNINSTALL_USER)
}

fn writes_by_hook(events: &[Event]) -> Vec<&Event> {
    let resources = ["configmaps", "configmapsyncs"];
    by_hook(events)
        .filter(|event| event.is_write() && resources.contains(&event.resource()))
        .collect()
}

fn permissions_used(events: &[Event]) -> BTreeSet<String> {
    // Without permission to list RoleBindings, the hook leaves them to Helm.
    let is_left_to_helm =
        |it: &&Event| it.resource() == "rolebindings" && it.response_status.code == 403;
    by_hook(events).filter(|it| !is_left_to_helm(it)).map(|event| used_by(HOOK, event)).collect()
}

/// The permissions that the chart grants to its hook if copies are kept.
fn permissions_of_hook() -> Result<BTreeSet<String>> {
    let mut permissions = BTreeSet::new();
    for file in ["cluster-role-rules.yaml", "role-rules.yaml"] {
        let path = repository::root().join("chart/files/uninstall").join(file);
        let text = fs::read_to_string(path).with_context(|| file.to_owned())?;
        let rules: Vec<PolicyRule> =
            serde_saphyr::from_str(&text).with_context(|| file.to_owned())?;
        permissions.extend(granted(HOOK, &rules));
    }
    Ok(permissions)
}
