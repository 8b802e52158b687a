//! Promise: a deleted ConfigMapSync leaves no copy behind, and `Retain` leaves all but our marks.
//! So it is if the operator was down, if others have finalizers too, if the spec was edited on
//! the way out, and if its whole namespace goes. What cannot be told in an Event blocks nothing.

mod on_the_way_out;

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::DeletionPolicy;
use configmapsync::names;
use futures::future::try_join_all;
use harness::audit_queries::writes_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;
use testbed::audit::Event;
use testbed::audit::lines;

/// "Re-added within 5 seconds."
const PUT_BACK: Duration = Duration::from_secs(5);
/// "Within 60 seconds", the time included after which the new process leads.
const AFTER_A_START: Duration = Duration::from_mins(1);
/// So many that some rounds begin before the watch shows what the last ones did.
const MANY: usize = 40;

async fn synced(world: &OperatorCluster, deletion_policy: DeletionPolicy) -> Result<Fixture> {
    let fixture = world.fixture();
    let mut spec = one_to_one("central", "shared", "app");
    spec.deletion_policy = deletion_policy;
    fixture.one_copy_by(spec, &[("a", "1")]).await?;
    Ok(fixture)
}

#[tokio::test]
async fn the_copy_and_the_finalizer_go() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = synced(&world, DeletionPolicy::Delete).await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    ensure!(fixture.config_map("app", "shared").await?.is_none(), "the copy goes first");
    Ok(())
}

#[tokio::test]
async fn deletion_while_the_operator_is_down_is_made_up_for() -> Result<()> {
    let mut world = OperatorCluster::start(1).await?;
    let fixture = synced(&world, DeletionPolicy::Delete).await?;
    world.replica()?.terminate_and_wait().await?;
    fixture.delete_sync("central", "sync").await?;
    let waiting = fixture.sync("central", "sync").await?.context("the finalizer holds it")?;
    let finalizers = waiting.metadata.finalizers.unwrap_or_default();
    ensure!(finalizers == [names::FINALIZER], "{finalizers:?}");
    ensure!(fixture.config_map("app", "shared").await?.is_some(), "nobody is there to delete it");

    let mark = world.audit().mark().await?;
    world.replica()?.restart()?;
    fixture.wait_no_sync("central", "sync", AFTER_A_START).await?;
    ensure!(fixture.config_map("app", "shared").await?.is_none(), "the copy goes first");
    let events = world.audit().since(mark).await?;
    let writes = but_of_status(writes_by_operator(&events));
    let order: Vec<_> = writes.iter().map(|it| (it.verb.as_str(), it.resource())).collect();
    let expected = [("delete", "configmaps"), ("patch", "configmapsyncs")];
    ensure!(order == expected, "{}", lines(&writes));
    Ok(())
}

#[tokio::test]
async fn of_many_that_are_deleted_at_once_each_is_let_go_once() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let names: Vec<_> = (0..MANY).map(|number| format!("sync-{number}")).collect();
    for name in &names {
        let mut spec = one_to_one("central", "shared", "app");
        spec.destination_name = Some(name.clone());
        fixture.create_sync("central", name, spec).await?;
    }
    for name in &names {
        fixture.wait_reason("central", name, "Synced", SOON).await?;
    }
    let mark = world.audit().mark().await?;
    try_join_all(names.iter().map(|name| fixture.delete_sync("central", name))).await?;
    for name in &names {
        fixture.wait_no_sync("central", name, SOON).await?;
    }
    // Rounds that begin before the watch shows the end have nothing left to ask for.
    let events = world.audit().since(mark).await?;
    let mut writes = writes_by_operator(&events);
    ensure!(writes.len() >= 2 * MANY, "{}", lines(&writes));
    writes.retain(|event| !event.succeeded());
    ensure!(writes.is_empty(), "{}", lines(&writes));
    Ok(())
}

#[tokio::test]
async fn retain_keeps_the_data_and_takes_our_marks_off() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = synced(&world, DeletionPolicy::Retain).await?;
    let theirs = json!({"metadata": {"labels": {"team": "a"}}});
    let before = fixture.patch_config_map("app", "shared", &theirs).await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;

    let left = fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    ensure!(left.metadata.uid == before.metadata.uid, "released, not re-created");
    let labels = left.metadata.labels.unwrap_or_default();
    let annotations = left.metadata.annotations.unwrap_or_default();
    ensure!(labels.len() == 1 && labels.contains_key("team"), "{labels:#?}");
    ensure!(annotations.is_empty(), "{annotations:#?}");
    Ok(())
}

#[tokio::test]
async fn a_finalizer_taken_off_a_living_sync_is_put_back() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = synced(&world, DeletionPolicy::Delete).await?;
    let before = fixture.config_map("app", "shared").await?.context("the copy is there")?;
    fixture.patch_sync("central", "sync", &json!({"metadata": {"finalizers": null}})).await?;
    let ours = Some(vec![names::FINALIZER.to_owned()]);
    let what = "the finalizer is back";
    fixture
        .wait_sync("central", "sync", what, PUT_BACK, |sync| sync.metadata.finalizers == ours)
        .await?;
    let after = fixture.config_map("app", "shared").await?.context("the copy is there")?;
    ensure!(after.metadata.resource_version == before.metadata.resource_version, "no data write");
    Ok(())
}

/// Without those of the status: while a deletion is not answered, it says that it is deleting.
fn but_of_status(mut writes: Vec<&Event>) -> Vec<&Event> {
    writes.retain(|write| write.object_ref.subresource.is_empty());
    writes
}

#[tokio::test]
async fn nothing_is_asked_twice() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let names: Vec<_> = (0..30).map(|n| format!("copy-{n}")).collect();
    for name in &names {
        let mut spec = one_to_one("central", "shared", "app");
        spec.destination_name = Some(name.clone());
        fixture.create_sync("central", name, spec).await?;
        fixture.wait_reason("central", name, "Synced", SOON).await?;
    }
    let mark = world.audit().mark().await?;
    for name in &names {
        fixture.delete_sync("central", name).await?;
        fixture.wait_no_sync("central", name, SOON).await?;
    }
    let events = world.audit().since(mark).await?;
    let writes = but_of_status(writes_by_operator(&events));
    let expected = 2 * names.len();
    let all_succeeded = writes.iter().all(|write| write.succeeded());
    let asked = lines(&writes);
    ensure!(writes.len() == expected && all_succeeded, "{} for {expected}\n{asked}", writes.len());
    Ok(())
}
