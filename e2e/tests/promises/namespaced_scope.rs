//! An operator that is limited to some namespaces works there, with permissions in these only: it
//! copies, repairs, cleans up and hands over. It never asks for anything elsewhere, except for the list
//! of namespaces. A ConfigMapSync that names another namespace is invalid.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::requests_by_operator;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::permissions::limit_to;
use harness::replica::Options;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::audit::Event;
use testbed::audit::Mark;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::stays;

use crate::support::conditions::message;
use crate::support::copies::to_selected;
use crate::support::copies::wait_copies_in;
use crate::support::scale::propagation;

const SCOPE: [&str; 3] = ["central", "a", "b"];
const OUTSIDE: &str = "outside";
const UNCHANGED: Duration = Duration::from_secs(2);

/// A cluster whose operator is limited to [`SCOPE`], with a source `shared` in `central` and `outside`.
async fn limited_cluster(replicas: usize) -> Result<(OperatorCluster, Mark)> {
    let arguments = vec!["--namespaces".to_owned(), SCOPE.join(",")];
    let options = Options { arguments, ..Options::default() };
    let mut cluster = OperatorCluster::start_with(0, options).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&SCOPE).await?;
    fixture.create_namespaces(&[OUTSIDE]).await?;
    for namespace in ["central", OUTSIDE] {
        fixture.create_config_map(namespace, "shared", &[("key", "1")]).await?;
    }
    limit_to(&cluster.control_plane, &SCOPE).await?;
    let mark = cluster.audit().mark().await?;
    cluster.add_replicas(replicas).await?;
    cluster.wait_leader().await?;
    Ok((cluster, mark))
}

/// Whether a request needs permissions that the operator must not have.
fn is_outside(event: &Event) -> bool {
    let is_namespaced =
        !["", "namespaces", "customresourcedefinitions"].contains(&event.resource());
    let namespace = event.namespace();
    is_namespaced && namespace != OPERATOR && !SCOPE.contains(&namespace)
}

/// Fails if the operator asked for anything outside the scope, or for anything that was denied by RBAC.
async fn ensure_inside(cluster: &OperatorCluster, since: Mark) -> Result<()> {
    let events = cluster.audit().since(since).await?;
    let is_denied = |event: &Event| event.response_status.code == 403 && !is_by_policy(event);
    let requests = requests_by_operator(&events);
    let found: Vec<_> = requests.filter(|event| is_outside(event) || is_denied(event)).collect();
    ensure!(found.is_empty(), "{}", lines(&found));
    Ok(())
}

/// The probe of the fence is meant to be denied, by a policy.
fn is_by_policy(event: &Event) -> bool {
    event.response_status.message.contains("ValidatingAdmissionPolicy")
}

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
