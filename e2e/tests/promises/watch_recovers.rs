//! A leader whose list or watch failed is ready again as soon as it succeeds, even if no event
//! arrives. A watch that is cut or silent misses nothing.

mod cuts;
mod lists;
mod responses;
mod silence;
mod support;

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use testbed::wait::Seen;
use testbed::wait::until;

pub use support::lists_and_watches;

/// The maximum delay after a first error, and one attempt.
const RECOVERED: Duration = Duration::from_secs(40);

#[tokio::test]
async fn a_watch_refused_once_recovers_without_events() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let proxy = FaultProxy::start(&cluster.control_plane)?;
    // The response of an API server that is still initializing the storage of a kind.
    let refused = Fault::Respond(CannedResponse::too_many_requests(1));
    proxy.add(Rule::new(refused).resource("configmapsyncs").when(Request::is_watch));
    let replica = proxy.replica(&cluster.control_plane).await?;
    until("the watch was refused", SOON, || async {
        let refused =
            replica.logs().iter().any(|line| line.to_string().contains("configmapsyncs failed"));
        Ok(Seen::from_bool(refused, || format!("{:?}", replica.logs())))
    })
    .await?;
    until("the leader is ready again", RECOVERED, || async {
        Ok(Seen::from_bool(replica.is_ready().await?, || "not ready".to_owned()))
    })
    .await?;
    let watches = proxy
        .requests()
        .into_iter()
        .filter(|request| request.is_watch() && request.resource() == "configmapsyncs");
    ensure!(watches.count() == 2, "expected exactly one further watch");
    Ok(())
}
