//! The first copy of an edit comes at once: it waits for no report, and its source is read without
//! waiting for another read.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use configmapsync::names;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use http::Method;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::copies::to_selected;
use crate::support::copies::with_labels;

/// The delay of a request: less than the timeout of the operator's client, and far more than any other
/// request takes, so that what waits for it comes after it.
const DELAY: Duration = Duration::from_secs(10);
/// Many writes: the status reports Progressing meanwhile.
const FAN_OUT: usize = 60;
/// As many sources of one namespace as are read at a time, and more.
const SOURCES: usize = 40;
const READ_AT_A_TIME: usize = 32;

fn is_status_patch(request: &Request) -> bool {
    request.method == Method::PATCH && request.path.ends_with("/status")
}

fn is_read_of(request: &Request, namespace: &str) -> bool {
    let (resource, of) = (request.resource(), request.namespace());
    request.method == Method::GET && resource == "configmaps" && of == namespace
}

/// The requests since `before` that are `wanted` and have the delay.
fn delayed(proxy: &FaultProxy, before: usize, wanted: impl Fn(&Request) -> bool) -> Vec<Request> {
    proxy.requests_where(before, |it| it.fault.is_some() && wanted(it))
}

/// Fails unless there are delayed requests, and none has a response yet.
fn ensure_unanswered(requests: &[Request], what: &str) -> Result<()> {
    ensure!(!requests.is_empty(), "no {what} was delayed");
    let answered = requests.iter().filter(|it| it.status.is_some()).count();
    ensure!(answered == 0, "the copies came after {answered} delayed {what}");
    Ok(())
}

/// Waits until [`FAN_OUT`] copies have this value.
async fn wait_fan_out(fixture: &Fixture, value: &str) -> Result<()> {
    let copies = Api::<ConfigMap>::all(fixture.client());
    let labelled = ListParams::default().labels(names::LABEL_SYNC_UID);
    until(format!("{FAN_OUT} copies have the value {value}"), SOON, || async {
        let found = copies.list(&labelled).await?.items;
        let has = |copy: &&ConfigMap| copy.data.as_ref().is_some_and(|data| data["a"] == value);
        let found = found.iter().filter(has).count();
        Ok(Seen::from_bool(found == FAN_OUT, || format!("{found} copies")))
    })
    .await
}

#[tokio::test]
async fn a_slow_report_of_progress_delays_no_copy() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    for number in 0..FAN_OUT {
        fixture.create_labelled_namespace(&format!("team-{number}"), &[("on", "1")]).await?;
    }
    proxy.add(Rule::new(Fault::Delay(DELAY)).when(is_status_patch).always());
    fixture.create_sync("central", "sync", to_selected(with_labels(&[("on", "1")]))).await?;
    wait_fan_out(&fixture, "1").await?;
    ensure_unanswered(&delayed(&proxy, 0, is_status_patch), "reports")?;
    proxy.clear();
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;

    let before = proxy.count();
    proxy.add(Rule::new(Fault::Delay(DELAY)).when(is_status_patch).always());
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    wait_fan_out(&fixture, "2").await?;
    ensure_unanswered(&delayed(&proxy, before, is_status_patch), "reports")?;
    proxy.clear();
    let source =
        fixture.patch_config_map("central", "shared", &json!({"data": {"a": "3"}})).await?;
    fixture.wait_source_version("central", "sync", &source, SOON).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn slow_reads_of_other_sources_delay_no_read() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["busy"]).await?;
    fixture.create_synced_copy(&[("a", "1")]).await?;
    for number in 0..SOURCES {
        let name = format!("source-{number}");
        fixture.create_config_map("busy", &name, &[("a", "1")]).await?;
        fixture.create_sync("busy", &name, one_to_one("busy", &name, "app")).await?;
    }
    for number in 0..SOURCES {
        fixture.wait_reason("busy", &format!("source-{number}"), "Synced", SOON).await?;
    }
    let (before, is_slow) = (proxy.count(), |it: &Request| is_read_of(it, "busy"));
    proxy.add(Rule::new(Fault::Delay(DELAY)).when(is_slow).always());
    for number in 0..SOURCES {
        let edit = json!({"data": {"a": "2"}});
        fixture.patch_config_map("busy", &format!("source-{number}"), &edit).await?;
    }
    until(format!("{READ_AT_A_TIME} reads are delayed"), SOON, || async {
        let count = delayed(&proxy, before, is_slow).len();
        Ok(Seen::from_bool(count >= READ_AT_A_TIME, || format!("{count} reads")))
    })
    .await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], SOON).await?;
    ensure_unanswered(&delayed(&proxy, before, is_slow), "reads")
}

#[tokio::test]
async fn a_slow_read_delays_no_other_sync_of_the_source() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let mut spec = one_to_one("central", "shared", "app");
    spec.destination_name = Some("other".to_owned());
    fixture.create_sync("central", "other", spec).await?;
    fixture.wait_reason("central", "other", "Synced", SOON).await?;

    let (before, is_slow) = (proxy.count(), |it: &Request| is_read_of(it, "central"));
    proxy.add(Rule::new(Fault::Delay(DELAY)).when(is_slow));
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    until("one of the copies has the edit", SOON, || async {
        let mut values = Vec::new();
        for name in ["shared", "other"] {
            let copy = fixture.config_map("app", name).await?;
            values.extend(copy.and_then(|it| it.data?.get("a").cloned()));
        }
        Ok(Seen::from_bool(values.iter().any(|it| it == "2"), || format!("{values:?}")))
    })
    .await?;
    ensure_unanswered(&delayed(&proxy, before, is_slow), "reads")?;
    for name in ["shared", "other"] {
        fixture.wait_data("app", name, &[("a", "2")], SOON).await?;
    }
    let reads = proxy.requests_where(before, is_slow).len();
    ensure!(reads == 2, "the source was read {reads} times");
    Ok(())
}
