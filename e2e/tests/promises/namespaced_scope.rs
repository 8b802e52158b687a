//! An operator that is limited to some namespaces works there, with permissions in these only: it
//! copies, repairs, cleans up and hands over. It never asks for anything elsewhere, except for the list
//! of namespaces. A ConfigMapSync that names another namespace is invalid.
//!
//! `.ci/run scope` runs the tests of copies, drift, deletion and failover with such an operator, too.

mod commands;
mod consent;
pub mod support;
mod uninstall;

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::permissions::limit_to;
use harness::permissions::revoke_in;
use harness::replica::Replica;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

use crate::namespaced_scope::support::OUTSIDE;
use crate::namespaced_scope::support::ensure_inside;
use crate::namespaced_scope::support::limited;
use crate::namespaced_scope::support::limited_cluster;
use crate::namespaced_scope::support::limited_cluster_with;
use crate::support::conditions::message;
use crate::support::copies::to_selected;
use crate::support::copies::wait_copies_in;
use crate::support::scale::propagation;

const UNCHANGED: Duration = Duration::from_secs(2);

#[tokio::test]
async fn copies_in_the_scope_need_permissions_there_only() -> Result<()> {
    let (cluster, mark) = limited_cluster(1).await?;
    let fixture = cluster.fixture();
    fixture.create_sync("central", "named", one_to_one("central", "shared", "a")).await?;
    fixture.wait_reason("central", "named", "Synced", SOON).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"key": "2"}})).await?;
    fixture.wait_data("a", "shared", &[("key", "2")], propagation()).await?;
    // Drift: edited, then deleted.
    fixture.patch_config_map("a", "shared", &json!({"data": {"key": "edited"}})).await?;
    fixture.wait_data("a", "shared", &[("key", "2")], propagation()).await?;
    fixture.delete_config_map("a", "shared").await?;
    fixture.wait_data("a", "shared", &[("key", "2")], propagation()).await?;
    // A ConfigMapSync in another namespace of the scope, and an orphan.
    fixture.create_sync("b", "other", one_to_one("central", "shared", "b")).await?;
    fixture.wait_data("b", "shared", &[("key", "2")], SOON).await?;
    fixture.delete_sync_without_finalizers("b", "other").await?;
    fixture.wait_no_config_map("b", "shared", 3 * SOON).await?;
    fixture.delete_sync("central", "named").await?;
    fixture.wait_no_sync("central", "named", SOON).await?;
    fixture.wait_no_config_map("a", "shared", SOON).await?;
    ensure_inside(&cluster, mark).await
}

#[tokio::test]
async fn a_selector_selects_within_the_scope() -> Result<()> {
    let (cluster, mark) = limited_cluster(1).await?;
    let fixture = cluster.fixture();
    fixture.create_sync("central", "all", to_selected(LabelSelector::default())).await?;
    wait_copies_in(&fixture, "all", &["a", "b"], SOON).await?;
    fixture.wait_reason("central", "all", "Synced", SOON).await?;
    fixture.label_namespace(OUTSIDE, &json!({"team": "x"})).await?;
    fixture.delete_namespace("b").await?;
    wait_copies_in(&fixture, "all", &["a"], SOON).await?;
    ensure!(
        fixture.config_map(OUTSIDE, "shared").await?.is_some_and(|it| it.metadata.labels.is_none())
    );
    ensure_inside(&cluster, mark).await
}

#[tokio::test]
async fn a_named_namespace_outside_the_scope_is_invalid() -> Result<()> {
    let (cluster, mark) = limited_cluster(1).await?;
    let fixture = cluster.fixture();
    let rows = [
        ("source", one_to_one(OUTSIDE, "shared", "a"), "spec.sourceNamespace"),
        ("destination", one_to_one("central", "shared", OUTSIDE), "spec.destinationNamespace"),
    ];
    for (name, spec, field) in rows {
        fixture.create_sync("central", name, spec).await?;
        let sync = fixture.wait_reason("central", name, "InvalidSpec", SOON).await?;
        let message = message(&sync);
        let says = [field, OUTSIDE, "--namespaces", "scope.namespaces"];
        ensure!(says.iter().all(|it| message.contains(it)), "{message}");
        fixture.delete_sync("central", name).await?;
        fixture.wait_no_sync("central", name, SOON).await?;
    }
    ensure_inside(&cluster, mark).await
}

#[tokio::test]
async fn a_sync_outside_the_scope_is_not_seen() -> Result<()> {
    let (cluster, mark) = limited_cluster(1).await?;
    let fixture = cluster.fixture();
    fixture.create_sync(OUTSIDE, "unseen", one_to_one("central", "shared", "a")).await?;
    fixture.create_sync("central", "seen", one_to_one("central", "shared", "b")).await?;
    fixture.wait_reason("central", "seen", "Synced", SOON).await?;
    stays("the ConfigMapSync outside the scope has no effect", UNCHANGED, || async {
        let sync = fixture.sync(OUTSIDE, "unseen").await?;
        let has_conditions =
            sync.is_none_or(|it| it.status.is_some_and(|status| !status.conditions.is_empty()));
        let copy = fixture.config_map("a", "shared").await?;
        let is_untouched = !has_conditions && copy.is_none();
        Ok(Seen::from_bool(is_untouched, || format!("conditions: {has_conditions}, {copy:?}")))
    })
    .await?;
    ensure_inside(&cluster, mark).await
}

#[tokio::test]
async fn a_failover_needs_permissions_in_the_scope_only() -> Result<()> {
    let (mut cluster, mark) = limited_cluster(2).await?;
    let fixture = cluster.fixture();
    fixture.create_sync("central", "named", one_to_one("central", "shared", "a")).await?;
    fixture.wait_reason("central", "named", "Synced", SOON).await?;
    drop(cluster.take_leader().await?);
    fixture.patch_config_map("central", "shared", &json!({"data": {"key": "2"}})).await?;
    fixture.wait_data("a", "shared", &[("key", "2")], SOON).await?;
    fixture.delete_sync("central", "named").await?;
    fixture.wait_no_sync("central", "named", SOON).await?;
    fixture.wait_no_config_map("a", "shared", SOON).await?;
    ensure_inside(&cluster, mark).await
}

#[tokio::test]
async fn a_namespace_without_permissions_does_not_block_others() -> Result<()> {
    let (mut cluster, _) = limited_cluster_with(1, &["absent"]).await?;
    let fixture = cluster.fixture();
    fixture.create_sync("central", "named", one_to_one("central", "shared", "a")).await?;
    fixture.wait_reason("central", "named", "Synced", SOON).await?;
    // It exists now, and the operator has no permissions there.
    fixture.create_namespaces(&["absent"]).await?;
    let unready = "the operator reports that it may not watch the namespace";
    until(unready, SOON, || async {
        let is_ready = cluster.replicas[0].is_ready().await?;
        Ok(Seen::from_bool(!is_ready, || "it is ready".to_owned()))
    })
    .await?;
    // Nor does a new leader wait for it.
    cluster.replica()?.terminate_and_wait().await?;
    cluster.replicas.clear();
    fixture.patch_config_map("central", "shared", &json!({"data": {"key": "2"}})).await?;
    let options = limited(&["absent"]);
    let replica = Replica::start(&cluster.control_plane, "configmapsync-next", &options).await?;
    cluster.replicas.push(replica);
    fixture.wait_data("a", "shared", &[("key", "2")], SOON).await?;

    limit_to(&cluster.control_plane, &["absent"]).await?;
    fixture.create_sync("absent", "late", one_to_one("central", "shared", "absent")).await?;
    fixture.wait_reason("absent", "late", "Synced", SOON).await?;
    cluster.replicas[0].wait_ready().await
}

#[tokio::test]
async fn a_finalizer_waits_for_a_person_without_the_role() -> Result<()> {
    let (cluster, _) = limited_cluster(1).await?;
    let fixture = cluster.fixture();
    fixture.create_sync("b", "left", one_to_one("central", "shared", "a")).await?;
    fixture.wait_reason("b", "left", "Synced", SOON).await?;
    // As in the deletion of a namespace, which deletes its Roles and its ConfigMapSyncs in any order.
    revoke_in(&cluster.control_plane, "b").await?;
    fixture.delete_namespace("b").await?;
    fixture.wait_no_config_map("a", "shared", SOON).await?;
    let left = fixture.sync("b", "left").await?.context("the ConfigMapSync is gone")?;
    ensure!(left.metadata.deletion_timestamp.is_some(), "{:?}", left.metadata);
    // Others do not wait.
    fixture.create_sync("central", "named", one_to_one("central", "shared", "a")).await?;
    fixture.wait_reason("central", "named", "Synced", SOON).await?;

    let none = json!({"metadata": {"finalizers": null}});
    fixture.patch_sync("b", "left", &none).await?;
    fixture.wait_no_namespace("b", SOON).await
}
