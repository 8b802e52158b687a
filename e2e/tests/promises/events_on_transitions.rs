//! Promise: an Event tells of a change of the reason, once; a retry tells nothing.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::by_operator;
use harness::audit_queries::copy_writes_in;
use harness::audit_queries::writes_by_operator;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::permissions;
use serde_json::json;
use testbed::audit::Event;
use testbed::audit::Mark;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::audit::write_outlived_reconcile;

/// So many refusals take the backoff some seven seconds.
const RETRIES: usize = 4;
const RETRIED: Duration = Duration::from_secs(40);

/// What the operator sent to tell people something: Events, or news of one that goes on.
fn told(events: &[Event]) -> Vec<&Event> {
    by_operator(events).filter(|event| event.resource() == "events" && event.is_write()).collect()
}

/// The reasons that were told as new, in order.
fn reasons(world: &OperatorCluster, events: &[Event]) -> Vec<String> {
    let told = told(events).into_iter().filter_map(|event| event.response_object.as_ref());
    let mut reasons: Vec<_> =
        told.map(|event| event["reason"].as_str().unwrap_or_default().to_owned()).collect();
    if write_outlived_reconcile(world) {
        reasons.retain(|reason| reason != "Progressing");
        reasons.dedup();
    }
    reasons
}

/// As many Events since `mark` as there were changes of the reason, and no other.
async fn ensure_told(world: &OperatorCluster, mark: Mark, wanted: &[&str]) -> Result<()> {
    // The Event follows the status by a moment.
    until(format!("{wanted:?} were told"), SOON, || async {
        let events = world.audit().since(mark).await?;
        let enough = reasons(world, &events).len() >= wanted.len();
        Ok(Seen::from_bool(enough, || lines(&told(&events))))
    })
    .await?;
    let told = reasons(world, &world.audit().since(mark).await?);
    ensure!(told == wanted, "{told:?}, not {wanted:?}");
    Ok(())
}

#[tokio::test]
async fn each_change_of_the_reason_is_told_once_and_no_retry_is() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    permissions::forbid(&world.control_plane, "configmaps", &["create"]).await?;
    let mark = world.audit().mark().await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Forbidden", SOON).await?;
    until(format!("the copy was refused {RETRIES} times"), RETRIED, || async {
        let events = world.audit().since(mark).await?;
        let refused = copy_writes_in(&events, "app").len();
        Ok(Seen::from_bool(refused >= RETRIES, || format!("{refused} times")))
    })
    .await?;
    ensure_told(&world, mark, &["Forbidden"]).await?;
    // Nor is the status written again for a retry: once, and the finalizer before it.
    let events = world.audit().since(mark).await?;
    let mut status = writes_by_operator(&events);
    status.retain(|event| event.object_ref.subresource == "status");
    ensure!(status.len() == 1 || write_outlived_reconcile(&world), "{}", lines(&status));

    permissions::permit(&world.control_plane, "configmaps", &["create"]).await?;
    fixture.wait_reason("central", "sync", "Synced", RETRIED).await?;
    let mut wanted = vec!["Forbidden", "Synced"];
    ensure_told(&world, mark, &wanted).await?;

    fixture.delete_config_map("central", "shared").await?;
    fixture.wait_reason("central", "sync", "SourceNotFound", SOON).await?;
    fixture.create_config_map("central", "shared", &[("a", "2")]).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    for (suspend, reason) in [(true, "Suspended"), (false, "Synced")] {
        fixture.patch_sync("central", "sync", &json!({"spec": {"suspend": suspend}})).await?;
        fixture.wait_reason("central", "sync", reason, SOON).await?;
    }
    wanted.extend(["SourceNotFound", "Synced", "Suspended", "Synced"]);
    ensure_told(&world, mark, &wanted).await?;

    // Rounds that change nothing of the reason: drift, an edit of the source, a label of it.
    fixture.patch_config_map("app", "shared", &json!({"data": {"a": "edited"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], SOON).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "3"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "3")], SOON).await?;
    fixture.delete_config_map("app", "shared").await?;
    fixture.wait_data("app", "shared", &[("a", "3")], SOON).await?;
    fixture.patch_sync("central", "sync", &json!({"spec": {"suspend": true}})).await?;
    fixture.wait_reason("central", "sync", "Suspended", SOON).await?;
    wanted.push("Suspended");
    ensure_told(&world, mark, &wanted).await
}
