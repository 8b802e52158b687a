//! A response may take as long as the read timeout, also on a connection that was idle before.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use http::Method;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::stays;

/// Together longer than the read timeout of calls, 15 seconds; each alone is not.
const IDLE: Duration = Duration::from_secs(9);
const RESPONSE: Duration = Duration::from_secs(9);

/// Reads of the source.
fn reads(proxy: &FaultProxy, before: usize) -> Vec<Request> {
    let mut requests = proxy.requests_since(before);
    requests
        .retain(|it| it.method == Method::GET && it.path.ends_with("central/configmaps/shared"));
    requests
}

#[tokio::test]
async fn a_slow_response_on_an_idle_connection_is_awaited() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let before = proxy.count();
    stays("the source is not read", IDLE, || async {
        let reads = reads(&proxy, before);
        Ok(Seen::from_bool(reads.is_empty(), || format!("{reads:?}")))
    })
    .await?;
    let slow = Rule::new(Fault::Delay(RESPONSE)).method(Method::GET).resource("configmaps");
    proxy.add(slow.when(|request| request.path.ends_with("/shared")));
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", "shared", &[("a", "2")], SOON).await?;
    let reads = reads(&proxy, before).len();
    ensure!(reads == 1, "the source was read {reads} times");
    Ok(())
}
