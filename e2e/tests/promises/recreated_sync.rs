//! Promise: whatever was sent for a ConfigMapSync that is gone, and arrives late, does nothing to
//! one of the same name that was created since. It keeps its finalizer and its copy.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::names;
use harness::audit_queries::writes_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use http::Request;
use kube::Client;
use serde_json::Value;
use serde_json::json;
use testbed::audit::Event;
use testbed::kubeconfig;

/// Sends a request once more, as it was; the answer's status.
async fn send_again(client: &Client, event: &Event) -> Result<u16> {
    let (method, kind) = match event.verb.as_str() {
        "create" => ("POST", "application/json"),
        "delete" => ("DELETE", "application/json"),
        _ => ("PATCH", "application/json-patch+json"),
    };
    let body = event.request_object.as_ref().context("a request without a body")?;
    let request = Request::builder()
        .method(method)
        .uri(&event.request_uri)
        .header("Content-Type", kind)
        .body(serde_json::to_vec(body)?)?;
    match client.request::<Value>(request).await {
        Ok(_) => Ok(200),
        Err(kube::Error::Api(status)) => Ok(status.code),
        Err(error) => Err(error).with_context(|| format!("sending {event} again")),
    }
}

/// The sync and its copy, as they are.
async fn both(fixture: &Fixture) -> Result<Value> {
    let sync = fixture.sync("central", "sync").await?.context("no sync")?;
    let copy = fixture.config_map("app", "shared").await?.context("no copy")?;
    let ours = sync.metadata.finalizers.iter().flatten().any(|it| it == names::FINALIZER);
    ensure!(ours, "the finalizer is gone: {:?}", sync.metadata);
    Ok(json!([sync, copy]))
}

/// All writes of the operator, sent again by the account of its pod, are refused.
async fn all_are_refused(world: &OperatorCluster, old: &[Event], wanted: &[&str]) -> Result<()> {
    let fixture = world.fixture();
    let client = kubeconfig::client(&world.replicas[0].pod().kubeconfig).await?;
    let before = both(&fixture).await?;
    let mut sent = Vec::new();
    for event in writes_by_operator(old) {
        ensure!(event.succeeded(), "{event}");
        let code = send_again(&client, event).await?;
        ensure!([409, 422].contains(&code), "answered {code}: {event}: {:?}", event.request_object);
        sent.push(format!("{} {}", event.verb, event.resource()));
    }
    for kind in wanted {
        ensure!(sent.iter().any(|it| it == kind), "no {kind} among {sent:?}");
    }
    ensure!(both(&fixture).await? == before, "something has changed");
    Ok(())
}

#[tokio::test]
async fn delayed_requests_of_the_old_one_are_refused() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    let mark = world.audit().mark().await?;
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let edit = json!({"data": {"a": "2"}});
    let source = fixture.patch_config_map("central", "shared", &edit).await?;
    fixture.wait_source_version("central", "sync", &source, SOON).await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    let old = world.audit().since(mark).await?;

    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let wanted =
        ["create configmaps", "patch configmaps", "delete configmaps", "patch configmapsyncs"];
    all_are_refused(&world, &old, &wanted).await
}

#[tokio::test]
async fn delayed_requests_are_refused_too_if_the_new_one_took_the_old_copy_over() -> Result<()> {
    let mut world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    let mark = world.audit().mark().await?;
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let edit = json!({"data": {"a": "2"}});
    let source = fixture.patch_config_map("central", "shared", &edit).await?;
    let left = fixture.wait_data("app", "shared", &[("a", "2")], SOON).await?;
    fixture.wait_source_version("central", "sync", &source, SOON).await?;
    let old = world.audit().since(mark).await?;
    world.replica()?.terminate_and_wait().await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.patch_sync("central", "sync", &json!({"metadata": {"finalizers": null}})).await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    world.replica()?.restart()?;
    let sync = fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let copy = fixture.wait_data("app", "shared", &[("a", "2")], SOON).await?;
    ensure!(copy.metadata.uid == left.metadata.uid, "taken over, not created again");
    let labels = copy.metadata.labels.unwrap_or_default();
    ensure!(labels.get(names::LABEL_SYNC_UID) == sync.metadata.uid.as_ref(), "{labels:#?}");

    // The deletion that the old one's end would have been.
    let client = kubeconfig::client(&world.replicas[0].pod().kubeconfig).await?;
    let version = &left.metadata;
    let delete = json!({
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "preconditions": {"uid": version.uid, "resourceVersion": version.resource_version},
    });
    let request = Request::delete("/api/v1/namespaces/app/configmaps/shared")
        .header("Content-Type", "application/json")
        .body(serde_json::to_vec(&delete)?)?;
    let answer = client.request::<Value>(request).await;
    let refused = matches!(&answer, Err(kube::Error::Api(status)) if status.code == 409);
    ensure!(refused, "{answer:?}");
    let wanted = ["create configmaps", "patch configmaps", "patch configmapsyncs"];
    all_are_refused(&world, &old, &wanted).await
}
