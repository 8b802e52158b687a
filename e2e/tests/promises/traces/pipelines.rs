//! The annotation `apps.nishaf.info/traceparent`: the next reconcile belongs to the trace of the pipeline
//! that set it.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use serde_json::json;
use testbed::jaeger::Trace;
use testbed::jaeger::draw;

use crate::traces::support::last_trace_id;
use crate::traces::support::traced_cluster;
use crate::traces::support::wait_trace;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const OTHER_TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN: &str = "00f067aa0ba902b7";

/// Changes the destination and, if one is given, the annotation in one request, and waits for the report.
async fn move_copy(
    fixture: &Fixture,
    destination: &str,
    trace_parent: Option<&str>,
) -> Result<ConfigMapSync> {
    let mut change = json!({"spec": {"destinationNamespace": destination}});
    if let Some(trace_parent) = trace_parent {
        change["metadata"] = json!({"annotations": {"apps.nishaf.info/traceparent": trace_parent}});
    }
    let generation = fixture.patch_sync("central", "sync", &change).await?.metadata.generation;
    let is_synced = |sync: &ConfigMapSync| {
        let status = sync.status.as_ref();
        status.is_some_and(|status| {
            status.observed_generation == generation
                && status.conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True")
        })
    };
    let what = format!("the copy is in {destination}");
    fixture.wait_sync("central", "sync", &what, SOON, is_synced).await
}

#[tokio::test]
async fn an_applied_generation_belongs_to_the_trace_of_its_pipeline() -> Result<()> {
    let (jaeger, cluster) = traced_cluster().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "a", "b", "c", "d"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "a")).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;

    // Not sampled: whether there is a trace is not decided outside.
    let sync = move_copy(&fixture, "b", Some(&format!("00-{TRACE}-{SPAN}-00"))).await?;
    ensure!(last_trace_id(&sync) == Some(TRACE), "{:?}", sync.status);
    let is_whole = |trace: &Trace| {
        ["reconcile", "create copy"]
            .iter()
            .all(|name| trace.spans.iter().any(|it| it.name == *name))
    };
    let trace = wait_trace(&jaeger, TRACE, is_whole).await?;
    let reconcile = trace.spans.iter().find(|span| span.name == "reconcile");
    let reconcile = reconcile.with_context(|| draw(&trace).join("\n"))?;
    ensure!(reconcile.parent().is_some_and(|parent| parent == SPAN), "{reconcile:#?}");

    let sync = move_copy(&fixture, "c", None).await?;
    let id = last_trace_id(&sync).context("no lastTraceID")?;
    ensure!(id != TRACE, "a value is used for a second generation");
    let unusable = format!("00-{OTHER_TRACE}-0000000000000000-01");
    for (to, malformed) in [("d", ""), ("c", "no trace parent"), ("d", &unusable)] {
        let sync = move_copy(&fixture, to, Some(malformed)).await?;
        let id = last_trace_id(&sync).context("no lastTraceID")?;
        ensure!(![TRACE, OTHER_TRACE].contains(&id), "{malformed:?} leads to {id}");
    }

    // The reconcile after the annotation, although there is nothing to do, and no later one.
    let parent = format!("00-{OTHER_TRACE}-{SPAN}-01");
    let change = json!({"metadata": {"annotations": {"apps.nishaf.info/traceparent": parent}}});
    fixture.patch_sync("central", "sync", &change).await?;
    let has_reconcile = |trace: &Trace| trace.spans.iter().any(|span| span.name == "reconcile");
    wait_trace(&jaeger, OTHER_TRACE, has_reconcile).await?;
    let sync = move_copy(&fixture, "a", None).await?;
    let id = last_trace_id(&sync).context("no lastTraceID")?;
    ensure!(id != OTHER_TRACE, "a value is used for a second reconcile");
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;
    cluster.replicas[0].terminate_and_wait().await?;
    let trace = jaeger.trace(OTHER_TRACE).await?.context("no trace")?;
    let reconciles = trace.spans.iter().filter(|span| span.name == "reconcile").count();
    ensure!(reconciles == 1, "{}", draw(&trace).join("\n"));
    Ok(())
}
