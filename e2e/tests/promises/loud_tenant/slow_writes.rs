//! Large writes that are answered slowly.

use std::time::Duration;

use anyhow::Result;
use configmapsync::api::ConfigMapSyncSpec;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use harness::fault_proxy::Fault;
use harness::fault_proxy::Rule;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use http::Method;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::bounded_memory::objects::create_config_maps;
use crate::bounded_memory::objects::large_name;
use crate::loud_tenant::support::ensure_not_delayed;
use crate::loud_tenant::support::large_data;

/// The ConfigMapSyncs of another tenant, in `quiet`.
const QUIET: [&str; 2] = ["small", "large-0"];
const LARGE_SOURCES: usize = 40;
const CONCURRENCY: usize = 8;
/// The delay of each create in the slow namespace: less than the timeout of the operator's client.
const DELAY: Duration = Duration::from_secs(10);

#[tokio::test]
async fn slow_large_writes_of_one_tenant_delay_no_other() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = &cluster.fixture();
    fixture.create_namespaces(&["loud", "slow", "quiet", "app"]).await?;
    fixture.create_config_map("quiet", "small", &[("n", "0")]).await?;
    create_config_maps(fixture, "quiet", 1, &large_data(), |_| json!({})).await?;
    for name in QUIET {
        fixture.create_sync("quiet", name, one_to_one("quiet", name, "app")).await?;
    }
    let rule = Rule::new(Fault::Delay(DELAY)).method(Method::POST).resource("configmaps");
    proxy.add(rule.when(|request| request.namespace() == "slow").always());
    create_config_maps(fixture, "loud", LARGE_SOURCES, &large_data(), |_| json!({})).await?;
    let creating = (0..LARGE_SOURCES).map(|number| async move {
        let name = large_name(number);
        let spec = ConfigMapSyncSpec {
            destination_name: Some(name.clone()),
            ..one_to_one("loud", &name, "slow")
        };
        fixture.create_sync("loud", &name, spec).await?;
        anyhow::Ok(())
    });
    stream::iter(creating).buffer_unordered(CONCURRENCY).try_for_each(async |()| Ok(())).await?;
    until("several creates are delayed", SOON, || async {
        let requests = proxy.requests();
        let is_create = |method: &Method| *method == Method::POST;
        let in_slow =
            requests.iter().filter(|it| is_create(&it.method) && it.namespace() == "slow");
        let open = in_slow.filter(|it| it.status.is_none()).count();
        Ok(Seen::from_bool(open > 2, || format!("{open} creates")))
    })
    .await?;
    ensure_not_delayed(fixture, &QUIET).await
}
