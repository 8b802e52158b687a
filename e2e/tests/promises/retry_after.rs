//! Promise: an API server that asks for time gets it.

use std::time::Duration;

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
use testbed::wait::Seen;
use testbed::wait::stays;

/// What is asked for: longer than the first delay that is taken without being asked, and so long
/// that what the operator says meanwhile is seen.
const ASKED: Duration = Duration::from_secs(5);
/// Later than this, something else than what was asked for has delayed it: such as the longest
/// delay, which is half a minute.
const LATEST: Duration = Duration::from_secs(20);

#[tokio::test]
async fn an_api_server_that_asks_for_time_gets_it() -> Result<()> {
    let (world, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let seconds = u32::try_from(ASKED.as_secs())?;
    let overloaded = CannedResponse::too_many_requests(seconds);
    obeys(&fixture, &proxy, "asked-in-a-header", overloaded).await?;
    let refused = CannedResponse::failure(429).retry_after(seconds);
    obeys(&fixture, &proxy, "asked-in-a-status", refused).await
}

/// Has the first POST of the copy in `namespace` answered so.
async fn obeys(
    fixture: &Fixture,
    proxy: &FaultProxy,
    namespace: &str,
    answer: CannedResponse,
) -> Result<()> {
    fixture.create_namespaces(&[namespace]).await?;
    let rule = Rule::new(Fault::Respond(answer)).method(Method::POST).resource("configmaps");
    let of = namespace.to_owned();
    proxy.add(rule.when(move |request| request.namespace() == of));
    let attempts = || {
        let mut requests = proxy.requests();
        requests.retain(|it| it.namespace() == namespace && it.resource() == "configmaps");
        requests
    };
    fixture.create_sync("central", namespace, one_to_one("central", "shared", namespace)).await?;
    fixture.wait_reason("central", namespace, "ApiError", SOON).await?;
    let first = attempts()[0].arrived;
    let wait = ASKED.saturating_sub(first.elapsed());
    stays("the operator says why it waits, for as long as it does", wait, || async {
        let sync = fixture.sync("central", namespace).await?;
        let conditions = sync.and_then(|sync| sync.status).unwrap_or_default().conditions;
        let reason = conditions.first().map(|condition| condition.reason.clone());
        // Asked after the status was read: it has waited until then. Whether that was long enough
        // is told by when the attempts arrived.
        let is_waiting = attempts().len() == 1;
        let says_why = reason.as_deref() == Some("ApiError");
        Ok(Seen::from_bool(says_why || !is_waiting, || format!("{reason:?} {:?}", attempts())))
    })
    .await?;
    fixture.wait_reason("central", namespace, "Synced", SOON).await?;

    let attempts = attempts();
    let lines: Vec<_> = attempts.iter().map(ToString::to_string).collect();
    ensure!(attempts.len() == 2, "not two attempts but {lines:?}");
    ensure!(attempts.iter().all(|it| it.method == Method::POST), "{lines:?}");
    ensure!(attempts[1].status == Some(201), "{lines:?}");
    let waited = attempts[1].arrived - attempts[0].arrived;
    eprintln!("{namespace}: asked for {ASKED:?}, tried again after {waited:?}");
    ensure!((ASKED..LATEST).contains(&waited), "{namespace}: tried again after {waited:?}");
    Ok(())
}
