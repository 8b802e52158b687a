//! A request that was sent for a deleted ConfigMapSync, and arrives late, has no effect on a new
//! one of the same name: it keeps its finalizer and its copy.

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

/// Sends a recorded request again, and returns the status of the response.
async fn send_again(client: &Client, event: &Event) -> Result<u16> {
    let (method, kind) = match event.verb.as_str() {
        "create" => ("POST", "application/json"),
        "delete" => ("DELETE", "application/json"),
        _ => ("PATCH", "application/json-patch+json"),
    };
    let body = event.request_object.as_ref().context("the request has no body")?;
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

/// The ConfigMapSync and its copy. Fails if one is missing, or the finalizer.
async fn sync_and_copy(fixture: &Fixture) -> Result<Value> {
    let sync = fixture.sync("central", "sync").await?.context("the ConfigMapSync is gone")?;
    let copy = fixture.config_map("app", "shared").await?.context("the copy is gone")?;
    let is_held = sync.metadata.finalizers.iter().flatten().any(|it| it == names::FINALIZER);
    ensure!(is_held, "the finalizer is gone: {:?}", sync.metadata);
    Ok(json!([sync, copy]))
}

/// Sends the operator's writes among `old` again with the token of its pod. Fails unless all are
/// refused, nothing has changed, and each of `required` ("create configmaps") was among them.
async fn ensure_refused_again(
    cluster: &OperatorCluster,
    old: &[Event],
    required: &[&str],
) -> Result<()> {
    let fixture = cluster.fixture();
    let client = kubeconfig::client(&cluster.replicas[0].pod().kubeconfig).await?;
    let before = sync_and_copy(&fixture).await?;
    let mut sent = Vec::new();
    for event in writes_by_operator(old) {
        ensure!(event.succeeded(), "{event}");
        let code = send_again(&client, event).await?;
        ensure!(
            [409, 422].contains(&code),
            "responded with {code}: {event}: {:?}",
            event.request_object
        );
        sent.push(format!("{} {}", event.verb, event.resource()));
    }
    for kind in required {
        ensure!(sent.iter().any(|it| it == kind), "no {kind} among {sent:?}");
    }
    ensure!(
        sync_and_copy(&fixture).await? == before,
        "a delayed request has changed the ConfigMapSync or its copy"
    );
    Ok(())
}

#[tokio::test]
async fn delayed_requests_for_a_deleted_sync_are_refused() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    let mark = cluster.audit().mark().await?;
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let edit = json!({"data": {"a": "2"}});
    let source = fixture.patch_config_map("central", "shared", &edit).await?;
    fixture.wait_source_version("central", "sync", &source, SOON).await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    let old = cluster.audit().since(mark).await?;

    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let required =
        ["create configmaps", "patch configmaps", "delete configmaps", "patch configmapsyncs"];
    ensure_refused_again(&cluster, &old, &required).await
}

#[tokio::test]
async fn delayed_requests_are_refused_after_a_takeover() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    let mark = cluster.audit().mark().await?;
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let edit = json!({"data": {"a": "2"}});
    let source = fixture.patch_config_map("central", "shared", &edit).await?;
    let left = fixture.wait_data("app", "shared", &[("a", "2")], SOON).await?;
    fixture.wait_source_version("central", "sync", &source, SOON).await?;
    let old = cluster.audit().since(mark).await?;
    cluster.replica()?.terminate_and_wait().await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.patch_sync("central", "sync", &json!({"metadata": {"finalizers": null}})).await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    cluster.replica()?.restart()?;
    let sync = fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let copy = fixture.wait_data("app", "shared", &[("a", "2")], SOON).await?;
    ensure!(copy.metadata.uid == left.metadata.uid, "the copy was recreated instead of taken over");
    let labels = copy.metadata.labels.unwrap_or_default();
    ensure!(labels.get(names::LABEL_SYNC_UID) == sync.metadata.uid.as_ref(), "{labels:#?}");

    // The deletion that the operator would have sent for the old ConfigMapSync.
    let client = kubeconfig::client(&cluster.replicas[0].pod().kubeconfig).await?;
    let version = &left.metadata;
    let delete = json!({
        "kind": "DeleteOptions",
        "apiVersion": "v1",
        "preconditions": {"uid": version.uid, "resourceVersion": version.resource_version},
    });
    let request = Request::delete("/api/v1/namespaces/app/configmaps/shared")
        .header("Content-Type", "application/json")
        .body(serde_json::to_vec(&delete)?)?;
    let response = client.request::<Value>(request).await;
    let refused = matches!(&response, Err(kube::Error::Api(status)) if status.code == 409);
    ensure!(refused, "the delayed deletion was not refused with 409: {response:?}");
    let required = ["create configmaps", "patch configmaps", "patch configmapsyncs"];
    ensure_refused_again(&cluster, &old, &required).await
}
