//! The operator goes, by Helm or with its namespace, and comes back.

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

/// What the hook's account is called among rights.
const HOOK: &str = "uninstall";
/// "With 100 ConfigMapSyncs."
const SYNCS: usize = 100;
/// "5 copies kept."
const FEW: usize = 5;
/// "Unblocks all within 60 seconds."
const UNBLOCKED: Duration = Duration::from_mins(1);
/// The grace for copies whose sync nobody has seen alive, with the values of [`HelmCluster`].
const GRACE: Duration = Duration::from_secs(5);

/// All of it, on one cluster: bringing one up takes longer than any of this.
pub async fn the_operator_goes_and_comes_back() -> Result<()> {
    let cluster = HelmCluster::prepare().await?;
    cluster.install(&[]).await?;
    cluster.create_syncs(SYNCS).await?;
    cluster.wait_in_order(SYNCS).await?;

    removal_policies::a_second_release_is_refused(&cluster).await?;
    removal_policies::they_go_and_come_back_with_the_release(&cluster, SYNCS).await?;
    a_hook_that_fails_removes_nothing(&cluster).await?;
    uninstalling_keeps_copies(&cluster).await?;
    reinstalling_writes_no_data(&cluster).await?;
    uninstalling_deletes_copies_where_that_is_asked_for(&cluster).await?;
    kept_copies_outlive_syncs_and_kind(&cluster).await?;
    the_namespace_goes_and_one_command_frees_all(&cluster).await?;
    the_namespace_goes_and_a_new_installation_frees_all(&cluster).await
}

/// One copy of many that nobody may write.
async fn a_hook_that_fails_removes_nothing(cluster: &HelmCluster) -> Result<()> {
    let before = cluster.data().await?;
    cluster.refuse_updates("copy-7").await?;
    let refused = cluster.helm.uninstall().await.err().context("a copy could not be written")?;
    let (told, said) = (format!("{refused:#}"), cluster.log_of_hook().await?);
    for words in ["1 ConfigMaps", "app/copy-7", "refused by a policy", "Nothing is lost"] {
        ensure!(said.contains(words), "the hook said {said}");
        ensure!(told.contains(words), "Helm said {told}");
    }
    ensure!(cluster.held_syncs().await? == SYNCS, "a finalizer was lifted");
    ensure!(cluster.data().await? == before, "data has changed");
    ensure!(cluster.is_installed().await?, "something was removed");
    cluster.refuse_no_more().await?;
    // As somebody does who changes their mind.
    cluster.helm.go_back().await?;
    cluster.wait_ready().await?;
    cluster.wait_in_order(SYNCS).await
}

async fn uninstalling_keeps_copies(cluster: &HelmCluster) -> Result<()> {
    let before = cluster.data().await?;
    let mark = cluster.audit().mark().await?;
    cluster.helm.uninstall().await?;
    let events = cluster.audit().since(mark).await?;
    let by_hook = rights_used(&events);
    ensure!(by_hook == rights_of_hook()?, "used: {by_hook:#?}");
    let writes = writes_by_hook(&events);
    ensure!(writes.len() == 2 * SYNCS, "{}", lines(&writes));
    let copies = cluster.copies().await?;
    let asking = copies.values().filter(|copy| helm_cluster::asks_for_deletion(copy)).count();
    ensure!(asking == 0, "{asking} copies ask for their deletion");
    ensure!(cluster.data().await? == before, "data has changed");
    ensure!(cluster.held_syncs().await? == 0, "a ConfigMapSync waits for an operator");
    cluster.nothing_remains().await
}

async fn reinstalling_writes_no_data(cluster: &HelmCluster) -> Result<()> {
    let before = cluster.data().await?;
    let mark = cluster.audit().mark().await?;
    cluster.install(&[]).await?;
    cluster.wait_in_order(SYNCS).await?;
    let events = cluster.audit().since(mark).await?;
    let writes = writes_by_operator(&events);
    let of_copies: Vec<_> =
        writes.iter().copied().filter(|event| event.resource() == "configmaps").collect();
    let written = succeeded_after_retries(&of_copies, 403)?;
    ensure!(written.len() == SYNCS, "one mark each: {}", lines(&of_copies));
    for event in of_copies {
        let sent = event.request_object.clone().unwrap_or_default().to_string();
        let of_marks = !sent.contains("/data") && !sent.contains("/binaryData");
        ensure!(event.verb == "patch" && of_marks, "{event}: {sent}");
    }
    ensure!(cluster.data().await? == before, "data has changed");
    Ok(())
}

async fn uninstalling_deletes_copies_where_that_is_asked_for(cluster: &HelmCluster) -> Result<()> {
    cluster.install(&[("uninstall.deleteCopies", "true")]).await?;
    let mark = cluster.audit().mark().await?;
    cluster.helm.uninstall().await?;
    let events = cluster.audit().since(mark).await?;
    let by_hook = rights_used(&events);
    let needed: BTreeSet<_> = granted(HOOK, &access_to_delete()).collect();
    ensure!(by_hook.is_superset(&needed), "used: {by_hook:#?}");
    let left = cluster.copies().await?;
    ensure!(left.is_empty(), "left: {:?}", left.keys());
    ensure!(cluster.held_syncs().await? == 0, "a ConfigMapSync waits for an operator");
    cluster.nothing_remains().await
}

async fn kept_copies_outlive_syncs_and_kind(cluster: &HelmCluster) -> Result<()> {
    cluster.delete_syncs(FEW..SYNCS).await?;
    cluster.install(&[]).await?;
    cluster.wait_in_order(FEW).await?;
    cluster.helm.uninstall().await?;
    cluster.delete_syncs(0..FEW).await?;
    cluster.delete_kind().await?;
    let before = cluster.data().await?;
    ensure!(before.len() == FEW, "{before:?}");
    cluster.install(&[]).await?;
    until("all copies are released", UNBLOCKED, || async {
        let marked =
            cluster.copies().await?.values().filter(|copy| helm_cluster::is_marked(copy)).count();
        Ok(Seen::from_bool(marked == 0, || format!("{marked} are not")))
    })
    .await?;
    stays("they are there", 2 * GRACE, || async {
        let now = cluster.data().await?;
        Ok(Seen::from_bool(now == before, || format!("{now:?}")))
    })
    .await?;
    cluster.delete_copies().await
}

/// Syncs whose operator goes with its namespace, one of them about to be deleted.
async fn leave_behind(cluster: &HelmCluster) -> Result<()> {
    cluster.create_syncs(FEW).await?;
    cluster.wait_in_order(FEW).await?;
    let before = cluster.data().await?;
    cluster.delete_namespace().await?;
    cluster.ask_for_deletion(0).await?;
    ensure!(cluster.held_syncs().await? == FEW, "somebody has lifted a finalizer");
    ensure!(cluster.data().await? == before, "data has changed");
    Ok(())
}

async fn the_namespace_goes_and_one_command_frees_all(cluster: &HelmCluster) -> Result<()> {
    leave_behind(cluster).await?;
    let before = cluster.data().await?;
    let freed = configmapsync(cluster.kubeconfig(), &["uninstall", "--yes"]).await?;
    ensure!(freed.code == 0, "{freed:?}");
    cluster.wait_gone(0, UNBLOCKED).await?;
    ensure!(cluster.held_syncs().await? == 0, "{freed:?}");
    ensure!(cluster.data().await? == before, "data has changed");
    cluster.delete_syncs(1..FEW).await?;
    cluster.delete_copies().await?;
    cluster.install(&[]).await
}

async fn the_namespace_goes_and_a_new_installation_frees_all(cluster: &HelmCluster) -> Result<()> {
    leave_behind(cluster).await?;
    cluster.install(&[]).await?;
    cluster.wait_gone(0, UNBLOCKED).await?;
    cluster.wait_in_order(FEW - 1).await
}

fn by_hook(events: &[Event]) -> impl Iterator<Item = &Event> {
    events.iter().filter(|event| event.is_final() && event.user.username == UNINSTALL_USER)
}

fn writes_by_hook(events: &[Event]) -> Vec<&Event> {
    let ours = ["configmaps", "configmapsyncs"];
    by_hook(events).filter(|event| event.is_write() && ours.contains(&event.resource())).collect()
}

fn rights_used(events: &[Event]) -> BTreeSet<String> {
    by_hook(events).map(|event| used_by(HOOK, event)).collect()
}

/// The rights that the chart gives its hook to keep copies.
fn rights_of_hook() -> Result<BTreeSet<String>> {
    let mut rights = BTreeSet::new();
    for file in ["cluster-role-rules.yaml", "role-rules.yaml"] {
        let path = repository::root().join("chart/files/uninstall").join(file);
        let text = fs::read_to_string(path).with_context(|| file.to_owned())?;
        let rules: Vec<PolicyRule> =
            serde_saphyr::from_str(&text).with_context(|| file.to_owned())?;
        rights.extend(granted(HOOK, &rules));
    }
    Ok(rights)
}
