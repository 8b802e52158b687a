//! The root span of a reconcile ends with it, and a reconcile without a call has no trace.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use harness::replica::Replica;
use http::Method;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::jaeger::Jaeger;
use testbed::jaeger::Span;
use testbed::jaeger::Trace;
use testbed::jaeger::draw;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::traces::support::create_copy;
use crate::traces::support::environment;
use crate::traces::support::last_trace_id;
use crate::traces::support::traced_cluster;
use crate::traces::support::wait_trace;

/// The delay of a slow write. A reconcile waits a second for it.
const SLOW: Duration = Duration::from_secs(6);
/// Edits of the source: each causes a reconcile, and its status patch another one.
const EDITS: usize = 40;

fn named<'a>(trace: &'a Trace, name: &str) -> Option<&'a Span> {
    trace.spans.iter().find(|span| span.name == name)
}

fn is_call(span: &Span) -> bool {
    span.tag("http.request.method").is_some()
}

/// Ends of spans are compared in microseconds.
fn end(span: &Span) -> u64 {
    span.start_time + span.duration
}

#[tokio::test]
async fn a_late_write_ends_after_the_root_of_its_trace() -> Result<()> {
    let jaeger = Jaeger::start_local().await?;
    let cluster = OperatorCluster::start(0).await?;
    let proxy = FaultProxy::start(&cluster.control_plane)?;
    let slow = Rule::new(Fault::Delay(SLOW)).method(Method::POST).resource("configmaps");
    proxy.add(slow.path_contains("/namespaces/app/"));
    let traced = environment(&jaeger.otlp_grpc(), &[]);
    let options = Options { server: Some(proxy.url()), ..traced };
    let _replica = Replica::start(&cluster.control_plane, OPERATOR, &options).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    // The watch may report the copy before the late answer is recorded.
    let is_named = |sync: &ConfigMapSync| last_trace_id(sync).is_some();
    let sync = fixture.wait_sync("central", "sync", "it names a trace", SOON, is_named).await?;

    let id = last_trace_id(&sync).context("no lastTraceID")?;
    let is_whole = |trace: &Trace| {
        named(trace, "reconcile").is_some() && named(trace, "create copy").is_some()
    };
    let trace = wait_trace(&jaeger, id, is_whole).await?;
    let drawn = draw(&trace).join("\n");
    let [root, write] = ["reconcile", "create copy"].map(|name| named(&trace, name));
    let (root, write) = root.zip(write).context("incomplete")?;
    ensure!(write.parent() == Some(&root.id), "{drawn}");
    ensure!(u128::from(write.duration) >= SLOW.as_micros(), "{drawn}");
    ensure!(end(write) > end(root), "the root waits for the write:\n{drawn}");
    Ok(())
}

#[tokio::test]
async fn a_reconcile_of_a_lost_term_is_exported_as_cancelled() -> Result<()> {
    let jaeger = Jaeger::start_local().await?;
    let cluster = OperatorCluster::start(0).await?;
    let proxy = FaultProxy::start(&cluster.control_plane)?;
    let slow =
        Rule::new(Fault::Delay(SLOW)).method(Method::GET).path_contains("/configmaps/shared");
    proxy.add(slow);
    let options = environment(&jaeger.otlp_grpc(), &[]);
    let options = Options { server: Some(proxy.url()), ..options };
    let replica = Replica::start(&cluster.control_plane, OPERATOR, &options).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    until("the source is being read", SOON, || async {
        let requests = proxy.requests();
        let is_read = |it: &Request| it.path.contains("/configmaps/shared");
        Ok(Seen::from_bool(requests.iter().any(is_read), || format!("{} requests", requests.len())))
    })
    .await?;
    fixture.set_lease_holder("another").await?;
    replica.process().wait_exit(SOON).await?;
    let traces = jaeger.traces(OPERATOR).await?;
    let root = traces.iter().find_map(|trace| named(trace, "reconcile")).context("no root")?;
    ensure!(root.tag("error.type").as_deref() == Some("cancelled"), "{root:#?}");
    Ok(())
}

#[tokio::test]
async fn the_trace_of_a_deletion_has_its_outcome() -> Result<()> {
    let (jaeger, cluster) = traced_cluster().await?;
    let (fixture, _) = create_copy(&cluster).await?;
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    cluster.replicas[0].terminate_and_wait().await?;
    let traces = jaeger.traces(OPERATOR).await?;
    let deletion = traces.iter().find(|it| named(it, "delete copy").is_some());
    let deletion = deletion.context("no trace of the deletion")?;
    let root = deletion.root().context("no root")?;
    ensure!(root.tag("reason").as_deref() == Some("Deleting"), "{root:#?}");
    ensure!(root.number("copies.failed") == Some(0), "{root:#?}");
    let deleted = named(deletion, "delete copy").context("no write")?;
    ensure!(deleted.tag("resource_version").is_none(), "{deleted:#?}");
    Ok(())
}

#[tokio::test]
async fn a_reconcile_without_a_call_has_no_trace() -> Result<()> {
    let (jaeger, cluster) = traced_cluster().await?;
    let (fixture, _) = create_copy(&cluster).await?;
    for number in 0..EDITS {
        let value = number.to_string();
        let edit = json!({"data": {"password": value}});
        fixture.patch_config_map("central", "shared", &edit).await?;
        let has_value = |copy: &k8s_openapi::api::core::v1::ConfigMap| {
            copy.data.as_ref().and_then(|data| data.get("password")) == Some(&value)
        };
        fixture.wait_config_map("app", "shared", "it is updated", SOON, has_value).await?;
        // Otherwise the same reconcile may write the next edit.
        let source = fixture.config_map("central", "shared").await?.context("no source")?;
        let is_reported = |sync: &ConfigMapSync| {
            let reported = sync.status.as_ref().and_then(|status| status.source.as_ref());
            reported.map(|it| &it.resource_version) == source.metadata.resource_version.as_ref()
        };
        fixture.wait_sync("central", "sync", "the edit is reported", SOON, is_reported).await?;
    }
    let metrics = cluster.replicas[0].metrics().await?;
    // Pending spans are sent on exit.
    cluster.replicas[0].terminate_and_wait().await?;
    let traces = jaeger.traces(OPERATOR).await?;
    let reconciles = traces.iter().filter(|it| named(it, "reconcile").is_some());
    let (with, without): (Vec<_>, Vec<_>) =
        reconciles.partition(|trace| trace.spans.iter().any(is_call));
    let drawn: Vec<_> = without.iter().map(|trace| draw(trace).join("\n")).collect();
    ensure!(with.len() > EDITS, "{} traces of {EDITS} edits\n{metrics}", with.len());
    ensure!(without.is_empty(), "traces without a call:\n{}", drawn.join("\n"));
    Ok(())
}
