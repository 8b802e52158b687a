//! Nothing is written to a terminating namespace. A new namespace of the same name gets its copy,
//! also if the old one kept its copy until the end.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::audit_queries::copy_writes_in;
use harness::audit_queries::requests_by_operator;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::Rule;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::permissions;
use harness::replica::Options;
use http::Method;
use serde_json::json;
use testbed::audit::Event;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

use crate::support::conditions::message;
use crate::support::conditions::reason;

/// A recreated namespace has its copy within 10 seconds.
const RECREATED: Duration = Duration::from_secs(10);
/// Long enough for three attempts under a backoff that starts at one second.
const NO_WRITES: Duration = Duration::from_secs(8);
/// A rejected write is tried again after this time, if no watch reports a change of the namespace.
const RETRIED: Duration = Duration::from_secs(30);
/// More changes of a copy in a minute than the operator repairs before it reports `Contended`.
const RECREATIONS: usize = 7;
/// kube retries a failed watch with its own backoff, of half a minute at most.
const WATCH_RESTORED: Duration = Duration::from_secs(80);

/// Creates copies of `central/NAME` in `app`, each with a ConfigMapSync of the same name.
async fn create_copies(fixture: &Fixture, names: &[&str]) -> Result<()> {
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

/// Fails if the reason changes from `NamespaceTerminating` within [`NO_WRITES`].
async fn stays_terminating(fixture: &Fixture, name: &str) -> Result<()> {
    let what = format!("the ConfigMapSync central/{name} is NamespaceTerminating");
    stays(what, NO_WRITES, || async {
        let sync = fixture.sync("central", name).await?.context("the ConfigMapSync is gone")?;
        let is_terminating = reason(&sync) == "NamespaceTerminating";
        Ok(Seen::from_bool(is_terminating, || format!("{:?}", sync.status)))
    })
    .await
}

#[tokio::test]
async fn a_terminating_namespace_is_not_written_and_blocks_no_sync() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    create_copies(&fixture, &["shared", "other"]).await?;

    // Without the controller that empties it, the namespace keeps terminating.
    cluster.control_plane.controller_manager().freeze()?;
    fixture.delete_namespace("app").await?;
    for name in ["shared", "other"] {
        fixture.wait_reason("central", name, "NamespaceTerminating", SOON).await?;
    }
    let mark = cluster.audit().mark().await?;
    fixture.delete_config_map("app", "shared").await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.patch_config_map("central", "other", &json!({"data": {"a": "2"}})).await?;
    fixture.create_config_map("central", "late", &[("a", "1")]).await?;
    fixture.create_sync("central", "late", one_to_one("central", "late", "app")).await?;
    let late = fixture.wait_reason("central", "late", "NamespaceTerminating", SOON).await?;
    ensure!(message(&late).contains("app"), "{}", message(&late));
    stays_terminating(&fixture, "shared").await?;

    // The copy is deleted with its namespace, so it does not prevent the deletion of its ConfigMapSync.
    for name in ["other", "late"] {
        fixture.delete_sync("central", name).await?;
        fixture.wait_no_sync("central", name, SOON).await?;
    }
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes_in(&events, "app");
    ensure!(writes.is_empty(), "{}", lines(&writes));
    cluster.control_plane.controller_manager().thaw()?;
    fixture.wait_no_namespace("app", SOON).await?;
    fixture.wait_reason("central", "shared", "DestinationNamespaceNotFound", SOON).await?;
    fixture.create_namespaces(&["app"]).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], RECREATED).await?;
    fixture.wait_reason("central", "shared", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn a_refusal_by_a_terminating_namespace_is_retried_rarely() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(1, Options::patient()).await?;
    let fixture = cluster.fixture();
    create_copies(&fixture, &["shared"]).await?;
    let mark = cluster.audit().mark().await?;
    permissions::stop_watch(&mut cluster.control_plane, "namespaces").await?;
    cluster.control_plane.controller_manager().freeze()?;
    fixture.delete_namespace("app").await?;
    let began = Instant::now();
    fixture.delete_config_map("app", "shared").await?;
    let sync = fixture.wait_reason("central", "shared", "NamespaceTerminating", SOON).await?;
    let message = message(&sync);
    ensure!(message.contains("app") && !message.contains("grant"), "{message}");
    stays_terminating(&fixture, "shared").await?;
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes_in(&events, "app");
    let most = 1 + usize::try_from(began.elapsed().as_secs() / RETRIED.as_secs())?;
    ensure!(!writes.is_empty() && writes.len() <= most, "at most {most}: {}", lines(&writes));
    ensure!(writes.iter().all(|it| it.response_status.code == 403), "{}", lines(&writes));

    fixture.delete_sync("central", "shared").await?;
    fixture.wait_no_sync("central", "shared", SOON).await?;
    fixture.create_sync("central", "shared", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "shared", "NamespaceTerminating", SOON).await?;
    permissions::restore(&cluster.control_plane, "namespaces", &["list", "watch"]).await?;
    cluster.control_plane.controller_manager().thaw()?;
    fixture.wait_no_namespace("app", SOON).await?;
    let missing = "DestinationNamespaceNotFound";
    fixture.wait_reason("central", "shared", missing, WATCH_RESTORED).await?;
    fixture.create_namespaces(&["app"]).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], RECREATED).await?;
    Ok(())
}

/// Deletes the namespace and creates it again at once. With `with_copy`, the copy survives, as an
/// object that a namespace controller has missed.
async fn recreate(fixture: &Fixture, with_copy: bool) -> Result<()> {
    if !with_copy {
        fixture.delete_namespace("app").await?;
        fixture.delete_config_map("app", "shared").await?;
    }
    fixture.finalize_namespace("app").await?;
    fixture.create_namespaces(&["app"]).await
}

/// Waits for a copy with another uid than `before`, and returns its uid.
async fn wait_new_copy(fixture: &Fixture, before: &str) -> Result<String> {
    until("the new namespace has a new copy", RECREATED, || async {
        let copy = fixture.config_map("app", "shared").await?;
        let uid = copy.clone().and_then(|copy| copy.metadata.uid).filter(|uid| uid != before);
        Ok(Seen::from_option(uid, || format!("{:?}", copy.map(|copy| copy.metadata))))
    })
    .await
}

fn reports_contended(event: &Event) -> bool {
    let sent = event.request_object.as_ref();
    sent.is_some_and(|sent| sent.to_string().contains("Contended"))
}

#[tokio::test]
async fn a_recreated_namespace_gets_its_copy_again() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(1, Options::patient()).await?;
    let fixture = cluster.fixture();
    create_copies(&fixture, &["shared"]).await?;
    cluster.control_plane.controller_manager().freeze()?;
    let mark = cluster.audit().mark().await?;
    let mut uid = wait_new_copy(&fixture, "").await?;
    for _ in 0..RECREATIONS {
        recreate(&fixture, false).await?;
        uid = wait_new_copy(&fixture, &uid).await?;
    }
    let events = cluster.audit().since(mark).await?;
    let contended =
        requests_by_operator(&events).filter(|event| event.is_write() && reports_contended(event));
    let contended: Vec<_> = contended.collect();
    ensure!(contended.is_empty(), "deletions of a namespace were reported: {}", lines(&contended));
    // A leader that is frozen meanwhile receives all events at once; a stopped one lists the
    // result.
    cluster.replica()?.process().freeze()?;
    recreate(&fixture, false).await?;
    cluster.replica()?.process().thaw()?;
    uid = wait_new_copy(&fixture, &uid).await?;

    cluster.replica()?.terminate_and_wait().await?;
    recreate(&fixture, false).await?;
    cluster.replica()?.restart()?;
    cluster.replica()?.wait_ready().await?;
    uid = wait_new_copy(&fixture, &uid).await?;
    fixture.wait_reason("central", "shared", "Synced", SOON).await?;

    // A copy that survived the old namespace is updated like any copy.
    recreate(&fixture, true).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    let copy = fixture.wait_data("app", "shared", &[("a", "2")], RECREATED).await?;
    ensure!(copy.metadata.uid.as_ref() == Some(&uid), "the copy was recreated instead of updated");
    fixture.wait_reason("central", "shared", "Synced", SOON).await?;
    Ok(())
}

/// The response of an API server that does not know yet that a namespace was created again.
fn late_refusal() -> CannedResponse {
    let message = "configmaps \"shared\" is forbidden: unable to create new content in namespace app \
                   because it is being terminated";
    let cause = json!({
        "reason": "NamespaceTerminating",
        "message": "namespace app is being terminated",
        "field": "metadata.namespace",
    });
    let body = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": "Forbidden",
        "details": {"name": "shared", "kind": "configmaps", "causes": [cause]},
        "code": 403,
    });
    CannedResponse { status: 403, retry_after: None, body: body.to_string() }
}

#[tokio::test]
async fn a_late_refusal_in_an_active_namespace_is_retried() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let refused = Rule::new(Fault::Respond(late_refusal())).method(Method::POST);
    proxy.add(refused.path_contains("/namespaces/app/configmaps"));
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], RETRIED * 2).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}
