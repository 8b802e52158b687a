//! Slow responses: the backoff of a copy continues over retries in flight, and the status names the
//! write that took effect.

use std::net::TcpListener;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fault_proxy::Fault;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use http::Method;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Api;
use kube::api::ListParams;
use serde_json::Value;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::retries::support::ensure_backoff;
use crate::retries::support::wait_requests;
use crate::support::conditions::reason;

/// How long the API server waits for the webhook.
const TIMEOUT: Duration = Duration::from_secs(4);
/// Enough to distinguish exponential delays from constant ones.
const ATTEMPTS: usize = 5;
/// The delay of each write: more than a reconcile waits for a response.
const DELAY: Duration = Duration::from_secs(2);

/// A mandatory webhook that accepts connections and does not respond, for the namespace `app`.
fn webhook(port: u16) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "slow"},
        "webhooks": [{
            "name": "slow.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "timeoutSeconds": TIMEOUT.as_secs(),
            "failurePolicy": "Fail",
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "app"}},
            "clientConfig": {"url": format!("https://127.0.0.1:{port}/")},
            "rules": [{
                "apiGroups": [""],
                "apiVersions": ["v1"],
                "operations": ["CREATE", "UPDATE"],
                "resources": ["configmaps"],
            }],
        }],
    })
}

fn is_post(request: &Request) -> bool {
    request.method == Method::POST
        && request.resource() == "configmaps"
        && request.namespace() == "app"
}

/// The reasons of the Events about the ConfigMapSyncs in `central`, by time.
async fn event_reasons(fixture: &Fixture) -> Result<Vec<String>> {
    let events = Api::<Event>::namespaced(fixture.client(), "central");
    let mut events = events.list(&ListParams::default()).await?.items;
    events.sort_by_key(|event| event.event_time.as_ref().map(|time| time.0));
    Ok(events.into_iter().filter_map(|event| event.reason).collect())
}

#[tokio::test]
async fn slow_refusals_are_retried_with_backoff() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let silent = TcpListener::bind("127.0.0.1:0")?;
    cluster.control_plane.apply(webhook(silent.local_addr()?.port())).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    let reported = async {
        until("the refusal is reported", SOON, || async {
            let sync = fixture.sync("central", "sync").await?.context("no ConfigMapSync")?;
            let is_failure = !matches!(reason(&sync), "" | "Progressing");
            Ok(Seen::from_bool(is_failure, || reason(&sync).to_owned()))
        })
        .await?;
        // From now on, retries in flight do not change it.
        let version = fixture.sync("central", "sync").await?.map(|sync| sync.metadata);
        anyhow::Ok(version.and_then(|metadata| metadata.resource_version))
    };
    let deadline = SOON * 2;
    let attempts = wait_requests(&proxy, "create the copy", ATTEMPTS, deadline, is_post);
    let (first_reported, attempts) = tokio::try_join!(reported, attempts)?;
    ensure_backoff(&attempts[..ATTEMPTS], TIMEOUT)?;
    let now = fixture.sync("central", "sync").await?.context("no ConfigMapSync")?;
    ensure!(
        now.metadata.resource_version == first_reported,
        "the status has changed to {} during the retries",
        reason(&now)
    );
    let events = event_reasons(&fixture).await?;
    ensure!(events.len() == 1, "expected one Event: {events:?}");
    Ok(())
}

/// Waits until `lastSyncTime` is later than `before`, and returns it.
async fn wait_last_sync_time(fixture: &Fixture, before: Option<&Time>) -> Result<Time> {
    until("lastSyncTime names the last write", SOON, || async {
        let sync = fixture.sync("central", "sync").await?.context("no ConfigMapSync")?;
        let time = sync.status.and_then(|status| status.last_sync_time);
        let found = time.clone().filter(|time| before.is_none_or(|before| before.0 < time.0));
        Ok(Seen::from_option(found, || format!("{time:?}")))
    })
    .await
}

#[tokio::test]
async fn slow_writes_are_reported_once_they_took_effect() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let slow = Rule::new(Fault::Delay(DELAY)).resource("configmaps").always();
    proxy.add(slow.when(|request| request.is_mutating() && request.namespace() == "app"));
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let created = wait_last_sync_time(&fixture, None).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], SOON).await?;
    wait_last_sync_time(&fixture, Some(&created)).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    until("each update causes one Event", SOON, || async {
        let events = event_reasons(&fixture).await?;
        Ok(Seen::from_bool(events == ["Synced", "Synced"], || format!("{events:?}")))
    })
    .await
}
