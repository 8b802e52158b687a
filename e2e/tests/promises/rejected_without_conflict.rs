//! A write that is rejected as if something had changed, although nothing has, is not sent again at
//! once: it backs off, and the status says why.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Rule;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use http::Method;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::support::conditions::message;

/// The shortest delay between two attempts: one second, less the jitter.
const FIRST_DELAY: Duration = Duration::from_millis(750);
/// The delay has grown to at most 30 seconds when the cause disappears.
const RETRIED: Duration = Duration::from_secs(45);
/// More rejections in a minute than changes by another client before it is reported as `Contended`.
const CYCLES: usize = 12;
/// Attempts to wait for.
const ATTEMPTS: usize = 4;

/// A rejection that names a quota, as the API server sends it while quotas change.
fn rejection(code: u16, reason: &str) -> Fault {
    let message = "Operation cannot be fulfilled on resourcequotas \"team\": the object has been \
                   modified; please apply your changes to the latest version and try again";
    let body = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "details": {"name": "team", "kind": "resourcequotas"},
        "code": code,
    });
    Fault::Respond(CannedResponse { status: code, retry_after: None, body: body.to_string() })
}

/// Rejects all writes of ConfigMaps in `namespace` with this method.
fn reject(proxy: &FaultProxy, method: &Method, namespace: &str, fault: Fault) {
    let namespace = namespace.to_owned();
    let rule = Rule::new(fault).method(method.clone()).resource("configmaps");
    proxy.add(rule.when(move |request| request.namespace() == namespace).always());
}

/// When writes with this method arrived in `namespace`.
fn attempts(proxy: &FaultProxy, method: &Method, namespace: &str) -> Vec<Instant> {
    let requests = proxy.requests().into_iter();
    let of_namespace = |request: &harness::fault_proxy::Request| {
        request.method == *method && request.namespace() == namespace
    };
    requests.filter(of_namespace).map(|request| request.arrived).collect()
}

/// Waits for some attempts. Fails unless each waited for the one before.
async fn wait_attempts(proxy: &FaultProxy, method: &Method, namespace: &str) -> Result<()> {
    until(format!("{method} is attempted {ATTEMPTS} times in {namespace}"), SOON, || async {
        let count = attempts(proxy, method, namespace).len();
        Ok(Seen::from_bool(count >= ATTEMPTS, || count.to_string()))
    })
    .await?;
    let times = attempts(proxy, method, namespace);
    let gaps: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let count = gaps.len() + 1;
    ensure!(
        gaps.iter().all(|gap| *gap >= FIRST_DELAY),
        "{count} times {method} in {namespace}, after {:?}",
        &gaps[..gaps.len().min(10)]
    );
    Ok(())
}

/// Waits until the ConfigMapSync reports the rejection.
async fn wait_reported(fixture: &Fixture, name: &str) -> Result<()> {
    let sync = fixture.wait_reason("central", name, "ApiError", SOON).await?;
    ensure!(message(&sync).contains("resourcequotas \"team\""), "{}", message(&sync));
    Ok(())
}

#[tokio::test]
async fn a_create_rejected_while_nothing_is_there_backs_off() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    let codes = [(409, "Conflict"), (404, "NotFound"), (410, "Gone")];
    fixture.create_namespaces(&["central", "conflict", "notfound", "gone"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    for (code, reason) in codes {
        let name = reason.to_lowercase();
        reject(&proxy, &Method::POST, &name, rejection(code, reason));
        fixture.create_sync("central", &name, one_to_one("central", "shared", &name)).await?;
    }
    for (_, reason) in codes {
        let name = reason.to_lowercase();
        wait_attempts(&proxy, &Method::POST, &name).await?;
        wait_reported(&fixture, &name).await?;
    }
    proxy.clear();
    for (_, reason) in codes {
        fixture.wait_reason("central", &reason.to_lowercase(), "Synced", RETRIED).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_update_rejected_without_a_change_backs_off() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    reject(&proxy, &Method::PATCH, "app", rejection(409, "Conflict"));
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    wait_attempts(&proxy, &Method::PATCH, "app").await?;
    wait_reported(&fixture, "sync").await?;
    proxy.clear();
    fixture.wait_data("app", "shared", &[("a", "2")], RETRIED).await?;

    reject(&proxy, &Method::DELETE, "app", rejection(409, "Conflict"));
    fixture.delete_sync("central", "sync").await?;
    wait_attempts(&proxy, &Method::DELETE, "app").await?;
    proxy.clear();
    fixture.wait_no_sync("central", "sync", RETRIED).await?;
    Ok(())
}

#[tokio::test]
async fn a_404_page_is_no_change_by_another_client() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "0")]).await?;
    let body = "<html>not found</html>".to_owned();
    let page = Fault::Respond(CannedResponse { status: 404, retry_after: None, body });
    for cycle in 1..=CYCLES {
        let value = cycle.to_string();
        // The first one answers the patch, the other ones answer reads of the copy.
        for method in [Method::PATCH, Method::GET, Method::GET] {
            let rule = Rule::new(page.clone()).method(method);
            proxy.add(rule.path_contains("/app/configmaps/shared"));
        }
        fixture.patch_config_map("central", "shared", &json!({"data": {"a": value}})).await?;
        until(format!("the copy follows source {cycle}"), SOON, || async {
            let sync = fixture.sync("central", "sync").await?.context("no ConfigMapSync")?;
            ensure!(!message(&sync).contains("another client"), "{}", message(&sync));
            let copy = fixture.config_map("app", "shared").await?;
            let data = copy.and_then(|copy| copy.data).unwrap_or_default();
            Ok(Seen::from_bool(data.get("a") == Some(&value), || format!("{data:?}")))
        })
        .await?;
        proxy.clear();
    }
    Ok(())
}
