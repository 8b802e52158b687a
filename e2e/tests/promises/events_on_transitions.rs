//! An Event is recorded once for each change of the reason, and none for a retry.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::copy_writes_in;
use harness::audit_queries::requests_by_operator;
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

/// With backoff, this many refusals take about seven seconds.
const RETRIES: usize = 4;
const RETRIED: Duration = Duration::from_secs(40);

/// The operator's writes of Events: new ones, and repetitions of a series.
fn event_writes(events: &[Event]) -> Vec<&Event> {
    requests_by_operator(events)
        .filter(|event| event.resource() == "events" && event.is_write())
        .collect()
}

/// The reasons of the recorded Events, in order.
fn reasons(cluster: &OperatorCluster, events: &[Event]) -> Vec<String> {
    let written =
        event_writes(events).into_iter().filter_map(|event| event.response_object.as_ref());
    let mut reasons: Vec<_> =
        written.map(|event| event["reason"].as_str().unwrap_or_default().to_owned()).collect();
    if write_outlived_reconcile(cluster) {
        reasons.dedup();
    }
    reasons
}

/// Fails unless the Events since `mark` have exactly these reasons.
async fn ensure_events(cluster: &OperatorCluster, mark: Mark, wanted: &[&str]) -> Result<()> {
    // The Event is recorded shortly after the status.
    until(format!("there are Events with the reasons {wanted:?}"), SOON, || async {
        let events = cluster.audit().since(mark).await?;
        let enough = reasons(cluster, &events).len() >= wanted.len();
        Ok(Seen::from_bool(enough, || lines(&event_writes(&events))))
    })
    .await?;
    let found = reasons(cluster, &cluster.audit().since(mark).await?);
    ensure!(found == wanted, "Events with {found:?} instead of {wanted:?}");
    Ok(())
}

#[tokio::test]
async fn only_changes_of_the_reason_are_recorded_as_events() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    permissions::revoke(&cluster.control_plane, "configmaps", &["create"]).await?;
    let mark = cluster.audit().mark().await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Forbidden", SOON).await?;
    until(format!("the copy was refused {RETRIES} times"), RETRIED, || async {
        let events = cluster.audit().since(mark).await?;
        let refused = copy_writes_in(&events, "app").len();
        Ok(Seen::from_bool(refused >= RETRIES, || format!("{refused} refusals")))
    })
    .await?;
    ensure_events(&cluster, mark, &["Forbidden"]).await?;
    // A retry does not write the status either.
    let events = cluster.audit().since(mark).await?;
    let mut status = writes_by_operator(&events);
    status.retain(|event| event.object_ref.subresource == "status");
    ensure!(status.len() == 1 || write_outlived_reconcile(&cluster), "{}", lines(&status));

    permissions::restore(&cluster.control_plane, "configmaps", &["create"]).await?;
    fixture.wait_reason("central", "sync", "Synced", RETRIED).await?;
    let mut wanted = vec!["Forbidden", "Synced"];
    ensure_events(&cluster, mark, &wanted).await?;

    fixture.delete_config_map("central", "shared").await?;
    fixture.wait_reason("central", "sync", "SourceNotFound", SOON).await?;
    fixture.create_config_map("central", "shared", &[("a", "2")]).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    for (suspend, reason) in [(true, "Suspended"), (false, "Synced")] {
        fixture.patch_sync("central", "sync", &json!({"spec": {"suspend": suspend}})).await?;
        fixture.wait_reason("central", "sync", reason, SOON).await?;
    }
    wanted.extend(["SourceNotFound", "Synced", "Suspended", "Synced"]);
    ensure_events(&cluster, mark, &wanted).await?;

    // Reconciles that keep the reason: drift, an edit of the source, a deleted copy.
    fixture.patch_config_map("app", "shared", &json!({"data": {"a": "edited"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], SOON).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "3"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "3")], SOON).await?;
    fixture.delete_config_map("app", "shared").await?;
    fixture.wait_data("app", "shared", &[("a", "3")], SOON).await?;
    fixture.patch_sync("central", "sync", &json!({"spec": {"suspend": true}})).await?;
    fixture.wait_reason("central", "sync", "Suspended", SOON).await?;
    wanted.push("Suspended");
    ensure_events(&cluster, mark, &wanted).await
}
