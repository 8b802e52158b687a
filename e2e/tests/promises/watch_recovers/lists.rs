//! A list that fails is continued at its page, with exponential backoff; one without a response is
//! repeated. Meanwhile the process is live.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Hold;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use harness::replica::Replica;
use testbed::accounts::OPERATOR;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

use crate::support::metrics_page::Metrics;

/// More `ConfigMaps` than fit on one page.
const CONFIG_MAPS: usize = 120;
/// Longer than a part of the process may be without progress.
const FAILING: Duration = Duration::from_secs(65);
/// With delays of 1, 2, 4, 8, 16 and 30 seconds there are seven in a minute; a fixed delay of three
/// seconds would be twenty.
const MOST_ATTEMPTS: usize = 10;
/// The longest delay, and an attempt.
const RECOVERED: Duration = Duration::from_mins(1);
/// The read timeout of calls, 15 seconds, and the first delay. That of watches is five minutes.
const REPEATED: Duration = Duration::from_secs(45);

/// Whether it is the list of `ConfigMaps` in the cluster.
fn is_list(request: &Request) -> bool {
    request.path == "/api/v1/configmaps" && !request.is_watch()
}

fn is_later_page(request: &Request) -> bool {
    is_list(request) && request.query.contains("continue=")
}

fn count(proxy: &FaultProxy, fits: impl Fn(&Request) -> bool) -> usize {
    proxy.requests().iter().filter(|request| fits(request)).count()
}

/// Starts a replica behind the proxy. Does not wait until it is ready.
async fn start(cluster: &OperatorCluster, proxy: &FaultProxy) -> Result<Replica> {
    let options = Options { server: Some(proxy.url()), ..Options::default() };
    Replica::start(&cluster.control_plane, OPERATOR, &options).await
}

#[tokio::test]
async fn a_failing_list_backs_off_and_keeps_its_page() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["many"]).await?;
    let names = (0..CONFIG_MAPS).map(|index| format!("config-map-{index}"));
    let created = names.map(|name| {
        let fixture = fixture.clone();
        async move { fixture.create_config_map("many", &name, &[]).await }
    });
    stream::iter(created).buffer_unordered(8).try_collect::<Vec<_>>().await?;
    let proxy = FaultProxy::start(&cluster.control_plane)?;
    let unavailable = Fault::Respond(CannedResponse::failure(503));
    proxy.add(Rule::new(unavailable).when(is_later_page).always());
    let replica = start(&cluster, &proxy).await?;

    let pages = || count(&proxy, is_later_page);
    until("a page of the list is refused", SOON, || async {
        Ok(Seen::from_bool(pages() > 0, || "no request".to_owned()))
    })
    .await?;
    stays("the leader is live", FAILING, || async {
        let (status, text) = replica.liveness().await?;
        Ok(Seen::from_bool(status == 200, || text))
    })
    .await?;
    let (first, later) = (count(&proxy, is_list) - pages(), pages());
    ensure!(first == 1, "the list began {first} times");
    ensure!((4..=MOST_ATTEMPTS).contains(&later), "the page was requested {later} times");
    ensure!(!replica.is_ready().await?, "the leader is ready without a list");
    let labels = [("resource", "configmaps")];
    let metrics = Metrics::of(&replica).await?;
    let age = metrics.value("configmapsync_watch_age_seconds", &labels)?;
    ensure!(age > FAILING.as_secs_f64() - 10.0, "the watch of ConfigMaps is {age} s old");

    proxy.clear();
    until("the leader is ready", RECOVERED, || async {
        Ok(Seen::from_bool(replica.is_ready().await?, || format!("{} pages", pages())))
    })
    .await?;
    let first = count(&proxy, is_list) - pages();
    ensure!(first == 1, "the list began {first} times");
    Ok(())
}

#[tokio::test]
async fn an_expired_page_begins_the_list_again() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["many"]).await?;
    for index in 0..CONFIG_MAPS {
        let name = format!("config-map-{index}");
        fixture.create_config_map("many", &name, &[]).await?;
    }
    let proxy = FaultProxy::start(&cluster.control_plane)?;
    let expired = Fault::Respond(CannedResponse::failure(410));
    proxy.add(Rule::new(expired).when(is_later_page));
    let _replica = start(&cluster, &proxy).await?;
    let watched = |request: &Request| request.path == "/api/v1/configmaps" && request.is_watch();
    until("the list is complete", SOON, || async {
        let requests: Vec<_> = proxy.requests().iter().map(ToString::to_string).collect();
        Ok(Seen::from_bool(count(&proxy, watched) > 0, || format!("{requests:?}")))
    })
    .await?;
    let lists = count(&proxy, is_list) - count(&proxy, is_later_page);
    ensure!(lists == 2, "the list began {lists} times");
    Ok(())
}

#[tokio::test]
async fn a_list_without_a_response_is_repeated() -> Result<()> {
    let cluster = OperatorCluster::start(0).await?;
    let proxy = FaultProxy::start(&cluster.control_plane)?;
    let hold = Hold::new();
    proxy.add(Rule::new(Fault::HoldBefore(hold.clone())).when(is_list));
    let replica = start(&cluster, &proxy).await?;
    hold.reached(SOON).await?;
    until("the list is repeated", REPEATED, || async {
        Ok(Seen::from_bool(count(&proxy, is_list) > 1, || "one request".to_owned()))
    })
    .await?;
    replica.wait_ready().await
}
