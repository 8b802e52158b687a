//! What a reconcile waits for, and how often it has tried, is in its trace.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Rule;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Replica;
use http::Method;
use testbed::accounts::OPERATOR;
use testbed::jaeger::Jaeger;
use testbed::jaeger::Trace;
use testbed::jaeger::draw;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::traces::support::environment;
use crate::traces::support::last_trace_id;
use crate::traces::support::wait_trace;

/// The delay of each write, and of the read of the source.
const SLOW: Duration = Duration::from_millis(600);
/// Refusals before a write succeeds.
const REFUSALS: usize = 2;
/// Copies of one source: more than may be written at a time.
const COPIES: usize = 6;

/// A cluster behind a proxy, with one replica that may send two writes at a time and exports traces.
async fn cluster(jaeger: &Jaeger) -> Result<(OperatorCluster, FaultProxy)> {
    let mut cluster = OperatorCluster::start(0).await?;
    let proxy = FaultProxy::start(&cluster.control_plane)?;
    let writes = ("CONFIGMAPSYNC_MAX_CONCURRENT_WRITES", "2");
    let mut options = environment(&jaeger.otlp_grpc(), &[writes]);
    options.server = Some(proxy.url());
    cluster.replicas.push(Replica::start(&cluster.control_plane, OPERATOR, &options).await?);
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    Ok((cluster, proxy))
}

#[tokio::test]
async fn a_retried_write_has_the_number_of_its_attempt() -> Result<()> {
    let jaeger = Jaeger::start_local().await?;
    let (cluster, proxy) = cluster(&jaeger).await?;
    let refuse = Rule::new(Fault::Respond(CannedResponse::failure(500))).times(REFUSALS);
    let refuse = refuse.method(Method::POST).resource("configmaps");
    proxy.add(refuse.path_contains("/namespaces/app/"));
    let fixture = cluster.fixture();
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    let sync = fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    let id = last_trace_id(&sync).context("no lastTraceID")?;
    let trace = wait_trace(&jaeger, id, Trace::shows_creation).await?;
    let write = trace.spans.iter().find(|span| span.name == "create copy");
    let attempt = write.and_then(|write| write.number("attempt"));
    let expected = i64::try_from(REFUSALS + 1)?;
    ensure!(attempt == Some(expected), "{attempt:?}\n{}", draw(&trace).join("\n"));
    Ok(())
}

#[tokio::test]
async fn waiting_for_permits_and_for_a_shared_read_has_spans() -> Result<()> {
    let jaeger = Jaeger::start_local().await?;
    let (cluster, proxy) = cluster(&jaeger).await?;
    for method in [Method::GET, Method::POST] {
        proxy.add(Rule::new(Fault::Delay(SLOW)).method(method).resource("configmaps").always());
    }
    let fixture = cluster.fixture();
    for number in 0..COPIES {
        let mut spec = one_to_one("central", "shared", "app");
        spec.destination_name = Some(format!("copy-{number}"));
        fixture.create_sync("central", &format!("sync-{number}"), spec).await?;
    }
    for number in 0..COPIES {
        fixture.wait_reason("central", &format!("sync-{number}"), "Synced", SOON).await?;
    }
    until("the waits, and a link to the read of another reconcile, are traced", SOON, || async {
        let traces = jaeger.traces(OPERATOR).await?;
        let spans: Vec<_> = traces.iter().flat_map(|trace| &trace.spans).collect();
        let is_there = |name: &str| spans.iter().any(|span| span.name == name);
        let reads: Vec<_> = spans
            .iter()
            .filter(|span| span.name == "GET configmaps")
            .filter_map(|span| span.parent())
            .collect();
        let is_linked = spans.iter().filter(|span| span.name == "observe").any(|observe| {
            observe
                .references
                .iter()
                .any(|it| reads.contains(&it.span_id.as_str()) && it.span_id != observe.id)
        });
        let found = (
            is_there("wait for a write permit"),
            is_there("wait for the read of another reconcile"),
            is_linked,
        );
        Ok(Seen::from_bool(found == (true, true, true), || {
            let drawn: Vec<_> = traces.iter().flat_map(draw).collect();
            format!("{found:?}\n{}", drawn.join("\n"))
        }))
    })
    .await
}
