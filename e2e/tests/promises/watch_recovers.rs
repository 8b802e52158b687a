//! Promise: a leader whose watch fails for a moment is not ready for a moment, even if nothing
//! happens that the watch could tell.

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

/// The longest pause after a first error, and an attempt.
const RECOVERED: Duration = Duration::from_secs(40);

#[tokio::test]
async fn a_watch_that_was_refused_once_is_trusted_again_in_silence() -> Result<()> {
    let world = OperatorCluster::start(0).await?;
    let proxy = FaultProxy::start(&world.control_plane)?;
    // As an API server answers that has yet to prepare the storage of a kind.
    let refused = Fault::Respond(CannedResponse::too_many_requests(1));
    proxy.add(Rule::new(refused).resource("configmapsyncs").when(Request::is_watch));
    let replica = proxy.replica(&world.control_plane).await?;
    until("the watch was refused", SOON, || async {
        let refused =
            replica.logs().iter().any(|line| line.to_string().contains("configmapsyncs failed"));
        Ok(Seen::from_bool(refused, || format!("{:?}", replica.logs())))
    })
    .await?;
    until("the leader is ready again", RECOVERED, || async {
        Ok(Seen::from_bool(replica.is_ready().await?, || "it is not".to_owned()))
    })
    .await?;
    let watches = proxy
        .requests()
        .into_iter()
        .filter(|request| request.is_watch() && request.resource() == "configmapsyncs");
    ensure!(watches.count() == 2, "it was watched again once");
    Ok(())
}
