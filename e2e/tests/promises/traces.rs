//! Promise: the trace of a copy shows what was done and how long it took, and no value of a
//! `ConfigMap`; it is found by `status.lastTraceID`.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::replica;
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
use testbed::process::Program;
use testbed::run_folder::RunFolder;
use testbed::wait::Seen;
use testbed::wait::until;

/// Values as nobody would call a field.
const SECRETS: [&str; 4] =
    ["hunter2-first", "hunter2-second", "hunter2-by-hand", "hunter2-foreign"];
/// `hunter2-in-bytes`, as it goes over the wire.
const SECRET_BYTES: &str = "aHVudGVyMi1pbi1ieXRlcw==";
/// What all of them have in common, also in the middle of something longer.
const MARKS_OF_SECRETS: [&str; 3] = ["hunter2", "aHVudGVyMi", "104, 117, 110, 116, 101, 114, 50"];

fn environment(endpoint: &str, more: &[(&str, &str)]) -> Options {
    let always = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "200")];
    let pairs = always.iter().chain(more);
    let environment = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Options { environment: environment.collect(), ..Options::default() }
}

/// A sync whose copy was just created, in a source full of secrets.
async fn synced(world: &OperatorCluster) -> Result<(Fixture, ConfigMapSync)> {
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("password", SECRETS[0])]).await?;
    let bytes = json!({"binaryData": {"key": SECRET_BYTES}});
    fixture.patch_config_map("central", "shared", &bytes).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    let sync = fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok((fixture, sync))
}

fn last_trace_id(sync: &ConfigMapSync) -> Option<&str> {
    sync.status.as_ref()?.last_trace_id.as_deref()
}

/// The line about the copy that was created.
fn line_of_the_write(replica: &Replica) -> Result<Value> {
    let written = |line: &Value| line["message"] == "copy written" && line["action"] == "create";
    replica.logs().into_iter().find(written).context("no line tells that a copy was created")
}

/// The trace, as soon as enough of it has arrived. Jaeger stores the spans that are sent at once in
/// any order, so that none tells that the others are there.
async fn wait_trace(
    jaeger: &Jaeger,
    id: &str,
    is_enough: impl Fn(&Trace) -> bool,
) -> Result<Trace> {
    until(format!("Jaeger has enough of the trace {id}"), SOON, || async {
        let trace = jaeger.trace(id).await?;
        let drawn = trace.as_ref().map(draw);
        Ok(Seen::from_option(trace.filter(&is_enough), || format!("{drawn:?}")))
    })
    .await
}

fn tags(span: &Span, names: &[&str]) -> Result<BTreeMap<String, String>> {
    let tag = |name: &&str| {
        let value = span.tag(name).with_context(|| format!("no {name} on {span:#?}"))?;
        Ok(((*name).to_owned(), value))
    };
    names.iter().map(tag).collect()
}

fn children<'a>(trace: &'a Trace, parent: &Span, name: &str) -> Vec<&'a Span> {
    let spans = trace.spans.iter();
    spans.filter(|span| span.parent() == Some(&parent.id) && span.name == name).collect()
}

fn is_call(span: &Span) -> bool {
    span.tag("http.method").is_some()
}

fn ensure_root(root: &Span, sync: &ConfigMapSync) -> Result<()> {
    ensure!(root.name == "reconcile", "the root is {}", root.name);
    let names = ["sync", "uid", "generation", "outcome", "queue_delay_ms", "reason"];
    let tags = tags(root, &names)?;
    ensure!(tags["sync"] == "central/sync", "{tags:?}");
    ensure!(Some(&tags["uid"]) == sync.metadata.uid.as_ref(), "{tags:?}");
    ensure!(tags["generation"] == "1", "{tags:?}");
    ensure!(tags["outcome"] == "success", "{tags:?}");
    ensure!(tags["reason"] == "Synced", "{tags:?}");
    ensure!(tags["queue_delay_ms"].parse::<u64>()? < 10_000, "{tags:?}");
    Ok(())
}

/// The span `create copy`, with the call below it.
fn ensure_created<'a>(trace: &'a Trace, root: &Span, resource_version: &str) -> Result<&'a Span> {
    for name in ["observe", "plan"] {
        ensure!(!children(trace, root, name).is_empty(), "no {name}");
    }
    let created = children(trace, root, "create copy");
    ensure!(created.len() == 1, "{} spans create copy", created.len());
    let tags_of_copy = tags(created[0], &["destination", "resource_version"])?;
    ensure!(tags_of_copy["destination"] == "app/shared", "{tags_of_copy:?}");
    ensure!(tags_of_copy["resource_version"] == resource_version, "{tags_of_copy:?}");
    let mut calls = trace.spans.iter().filter(|span| is_call(span));
    let below = |span: &&Span| span.parent() == Some(&created[0].id);
    let call = calls.clone().find(below).context("no API call below create copy")?;
    let tags = tags(call, &["http.method", "http.url", "http.status_code"])?;
    ensure!(tags["http.method"] == "POST" && tags["http.status_code"] == "201", "{tags:?}");
    ensure!(tags["http.url"].contains("/api/v1/namespaces/app/configmaps"), "{tags:?}");
    ensure!(calls.all(|span| span.parent() != Some(&root.id)), "a call belongs to a step");
    Ok(created[0])
}

async fn one_created_copy(world: &OperatorCluster, jaeger: &Jaeger) -> Result<Fixture> {
    let (fixture, sync) = synced(world).await?;
    let id = last_trace_id(&sync).context("no lastTraceID")?;
    let trace = wait_trace(jaeger, id, Trace::shows_creation).await?;
    let drawn = draw(&trace).join("\n");
    eprintln!("{drawn}");

    let root = trace.root().context("no root")?;
    ensure_root(root, &sync)?;
    let copy = fixture.config_map("app", "shared").await?.context("no copy")?;
    let version = copy.metadata.resource_version.context("no resourceVersion")?;
    let created = ensure_created(&trace, root, &version).context(drawn)?;

    let line = line_of_the_write(&world.replicas[0])?;
    ensure!(line["trace_id"] == id, "{line}, but status.lastTraceID is {id}");
    ensure!(line["span_id"] == created.id, "{line}, but the span is {}", created.id);
    ensure!(line["sync"] == "central/sync", "{line}");
    Ok(fixture)
}

/// Makes the operator handle every secret: in an edit, a repair, a conflict, a deletion.
async fn handle_secrets(fixture: &Fixture) -> Result<()> {
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
    wait("the copy has followed").await?;
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

async fn ensure_no_secret_shows(
    world: &OperatorCluster,
    jaeger: &Jaeger,
    fixture: &Fixture,
) -> Result<()> {
    let sync = fixture.sync("central", "sync").await?.context("no sync")?;
    let id = last_trace_id(&sync).context("no lastTraceID")?;
    wait_trace(jaeger, id, |trace| trace.root().is_some()).await?;
    let events = Api::<Event>::all(fixture.client()).list(&ListParams::default()).await?;
    let replica = &world.replicas[0];
    let metrics = replica.metrics().await?;
    // Its exit sends the spans that still wait.
    replica.terminate_and_wait().await?;
    for (place, text, expected) in [
        ("the traces", jaeger.everything("configmapsync").await?, id),
        ("the log", std::fs::read_to_string(replica.process().log())?, "copy written"),
        ("the Events", serde_json::to_string(&events)?, "Conflict"),
        ("the status", serde_json::to_string(&sync.status)?, "Synced"),
        ("the metrics", metrics, "configmapsync_writes_total"),
    ] {
        ensure!(text.contains(expected), "{place} do not even tell {expected}: {text}");
        for secret in MARKS_OF_SECRETS {
            let at = text.find(secret);
            let around = at.map(|at| text.get(at.saturating_sub(200)..at + 30));
            ensure!(at.is_none(), "{place} tell a value: {around:?}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_created_copy_is_shown_over_grpc_and_no_value_anywhere() -> Result<()> {
    let folder = RunFolder::create()?;
    let jaeger = Jaeger::start_local(folder.path()).await?;
    let world = OperatorCluster::start_with(1, environment(&jaeger.otlp_grpc(), &[])).await?;
    let fixture = one_created_copy(&world, &jaeger).await?;
    handle_secrets(&fixture).await?;
    ensure_no_secret_shows(&world, &jaeger, &fixture).await
}

#[tokio::test]
async fn a_created_copy_is_shown_over_http() -> Result<()> {
    let folder = RunFolder::create()?;
    let jaeger = Jaeger::start_local(folder.path()).await?;
    let http = [("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")];
    let world = OperatorCluster::start_with(1, environment(&jaeger.otlp_http(), &http)).await?;
    one_created_copy(&world, &jaeger).await?;
    Ok(())
}

async fn ensure_untraced(options: Options) -> Result<()> {
    let world = OperatorCluster::start_with(1, options).await?;
    let (_, sync) = synced(&world).await?;
    ensure!(last_trace_id(&sync).is_none(), "{:?}", sync.status);
    line_of_the_write(&world.replicas[0])?;
    let logs = world.replicas[0].logs();
    let traced = logs.iter().find(|line| line.get("trace_id").is_some());
    ensure!(traced.is_none(), "a line names a trace that nobody has: {traced:?}");
    Ok(())
}

#[tokio::test]
async fn without_an_endpoint_nothing_names_a_trace() -> Result<()> {
    ensure_untraced(Options::default()).await
}

#[tokio::test]
async fn when_switched_off_nothing_names_a_trace() -> Result<()> {
    ensure_untraced(environment("http://127.0.0.1:1", &[("OTEL_SDK_DISABLED", "true")])).await
}

#[tokio::test]
async fn a_protocol_that_does_not_exist_is_one_clear_line() -> Result<()> {
    let folder = RunFolder::create()?;
    let process = Program::new(replica::operator_binary().await?, folder.path().join("log"))
        .arguments(["run", "--namespace", "a", "--pod-name", "b", "--pod-uid", "c"])
        .environment("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
        .environment("OTEL_EXPORTER_OTLP_PROTOCOL", "pigeon")
        .start()?;
    let status = process.wait_exit(Duration::from_secs(10)).await?;
    let text = std::fs::read_to_string(process.log())?;
    ensure!(status.code() == Some(1), "it ended with {status}: {text}");
    ensure!(text.lines().count() == 1, "{text}");
    for word in ["OTEL_EXPORTER_OTLP_PROTOCOL", "pigeon", "grpc", "http/protobuf"] {
        ensure!(text.contains(word), "no {word} in: {text}");
    }
    Ok(())
}
