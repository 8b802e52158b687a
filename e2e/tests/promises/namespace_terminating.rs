//! Promise: a namespace that is being deleted is left in peace, and a new one of the same name
//! gets its copy, whatever the old one left behind.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::by_operator;
use harness::audit_queries::copy_writes_in;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::permissions;
use harness::replica::Options;
use serde_json::json;
use testbed::audit::Event;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

use crate::support::conditions::message;
use crate::support::conditions::reason;

/// "Re-created: copy within 10 seconds."
const AGAIN: Duration = Duration::from_secs(10);
/// Long enough for three attempts under a backoff that begins at one second.
const PEACE: Duration = Duration::from_secs(8);
/// More in a minute than anybody may change a copy before that is called a fight.
const QUICKLY: usize = 7;
/// A watch that was cut is tried again under kube's own backoff, of half a minute at most.
const WATCHED_AGAIN: Duration = Duration::from_secs(80);

/// Makes copies of `central/NAME` in `app`, each by a sync of the same name.
async fn copies(fixture: &Fixture, names: &[&str]) -> Result<()> {
    fixture.create_namespaces(&["central", "app"]).await?;
    for name in names {
        fixture.create_config_map("central", name, &[("a", "1")]).await?;
        fixture.create_sync("central", name, one_to_one("central", name, "app")).await?;
    }
    for name in names {
        fixture.wait_reason("central", name, "Synced", SOON).await?;
    }
    Ok(())
}

/// Makes sure that for a while the sync stays as it is.
async fn stays_terminating(fixture: &Fixture, name: &str) -> Result<()> {
    stays(format!("{name} waits for its namespace to go"), PEACE, || async {
        let sync = fixture.sync("central", name).await?.context("the sync is gone")?;
        let waits = reason(&sync) == "NamespaceTerminating";
        Ok(Seen::from_bool(waits, || format!("{:?}", sync.status)))
    })
    .await
}

#[tokio::test]
async fn nothing_is_written_into_it_and_syncs_can_be_deleted() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    copies(&fixture, &["shared", "other"]).await?;

    // With nobody to empty it, the namespace is being deleted for as long as we please.
    world.control_plane.controller_manager().freeze()?;
    fixture.delete_namespace("app").await?;
    for name in ["shared", "other"] {
        fixture.wait_reason("central", name, "NamespaceTerminating", SOON).await?;
    }
    let mark = world.audit().mark().await?;
    fixture.delete_config_map("app", "shared").await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.patch_config_map("central", "other", &json!({"data": {"a": "2"}})).await?;
    fixture.create_config_map("central", "late", &[("a", "1")]).await?;
    fixture.create_sync("central", "late", one_to_one("central", "late", "app")).await?;
    let late = fixture.wait_reason("central", "late", "NamespaceTerminating", SOON).await?;
    ensure!(message(&late).contains("app"), "{}", message(&late));
    stays_terminating(&fixture, "shared").await?;
    let events = world.audit().since(mark).await?;
    let writes = copy_writes_in(&events, "app");
    ensure!(writes.is_empty(), "{}", lines(&writes));

    for name in ["other", "late"] {
        fixture.delete_sync("central", name).await?;
        fixture.wait_no_sync("central", name, SOON).await?;
        ensure!(fixture.config_map("app", name).await?.is_none(), "{name}: the copy goes first");
    }
    world.control_plane.controller_manager().thaw()?;
    fixture.wait_no_namespace("app", SOON).await?;
    fixture.wait_reason("central", "shared", "DestinationNamespaceNotFound", SOON).await?;
    fixture.create_namespaces(&["app"]).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], AGAIN).await?;
    fixture.wait_reason("central", "shared", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn a_refusal_on_its_account_is_no_matter_of_rights_and_is_not_repeated() -> Result<()> {
    let mut world = OperatorCluster::start_with(1, Options::patient()).await?;
    let fixture = world.fixture();
    copies(&fixture, &["shared"]).await?;
    let mark = world.audit().mark().await?;
    permissions::blind(&mut world.control_plane, "namespaces").await?;
    world.control_plane.controller_manager().freeze()?;
    fixture.delete_namespace("app").await?;
    fixture.delete_config_map("app", "shared").await?;
    let sync = fixture.wait_reason("central", "shared", "NamespaceTerminating", SOON).await?;
    let told = message(&sync);
    ensure!(told.contains("app") && !told.contains("grant"), "{told}");
    stays_terminating(&fixture, "shared").await?;
    let events = world.audit().since(mark).await?;
    let writes = copy_writes_in(&events, "app");
    ensure!(writes.len() == 1, "one attempt was refused, and that is it: {}", lines(&writes));
    ensure!(writes[0].response_status.code == 403, "{}", lines(&writes));

    fixture.delete_sync("central", "shared").await?;
    fixture.wait_no_sync("central", "shared", SOON).await?;
    fixture.create_sync("central", "shared", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "shared", "NamespaceTerminating", SOON).await?;
    permissions::permit(&world.control_plane, "namespaces", &["list", "watch"]).await?;
    world.control_plane.controller_manager().thaw()?;
    fixture.wait_no_namespace("app", SOON).await?;
    let gone = "DestinationNamespaceNotFound";
    fixture.wait_reason("central", "shared", gone, WATCHED_AGAIN).await?;
    fixture.create_namespaces(&["app"]).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], AGAIN).await?;
    Ok(())
}

/// Ends the namespace, with or without what we put into it, and creates it again at once.
async fn recreate(fixture: &Fixture, with_copy: bool) -> Result<()> {
    if !with_copy {
        fixture.delete_namespace("app").await?;
        fixture.delete_config_map("app", "shared").await?;
    }
    fixture.end_namespace("app").await?;
    fixture.create_namespaces(&["app"]).await
}

/// Waits for a copy that is another object than `before`.
async fn another_copy(fixture: &Fixture, before: &str) -> Result<String> {
    until("the new namespace has a copy of its own", AGAIN, || async {
        let copy = fixture.config_map("app", "shared").await?;
        let uid = copy.clone().and_then(|copy| copy.metadata.uid).filter(|uid| uid != before);
        Ok(Seen::from_option(uid, || format!("{:?}", copy.map(|copy| copy.metadata))))
    })
    .await
}

fn is_told_as_a_fight(event: &Event) -> bool {
    let sent = event.request_object.as_ref();
    sent.is_some_and(|sent| sent.to_string().contains("Contended"))
}

#[tokio::test]
async fn a_namespace_deleted_and_created_again_gets_its_copy_again() -> Result<()> {
    let mut world = OperatorCluster::start_with(1, Options::patient()).await?;
    let fixture = world.fixture();
    copies(&fixture, &["shared"]).await?;
    world.control_plane.controller_manager().freeze()?;
    let mark = world.audit().mark().await?;
    let mut uid = another_copy(&fixture, "").await?;
    for _ in 0..QUICKLY {
        recreate(&fixture, false).await?;
        uid = another_copy(&fixture, &uid).await?;
    }
    let events = world.audit().since(mark).await?;
    let fights = by_operator(&events).filter(|event| event.is_write() && is_told_as_a_fight(event));
    let fights: Vec<_> = fights.collect();
    ensure!(fights.is_empty(), "nobody fights over the copy: {}", lines(&fights));
    // All of it in one gulp, for one that looked away for a moment, and for one that was down.
    world.replica()?.process().freeze()?;
    recreate(&fixture, false).await?;
    world.replica()?.process().thaw()?;
    uid = another_copy(&fixture, &uid).await?;

    world.replica()?.terminate_and_wait().await?;
    recreate(&fixture, false).await?;
    world.replica()?.restart()?;
    world.replica()?.wait_ready().await?;
    uid = another_copy(&fixture, &uid).await?;
    fixture.wait_reason("central", "shared", "Synced", SOON).await?;

    // What the old one left behind is a copy like any other.
    recreate(&fixture, true).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    let copy = fixture.wait_data("app", "shared", &[("a", "2")], AGAIN).await?;
    ensure!(copy.metadata.uid.as_ref() == Some(&uid), "it is still the same object");
    fixture.wait_reason("central", "shared", "Synced", SOON).await?;
    Ok(())
}
