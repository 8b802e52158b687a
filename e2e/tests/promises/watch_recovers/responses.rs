//! A watch is repeated after any response: after HTTP 410 from a new list, otherwise from the last
//! version, with exponential backoff.

use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use anyhow::ensure;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Replica;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

use crate::support::metrics_page::Metrics;

/// The second attempt follows after a second, or at once.
const SECOND_ATTEMPT: Duration = Duration::from_secs(15);
/// How long attempts are counted after the second one.
const COUNTED: Duration = Duration::from_secs(3);
/// A second, two seconds and four seconds lie between attempts; one more follows HTTP 410.
const MOST_ATTEMPTS: usize = 6;
/// The longest delay so far, and an attempt.
const RECOVERED: Duration = Duration::from_secs(30);

/// What the operator must do after a response.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Expected {
    List,
    WatchAgain,
}

/// A response to a watch request, and what the operator must do.
struct Row {
    name: &'static str,
    response: CannedResponse,
    expected: Expected,
}

fn row(name: &'static str, status: u16, body: &str, expected: Expected) -> Row {
    let response = CannedResponse { status, retry_after: None, body: body.to_owned() };
    Row { name, response, expected }
}

/// One line of a watch with the `Status` of an error.
fn error_line(code: u16) -> String {
    let status = CannedResponse::failure(code).body;
    format!("{{\"type\":\"ERROR\",\"object\":{status}}}\n")
}

fn rows() -> Vec<Row> {
    let html = "<html>\n<head>\n<title>503</title>\n</head>\n<body>\nno backend\n</body></html>\n";
    let truncated = r#"{"type":"ADDED","object":{"metadata":{"name":"#;
    let status = |code| CannedResponse::failure(code).body;
    vec![
        row("410 with a Status", 410, &status(410), Expected::List),
        row("410 without a body", 410, "", Expected::List),
        row("503 with a Status", 503, &status(503), Expected::WatchAgain),
        row("503 with a page of seven lines", 503, html, Expected::WatchAgain),
        row("500 without a body", 500, "", Expected::WatchAgain),
        row("200 without a body", 200, "", Expected::WatchAgain),
        row("200 with half an event", 200, truncated, Expected::WatchAgain),
        row("200 with a page of seven lines", 200, html, Expected::WatchAgain),
        row("an event with the error 410", 200, &error_line(410), Expected::List),
        row("an event with the error 500", 200, &error_line(500), Expected::WatchAgain),
    ]
}

#[tokio::test]
async fn a_watch_recovers_from_every_response() -> Result<()> {
    let (cluster, proxy) = OperatorCluster::behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("row", "none")]).await?;
    let mut failures = Vec::new();
    for row in rows() {
        if let Err(error) = ensure_recovery(&fixture, &proxy, &cluster.replicas[0], &row).await {
            failures.push(format!("{}: {error:#}", row.name));
        }
    }
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    Ok(())
}

/// Responds to each watch of ConfigMaps with that of `row` for some seconds.
async fn ensure_recovery(
    fixture: &Fixture,
    proxy: &FaultProxy,
    replica: &Replica,
    row: &Row,
) -> Result<()> {
    let before = proxy.count();
    let attempts = || requests_for_config_maps(proxy, before, Request::is_watch);
    let response = Fault::Respond(row.response.clone());
    proxy.add(Rule::new(response).resource("configmaps").when(Request::is_watch).always());
    proxy.cut_watches("configmaps");
    let began = Instant::now();
    let ended = ensure_backoff(attempts).await;
    let lists = requests_for_config_maps(proxy, before, |it| !it.is_watch());
    let (is_ready, failing) = (replica.is_ready().await?, began.elapsed());
    let metrics = Metrics::of(replica).await?;
    proxy.clear();
    ended?;
    ensure!(!is_ready, "the leader is ready while its watch fails");
    ensure!((lists > 0) == (row.expected == Expected::List), "{lists} lists");
    if row.expected == Expected::WatchAgain {
        let labels = [("resource", "configmaps")];
        let age = metrics.value("configmapsync_watch_age_seconds", &labels)?;
        ensure!(age + 2.0 > failing.as_secs_f64(), "the watch is {age} s old after {failing:?}");
    }

    let data = json!({"data": {"row": row.name}});
    fixture.patch_config_map("central", "shared", &data).await?;
    fixture.wait_data("app", "shared", &[("row", row.name)], RECOVERED).await?;
    until("the leader is ready again", SOON, || async {
        Ok(Seen::from_bool(replica.is_ready().await?, || "not ready".to_owned()))
    })
    .await
}

/// Ensures that there is a second attempt, and then only a few.
async fn ensure_backoff(attempts: impl Fn() -> usize) -> Result<()> {
    let seen = |done| Ok(Seen::from_bool(done, || format!("{} attempts", attempts())));
    until("the watch is repeated", SECOND_ATTEMPT, || async { seen(attempts() >= 2) }).await?;
    let few = "the attempts are few";
    stays(few, COUNTED, || async { seen(attempts() <= MOST_ATTEMPTS) }).await
}

/// The number of lists or watches of ConfigMaps after the first `before` requests.
fn requests_for_config_maps(
    proxy: &FaultProxy,
    before: usize,
    fits: impl Fn(&Request) -> bool,
) -> usize {
    let requests = proxy.requests_since(before);
    let all = requests.iter().filter(|it| it.path == "/api/v1/configmaps");
    all.filter(|it| fits(it)).count()
}
