//! `configmapsync_propagation_seconds` measures how long a change of a source takes to reach its copies, and
//! names the trace of one such change in each bucket.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Rule;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Replica;
use http::Method;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::jaeger::Jaeger;
use testbed::jaeger::Trace;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::traces::support::environment;
use crate::traces::support::wait_trace;

/// The delay of the write that the last edit causes.
const SLOW: Duration = Duration::from_secs(3);

/// The value of the series with this name, without labels.
fn value(metrics: &str, name: &str) -> Option<f64> {
    let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.parse().ok()
}

/// The trace that the bucket with the slowest changes names.
fn exemplar(metrics: &str) -> Option<&str> {
    let buckets =
        metrics.lines().filter(|it| it.starts_with("configmapsync_propagation_seconds_bucket"));
    let (_, exemplar) = buckets.filter_map(|line| line.split_once("trace_id=\"")).next_back()?;
    exemplar.split('"').next()
}

#[tokio::test]
async fn the_time_from_an_edit_to_its_copies_is_measured() -> Result<()> {
    let jaeger = Jaeger::start_local().await?;
    let mut cluster = OperatorCluster::start(0).await?;
    let proxy = FaultProxy::start(&cluster.control_plane)?;
    let mut options = environment(&jaeger.otlp_grpc(), &[]);
    options.server = Some(proxy.url());
    cluster.replicas.push(Replica::start(&cluster.control_plane, OPERATOR, &options).await?);
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app", "slow"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "0")]).await?;
    for namespace in ["app", "slow"] {
        fixture
            .create_sync("central", namespace, one_to_one("central", "shared", namespace))
            .await?;
        fixture.wait_reason("central", namespace, "Synced", SOON).await?;
    }
    let metrics = cluster.replicas[0].metrics().await?;
    let count = value(&metrics, "configmapsync_propagation_seconds_count");
    ensure!(count == Some(0.0), "a first copy is no change of its source: {count:?}");

    // A label of the source is no change of its content: it causes no write.
    let label = json!({"metadata": {"labels": {"team": "a"}}});
    fixture.patch_config_map("central", "shared", &label).await?;
    let slow = Rule::new(Fault::Delay(SLOW)).method(Method::PATCH).resource("configmaps").always();
    proxy.add(slow.path_contains("/namespaces/slow/"));
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "1"}})).await?;
    for namespace in ["app", "slow"] {
        fixture.wait_data(namespace, "shared", &[("a", "1")], SOON).await?;
    }
    let metrics = until("both changes are measured", SOON, || async {
        let metrics = cluster.replicas[0].metrics().await?;
        let count = value(&metrics, "configmapsync_propagation_seconds_count");
        Ok(Seen::from_option((count == Some(2.0)).then_some(metrics), || format!("{count:?}")))
    })
    .await?;
    let sum = value(&metrics, "configmapsync_propagation_seconds_sum").unwrap_or_default();
    let expected = SLOW.as_secs_f64()..SOON.as_secs_f64();
    ensure!(expected.contains(&sum), "{sum} s in all, expected within {expected:?}");
    let id = exemplar(&metrics).context("no exemplar")?;
    let has_write = |trace: &Trace| trace.spans.iter().any(|span| span.name == "update copy");
    wait_trace(&jaeger, id, has_write).await?;
    Ok(())
}
