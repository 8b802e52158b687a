//! How many reviews the operator asks for.

use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncSpec;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;
use testbed::audit::lines;

use crate::service_account::support::ACCOUNT;
use crate::service_account::support::WRITES;
use crate::service_account::support::by_account;
use crate::service_account::support::permit;
use crate::service_account::support::reviews;
use crate::support::conditions::message;
use crate::support::copies::to_selected;
use crate::support::copies::wait_copies_in;
use crate::support::copies::with_labels;
use crate::support::scale::quick_or_full;

fn selecting(selector: LabelSelector) -> ConfigMapSyncSpec {
    let service_account_name = Some(ACCOUNT.to_owned());
    ConfigMapSyncSpec { service_account_name, ..to_selected(selector) }
}

#[tokio::test]
async fn a_copy_in_order_needs_no_review() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "tenant"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    permit(&cluster.control_plane, "tenant", Some("central"), &["get"]).await?;
    permit(&cluster.control_plane, "tenant", Some("tenant"), WRITES).await?;
    let mark = cluster.audit().mark().await?;
    fixture.create_sync("tenant", "sync", by_account("central", "shared", "tenant")).await?;
    fixture.wait_reason("tenant", "sync", "Synced", SOON).await?;
    let events = cluster.audit().since(mark).await?;
    ensure!(reviews(&events).len() == 4, "{}", lines(&reviews(&events)));

    // A new leader reconciles every ConfigMapSync, and a change of metadata requests a reconcile.
    let mark = cluster.audit().mark().await?;
    let replica = cluster.replica()?;
    replica.restart()?;
    replica.wait_ready().await?;
    fixture.create_config_map("central", "later", &[("a", "1")]).await?;
    let label = json!({"metadata": {"labels": {"a": "b"}}});
    fixture.patch_sync("tenant", "sync", &label).await?;
    let later = harness::fixture::one_to_one("central", "later", "tenant");
    fixture.create_sync("tenant", "without-account", later).await?;
    fixture.wait_reason("tenant", "without-account", "Synced", SOON).await?;
    let events = cluster.audit().since(mark).await?;
    ensure!(reviews(&events).is_empty(), "{}", lines(&reviews(&events)));

    let mark = cluster.audit().mark().await?;
    for number in ["2", "3", "4"] {
        let edit = json!({"data": {"a": number}});
        fixture.patch_config_map("central", "shared", &edit).await?;
        fixture.wait_data("tenant", "shared", &[("a", number)], SOON).await?;
    }
    let events = cluster.audit().since(mark).await?;
    ensure!(reviews(&events).len() == 3, "{}", lines(&reviews(&events)));
    Ok(())
}

#[tokio::test]
async fn four_reviews_permit_a_fan_out() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let (fixture, count) = (cluster.fixture(), quick_or_full(50, 1_000));
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let names: Vec<_> = (0..count).map(|number| format!("app-{number}")).collect();
    for name in &names {
        fixture.create_labelled_namespace(name, &[("team", "a")]).await?;
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    permit(&cluster.control_plane, "central", None, &["get", "create", "update", "delete"]).await?;
    let mark = cluster.audit().mark().await?;
    fixture.create_sync("central", "all", selecting(with_labels(&[("team", "a")]))).await?;
    wait_copies_in(&fixture, "all", &names, SOON * 2).await?;
    fixture.wait_reason("central", "all", "Synced", SOON).await?;
    let events = cluster.audit().since(mark).await?;
    ensure!(reviews(&events).len() == 4, "{}", lines(&reviews(&events)));
    Ok(())
}

#[tokio::test]
async fn a_denied_namespace_does_not_stop_the_others() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let (fixture, control_plane) = (cluster.fixture(), &cluster.control_plane);
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    permit(control_plane, "central", Some("central"), &["get"]).await?;
    for name in ["app-1", "app-2", "app-3"] {
        fixture.create_labelled_namespace(name, &[("team", "a")]).await?;
    }
    for name in ["app-1", "app-3"] {
        permit(control_plane, "central", Some(name), WRITES).await?;
    }
    let mark = cluster.audit().mark().await?;
    fixture.create_sync("central", "all", selecting(with_labels(&[("team", "a")]))).await?;
    for name in ["app-1", "app-3"] {
        fixture.wait_data(name, "shared", &[("a", "1")], SOON).await?;
    }
    let sync = fixture.wait_reason("central", "all", "NotPermitted", SOON).await?;
    let denied = "not allowed to create, update and delete ConfigMap shared in namespace app-2";
    ensure!(message(&sync).contains(denied), "{}", message(&sync));
    let copies = sync.status.and_then(|status| status.copies).unwrap_or_default();
    ensure!((copies.desired, copies.ready, copies.failed) == (3, 2, 1), "{copies:?}");
    ensure!(fixture.config_map("app-2", "shared").await?.is_none());
    // The source; all namespaces; three namespaces. The denials are asked for again after ten seconds.
    let events = cluster.audit().since(mark).await?;
    ensure!(reviews(&events).len() >= 1 + 3 + 9, "{}", lines(&reviews(&events)));
    permit(control_plane, "central", Some("app-2"), WRITES).await?;
    fixture.wait_data("app-2", "shared", &[("a", "1")], SOON * 2).await?;
    fixture.wait_reason("central", "all", "Synced", SOON).await?;
    Ok(())
}
