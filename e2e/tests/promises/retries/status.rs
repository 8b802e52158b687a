//! A status that cannot be patched has a backoff of its own, and delays no copy.

use std::time::Duration;

use anyhow::Result;
use configmapsync::api::ConfigMapSyncSpec;
use configmapsync::names;
use harness::audit_queries::requests_by_operator;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::permissions;
use http::Method;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

use crate::retries::support::wait_requests;

/// A hot loop sends far more requests than backoff does in this time.
const OBSERVED: Duration = Duration::from_secs(15);
/// Attempts within [`OBSERVED`], after delays of 1, 2, 4 and 8 s less jitter.
const ATTEMPTS: usize = 5;

/// Patches that are refused before the source is edited: the next one waits for 13 s at least.
const REFUSALS: usize = 5;
/// A copy follows within this time, while the status waits for longer.
const FOLLOWED: Duration = Duration::from_secs(5);

/// Many writes: before them, the status reports Progressing.
const FAN_OUT: usize = 60;

fn is_status_patch(request: &Request) -> bool {
    request.method == Method::PATCH && request.path.ends_with("/status")
}

#[tokio::test]
async fn a_lost_response_and_a_failing_status_back_off() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    proxy.add(Rule::new(Fault::LoseResponse).method(Method::POST).path_contains("/app/configmaps"));
    let failure = Fault::Respond(CannedResponse::failure(500));
    proxy.add(Rule::new(failure).when(is_status_patch).always());
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], SOON).await?;
    wait_requests(&proxy, "patch the status", 1, SOON, is_status_patch).await?;
    stays("the status is patched with backoff", OBSERVED, || async {
        let sent = proxy.requests().iter().filter(|request| is_status_patch(request)).count();
        Ok(Seen::from_bool(sent <= ATTEMPTS, || format!("{sent} patches")))
    })
    .await?;
    proxy.clear();
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn copies_follow_without_permission_to_patch_a_status() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "0")]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    permissions::revoke(&cluster.control_plane, "configmapsyncs/status", &["patch"]).await?;
    let mark = cluster.audit().mark().await?;
    fixture.patch_sync("central", "sync", &json!({"spec": {"keys": ["a"]}})).await?;
    until(format!("{REFUSALS} patches of the status were refused"), SOON, || async {
        let events = cluster.audit().since(mark).await?;
        let refused = requests_by_operator(&events).filter(|it| it.response_status.code == 403);
        let refused = refused.count();
        Ok(Seen::from_bool(refused >= REFUSALS, || format!("{refused} refusals")))
    })
    .await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "1"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], FOLLOWED).await?;
    fixture.patch_config_map("app", "shared", &json!({"data": {"a": "edited"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "1")], FOLLOWED).await?;
    permissions::restore(&cluster.control_plane, "configmapsyncs/status", &["patch"]).await
}

#[tokio::test]
async fn a_rejected_status_delays_no_fan_out() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    for number in 0..FAN_OUT {
        fixture.create_labelled_namespace(&format!("team-{number}"), &[("team", "a")]).await?;
    }
    let selector = serde_json::from_value(json!({"matchLabels": {"team": "a"}}))?;
    let spec = ConfigMapSyncSpec {
        destination_namespace: None,
        destination_namespace_selector: Some(selector),
        ..one_to_one("central", "shared", "")
    };
    let copies = Api::<ConfigMap>::all(fixture.client());
    let labelled = ListParams::default().labels(names::LABEL_SYNC_UID);
    for code in [403, 404, 409] {
        let name = format!("rejected-{code}");
        let rejected = Fault::Respond(CannedResponse::failure(code));
        let path = format!("/configmapsyncs/{name}/status");
        proxy.add(Rule::new(rejected).path_contains(&path).always());
        let spec = ConfigMapSyncSpec { destination_name: Some(name.clone()), ..spec.clone() };
        fixture.create_sync("central", &name, spec).await?;
        until(format!("{FAN_OUT} copies are named {name}"), SOON, || async {
            let found = copies.list_metadata(&labelled).await?.items;
            let found = found.iter().filter(|it| it.metadata.name.as_ref() == Some(&name)).count();
            Ok(Seen::from_bool(found == FAN_OUT, || format!("{found} copies")))
        })
        .await?;
    }
    Ok(())
}
