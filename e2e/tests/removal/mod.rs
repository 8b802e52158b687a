//! The operator goes, by Helm or with its namespace, and comes back.

mod place;
mod policies;

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::uninstall::access_to_delete;
use e2e::audit::Event;
use e2e::audit::granted;
use e2e::audit::lines;
use e2e::audit::succeeded_but_for;
use e2e::audit::used_by;
use e2e::audit::writes_by_operator;
use e2e::cli::configmapsync;
use e2e::control_plane::UNINSTALL_USER;
use e2e::image;
use e2e::wait::Seen;
use e2e::wait::stays;
use e2e::wait::until;
use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::removal::place::Place;

/// What the hook's account is called among rights.
const HOOK: &str = "uninstall";
/// "With 100 ConfigMapSyncs."
const SYNCS: usize = 100;
/// "5 copies kept."
const FEW: usize = 5;
/// "Unblocks all within 60 seconds."
const UNBLOCKED: Duration = Duration::from_mins(1);
/// The grace for copies whose sync nobody has seen alive, with the values of [`Place`].
const GRACE: Duration = Duration::from_secs(5);

/// All of it, on one cluster: bringing one up takes longer than any of this.
pub async fn the_operator_goes_and_comes_back() -> Result<()> {
    let place = Place::prepare().await?;
    place.install(&[]).await?;
    place.create_syncs(SYNCS).await?;
    place.wait_in_order(SYNCS).await?;

    policies::a_second_release_is_refused(&place).await?;
    policies::they_go_and_come_back_with_the_release(&place, SYNCS).await?;
    a_hook_that_fails_removes_nothing(&place).await?;
    uninstalling_keeps_copies(&place).await?;
    reinstalling_writes_no_data(&place).await?;
    uninstalling_deletes_copies_where_that_is_asked_for(&place).await?;
    kept_copies_outlive_syncs_and_kind(&place).await?;
    the_namespace_goes_and_one_command_frees_all(&place).await?;
    the_namespace_goes_and_a_new_installation_frees_all(&place).await
}

/// One copy of many that nobody may write.
async fn a_hook_that_fails_removes_nothing(place: &Place) -> Result<()> {
    let before = place.data().await?;
    place.refuse_updates("copy-7").await?;
    let refused = place.helm.uninstall().await.err().context("a copy could not be written")?;
    let (told, said) = (format!("{refused:#}"), place.log_of_hook().await?);
    for words in ["1 ConfigMaps", "app/copy-7", "refused by a policy", "Nothing is lost"] {
        ensure!(said.contains(words), "the hook said {said}");
        ensure!(told.contains(words), "Helm said {told}");
    }
    ensure!(place.held_syncs().await? == SYNCS, "a finalizer was lifted");
    ensure!(place.data().await? == before, "data has changed");
    ensure!(place.is_installed().await?, "something was removed");
    place.refuse_no_more().await?;
    // As somebody does who changes their mind.
    place.helm.go_back().await?;
    place.wait_ready().await?;
    place.wait_in_order(SYNCS).await
}

async fn uninstalling_keeps_copies(place: &Place) -> Result<()> {
    let before = place.data().await?;
    let mark = place.audit().mark().await?;
    place.helm.uninstall().await?;
    let events = place.audit().since(mark).await?;
    let by_hook = rights_used(&events);
    ensure!(by_hook == rights_of_hook()?, "used: {by_hook:#?}");
    let writes = writes_by_hook(&events);
    ensure!(writes.len() == 2 * SYNCS, "{}", lines(&writes));
    let copies = place.copies().await?;
    let asking = copies.values().filter(|copy| place::asks_for_deletion(copy)).count();
    ensure!(asking == 0, "{asking} copies ask for their deletion");
    ensure!(place.data().await? == before, "data has changed");
    ensure!(place.held_syncs().await? == 0, "a ConfigMapSync waits for an operator");
    place.nothing_remains().await
}

async fn reinstalling_writes_no_data(place: &Place) -> Result<()> {
    let before = place.data().await?;
    let mark = place.audit().mark().await?;
    place.install(&[]).await?;
    place.wait_in_order(SYNCS).await?;
    let events = place.audit().since(mark).await?;
    let writes = writes_by_operator(&events);
    let of_copies: Vec<_> =
        writes.iter().copied().filter(|event| event.resource() == "configmaps").collect();
    let written = succeeded_but_for(&of_copies, 403)?;
    ensure!(written.len() == SYNCS, "one mark each: {}", lines(&of_copies));
    for event in of_copies {
        let sent = event.request_object.clone().unwrap_or_default().to_string();
        let of_marks = !sent.contains("/data") && !sent.contains("/binaryData");
        ensure!(event.verb == "patch" && of_marks, "{event}: {sent}");
    }
    ensure!(place.data().await? == before, "data has changed");
    Ok(())
}

async fn uninstalling_deletes_copies_where_that_is_asked_for(place: &Place) -> Result<()> {
    place.install(&[("uninstall.deleteCopies", "true")]).await?;
    let mark = place.audit().mark().await?;
    place.helm.uninstall().await?;
    let events = place.audit().since(mark).await?;
    let by_hook = rights_used(&events);
    let needed: BTreeSet<_> = granted(HOOK, &access_to_delete()).collect();
    ensure!(by_hook.is_superset(&needed), "used: {by_hook:#?}");
    let left = place.copies().await?;
    ensure!(left.is_empty(), "left: {:?}", left.keys());
    ensure!(place.held_syncs().await? == 0, "a ConfigMapSync waits for an operator");
    place.nothing_remains().await
}

async fn kept_copies_outlive_syncs_and_kind(place: &Place) -> Result<()> {
    place.delete_syncs(FEW..SYNCS).await?;
    place.install(&[]).await?;
    place.wait_in_order(FEW).await?;
    place.helm.uninstall().await?;
    place.delete_syncs(0..FEW).await?;
    place.delete_kind().await?;
    let before = place.data().await?;
    ensure!(before.len() == FEW, "{before:?}");
    place.install(&[]).await?;
    until("all copies are released", UNBLOCKED, || async {
        let marked = place.copies().await?.values().filter(|copy| place::is_marked(copy)).count();
        Ok(Seen::from_bool(marked == 0, || format!("{marked} are not")))
    })
    .await?;
    stays("they are there", 2 * GRACE, || async {
        let now = place.data().await?;
        Ok(Seen::from_bool(now == before, || format!("{now:?}")))
    })
    .await?;
    place.delete_copies().await
}

/// Syncs whose operator goes with its namespace, one of them about to be deleted.
async fn leave_behind(place: &Place) -> Result<()> {
    place.create_syncs(FEW).await?;
    place.wait_in_order(FEW).await?;
    let before = place.data().await?;
    place.delete_namespace().await?;
    place.ask_for_deletion(0).await?;
    ensure!(place.held_syncs().await? == FEW, "somebody has lifted a finalizer");
    ensure!(place.data().await? == before, "data has changed");
    Ok(())
}

async fn the_namespace_goes_and_one_command_frees_all(place: &Place) -> Result<()> {
    leave_behind(place).await?;
    let before = place.data().await?;
    let freed = configmapsync(place.kubeconfig(), &["uninstall", "--yes"]).await?;
    ensure!(freed.code == 0, "{freed:?}");
    place.wait_gone(0, UNBLOCKED).await?;
    ensure!(place.held_syncs().await? == 0, "{freed:?}");
    ensure!(place.data().await? == before, "data has changed");
    place.delete_syncs(1..FEW).await?;
    place.delete_copies().await?;
    place.install(&[]).await
}

async fn the_namespace_goes_and_a_new_installation_frees_all(place: &Place) -> Result<()> {
    leave_behind(place).await?;
    place.install(&[]).await?;
    place.wait_gone(0, UNBLOCKED).await?;
    place.wait_in_order(FEW - 1).await
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
        let path = image::repository().join("chart/files/uninstall").join(file);
        let text = fs::read_to_string(path).with_context(|| file.to_owned())?;
        let rules: Vec<PolicyRule> =
            serde_saphyr::from_str(&text).with_context(|| file.to_owned())?;
        rights.extend(granted(HOOK, &rules));
    }
    Ok(rights)
}
