//! `status.lastTraceID` names the trace of the last reconcile, which shows its steps and API calls. No
//! value of a ConfigMap occurs in traces, logs, Events, status or metrics.

mod connections;
mod http_spans;
mod later_reasons;
mod mixed_syncs;
mod orphan_spans;
mod pictures;
mod pipelines;
mod propagation;
mod reasons;
mod reconcile_spans;
mod support;
mod term_spans;
mod waits;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use harness::replica::Replica;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde_json::Value;
use serde_json::json;
use testbed::jaeger::Jaeger;
use testbed::jaeger::Span;
use testbed::jaeger::Trace;
use testbed::jaeger::draw;

use crate::traces::support::SECRETS;
use crate::traces::support::create_copy;
use crate::traces::support::environment;
use crate::traces::support::last_trace_id;
use crate::traces::support::tags;
use crate::traces::support::traced_cluster;
use crate::traces::support::wait_trace;

/// Parts of every value: as text, in base64, and as a list of bytes.
const PARTS_OF_SECRETS: [&str; 3] = ["hunter2", "aHVudGVyMi", "104, 117, 110, 116, 101, 114, 50"];

/// The log line of the create of the copy.
fn log_line_of_create(replica: &Replica) -> Result<Value> {
    let is_create = |line: &Value| line["message"] == "copy written" && line["action"] == "create";
    replica.logs().into_iter().find(is_create).context("no log line reports the create of a copy")
}

fn children<'a>(trace: &'a Trace, parent: &Span, name: &str) -> Vec<&'a Span> {
    let spans = trace.spans.iter();
    spans.filter(|span| span.parent() == Some(&parent.id) && span.name == name).collect()
}

fn is_call(span: &Span) -> bool {
    span.tag("http.request.method").is_some()
}

/// Fails unless the root span describes a successful reconcile of `sync`.
fn ensure_root(root: &Span, sync: &ConfigMapSync) -> Result<()> {
    ensure!(root.name == "reconcile", "the root is {}", root.name);
    let names = ["sync", "uid", "generation", "trigger", "queue_delay_ms", "reason"];
    let tags = tags(root, &names)?;
    ensure!(tags["sync"] == "central/sync", "{tags:?}");
    ensure!(Some(&tags["uid"]) == sync.metadata.uid.as_ref(), "{tags:?}");
    ensure!(tags["generation"] == "1", "{tags:?}");
    ensure!(["ConfigMapSync", "Source"].contains(&tags["trigger"].as_str()), "{tags:?}");
    ensure!(tags["reason"] == "Synced", "{tags:?}");
    ensure!(tags["queue_delay_ms"].parse::<u64>()? < 10_000, "{tags:?}");
    Ok(())
}

/// The span `create copy`. Fails unless it has the API call as its child.
fn ensure_create_span<'a>(
    trace: &'a Trace,
    root: &Span,
    resource_version: &str,
) -> Result<&'a Span> {
    for name in ["observe", "plan"] {
        ensure!(!children(trace, root, name).is_empty(), "no span {name} below the root");
    }
    let created = children(trace, root, "create copy");
    ensure!(created.len() == 1, "expected one span create copy, found {}", created.len());
    let tags_of_copy = tags(created[0], &["destination", "resource_version"])?;
    ensure!(tags_of_copy["destination"] == "app/shared", "{tags_of_copy:?}");
    ensure!(tags_of_copy["resource_version"] == resource_version, "{tags_of_copy:?}");
    let mut calls = trace.spans.iter().filter(|span| is_call(span));
    let is_child = |span: &&Span| span.parent() == Some(&created[0].id);
    let call = calls.clone().find(is_child).context("no API call below create copy")?;
    ensure!(call.name == "POST configmaps", "the API call is {}", call.name);
    ensure!(
        calls.all(|span| span.parent() != Some(&root.id)),
        "an API call is a child of the root instead of a step"
    );
    Ok(created[0])
}

/// Creates a copy, and fails unless its trace, log line and status agree.
async fn ensure_create_is_traced(cluster: &OperatorCluster, jaeger: &Jaeger) -> Result<Fixture> {
    let (fixture, sync) = create_copy(cluster).await?;
    let id = last_trace_id(&sync).context("no lastTraceID")?;
    let trace = wait_trace(jaeger, id, Trace::shows_creation).await?;
    let drawn = draw(&trace).join("\n");
    eprintln!("{drawn}");

    let root = trace.root().context("no root")?;
    ensure_root(root, &sync)?;
    let copy = fixture.config_map("app", "shared").await?.context("no copy")?;
    let version = copy.metadata.resource_version.context("no resourceVersion")?;
    let created = ensure_create_span(&trace, root, &version).context(drawn)?;

    let line = log_line_of_create(&cluster.replicas[0])?;
    ensure!(line["trace_id"] == id, "{line}, but status.lastTraceID is {id}");
    ensure!(line["span_id"] == created.id, "{line}, but the span is {}", created.id);
    ensure!(line["sync"] == "central/sync", "{line}");
    Ok(fixture)
}

/// Makes the operator process every secret: by an edit, a repair, a conflict and a deletion.
async fn process_secrets(fixture: &Fixture) -> Result<()> {
    let edit = json!({"data": {"password": SECRETS[1]}});
    fixture.patch_config_map("central", "shared", &edit).await?;
    let has = |value: &'static str| {
        move |copy: &k8s_openapi::api::core::v1::ConfigMap| {
            copy.data.as_ref().and_then(|data| data.get("password")).is_some_and(|it| it == value)
        }
    };
    let wait = async |what: &str| {
        fixture.wait_config_map("app", "shared", what, SOON, has(SECRETS[1])).await
    };
    wait("the copy is updated").await?;
    let by_hand = json!({"data": {"password": SECRETS[2]}});
    fixture.patch_config_map("app", "shared", &by_hand).await?;
    wait("the copy is repaired").await?;

    fixture.create_namespaces(&["foreign"]).await?;
    fixture.create_config_map("foreign", "shared", &[("password", SECRETS[3])]).await?;
    fixture.create_sync("central", "conflict", one_to_one("central", "shared", "foreign")).await?;
    fixture.wait_reason("central", "conflict", "Conflict", SOON).await?;
    fixture.delete_sync("central", "conflict").await?;
    fixture.wait_no_sync("central", "conflict", SOON).await
}

/// Stops the operator, and fails if a secret occurs in anything that it has written besides
/// ConfigMaps.
async fn ensure_no_secret_is_exposed(
    cluster: &OperatorCluster,
    jaeger: &Jaeger,
    fixture: &Fixture,
) -> Result<()> {
    let sync = fixture.sync("central", "sync").await?.context("no sync")?;
    let id = last_trace_id(&sync).context("no lastTraceID")?;
    wait_trace(jaeger, id, |trace| trace.root().is_some()).await?;
    let events = Api::<Event>::all(fixture.client()).list(&ListParams::default()).await?;
    let replica = &cluster.replicas[0];
    let metrics = replica.metrics().await?;
    // Pending spans are sent on exit.
    replica.terminate_and_wait().await?;
    for (output, text, expected) in [
        ("the traces", jaeger.everything("configmapsync").await?, id),
        ("the log", std::fs::read_to_string(replica.process().log())?, "copy written"),
        ("the Events", serde_json::to_string(&events)?, "Conflict"),
        ("the status", serde_json::to_string(&sync.status)?, "Synced"),
        ("the metrics", metrics, "configmapsync_writes_total"),
    ] {
        ensure!(text.contains(expected), "incomplete: {output} without {expected}: {text}");
        for secret in PARTS_OF_SECRETS {
            let at = text.find(secret);
            let around = at.map(|at| text.get(at.saturating_sub(200)..at + 30));
            ensure!(at.is_none(), "a secret in {output}: {around:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_trace_over_grpc_shows_the_create_without_values() -> Result<()> {
    let (jaeger, cluster) = traced_cluster().await?;
    let fixture = ensure_create_is_traced(&cluster, &jaeger).await?;
    process_secrets(&fixture).await?;
    ensure_no_secret_is_exposed(&cluster, &jaeger, &fixture).await
}

#[tokio::test]
async fn a_trace_over_http_shows_the_create() -> Result<()> {
    let jaeger = Jaeger::start_local().await?;
    let http = [("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")];
    let cluster = OperatorCluster::start_with(1, environment(&jaeger.otlp_http(), &http)).await?;
    ensure_create_is_traced(&cluster, &jaeger).await?;
    Ok(())
}

/// Fails if status or log name a trace.
async fn ensure_untraced(options: Options) -> Result<()> {
    let cluster = OperatorCluster::start_with(1, options).await?;
    let (_, sync) = create_copy(&cluster).await?;
    ensure!(last_trace_id(&sync).is_none(), "{:?}", sync.status);
    log_line_of_create(&cluster.replicas[0])?;
    let logs = cluster.replicas[0].logs();
    let traced = logs.iter().find(|line| line.get("trace_id").is_some());
    ensure!(traced.is_none(), "a log line names a trace that was not sent: {traced:?}");
    Ok(())
}

#[tokio::test]
async fn no_trace_id_is_recorded_without_an_endpoint() -> Result<()> {
    ensure_untraced(Options::default()).await
}

#[tokio::test]
async fn no_trace_id_is_recorded_when_the_sdk_is_disabled() -> Result<()> {
    ensure_untraced(environment("http://127.0.0.1:1", &[("OTEL_SDK_DISABLED", "true")])).await
}
