//! The operator respects `Retry-After` of the API server, in the header and in the Status object.

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

/// The requested delay: longer than the first delay of the backoff, and long enough to observe the
/// status meanwhile.
const REQUESTED: Duration = Duration::from_secs(5);
/// A retry later than this was not delayed by the request alone, but for example by the maximum of
/// the backoff, half a minute.
const LATEST: Duration = Duration::from_secs(20);

#[tokio::test]
async fn retry_after_of_the_api_server_is_respected() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let seconds = u32::try_from(REQUESTED.as_secs())?;
    let overloaded = CannedResponse::too_many_requests(seconds);
    ensure_retried_as_requested(&fixture, &proxy, "requested-by-header", overloaded).await?;
    let refused = CannedResponse::failure(429).retry_after(seconds);
    ensure_retried_as_requested(&fixture, &proxy, "requested-by-status", refused).await
}

/// Responds with `answer` to the first POST of the copy in `namespace`. Fails unless the second one
/// follows after the requested delay, and the status reports the first meanwhile.
async fn ensure_retried_as_requested(
    fixture: &Fixture,
    proxy: &FaultProxy,
    namespace: &str,
    answer: CannedResponse,
) -> Result<()> {
    fixture.create_namespaces(&[namespace]).await?;
    let rule = Rule::new(Fault::Respond(answer)).method(Method::POST).resource("configmaps");
    let destination = namespace.to_owned();
    proxy.add(rule.when(move |request| request.namespace() == destination));
    let attempts = || {
        let mut requests = proxy.requests();
        requests.retain(|it| it.namespace() == namespace && it.resource() == "configmaps");
        requests
    };
    fixture.create_sync("central", namespace, one_to_one("central", "shared", namespace)).await?;
    fixture.wait_reason("central", namespace, "ApiError", SOON).await?;
    let first = attempts()[0].arrived;
    let wait = REQUESTED.saturating_sub(first.elapsed());
    stays("the reason is ApiError until the retry", wait, || async {
        let sync = fixture.sync("central", namespace).await?;
        let conditions = sync.and_then(|sync| sync.status).unwrap_or_default().conditions;
        let reason = conditions.first().map(|condition| condition.reason.clone());
        // Evaluated after the read of the status, so that no retry has happened before it. The
        // delay itself is checked below.
        let is_waiting = attempts().len() == 1;
        let is_reported = reason.as_deref() == Some("ApiError");
        Ok(Seen::from_bool(is_reported || !is_waiting, || format!("{reason:?} {:?}", attempts())))
    })
    .await?;
    fixture.wait_reason("central", namespace, "Synced", SOON).await?;

    let attempts = attempts();
    let lines: Vec<_> = attempts.iter().map(ToString::to_string).collect();
    ensure!(attempts.len() == 2, "expected two attempts: {lines:?}");
    ensure!(attempts.iter().all(|it| it.method == Method::POST), "{lines:?}");
    ensure!(attempts[1].status == Some(201), "{lines:?}");
    let waited = attempts[1].arrived - attempts[0].arrived;
    eprintln!("{namespace}: requested {REQUESTED:?}, retried after {waited:?}");
    ensure!((REQUESTED..LATEST).contains(&waited), "{namespace}: retried after {waited:?}");
    Ok(())
}
