//! Each API call of a reconcile is a span by OpenTelemetry's conventions for HTTP clients. It is an
//! error if the call failed, and the API server receives its id.

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use harness::fault_proxy::CannedResponse;
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
use serde_json::Value;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::jaeger::Jaeger;
use testbed::jaeger::Span;
use testbed::jaeger::Trace;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::traces::support::create_copy;
use crate::traces::support::environment;
use crate::traces::support::last_trace_id;
use crate::traces::support::wait_trace;

/// A replica behind a fault proxy that exports its traces to Jaeger.
struct Setup {
    cluster: OperatorCluster,
    proxy: FaultProxy,
    jaeger: Jaeger,
}

impl Setup {
    async fn start() -> Result<Self> {
        let jaeger = Jaeger::start_local().await?;
        let mut cluster = OperatorCluster::start(0).await?;
        let proxy = FaultProxy::start(&cluster.control_plane)?;
        let options = environment(&jaeger.otlp_grpc(), &[]);
        let options = Options { server: Some(proxy.url()), ..options };
        let replica = Replica::start(&cluster.control_plane, OPERATOR, &options).await?;
        replica.wait_ready().await?;
        cluster.replicas.push(replica);
        Ok(Self { cluster, proxy, jaeger })
    }

    /// Waits for a span of this name whose `url.full` contains `part`, in any trace.
    async fn wait_call(&self, name: &str, part: &str) -> Result<Span> {
        until(format!("Jaeger has a span {name} for {part}"), SOON, || async {
            let traces = self.jaeger.traces(OPERATOR).await?;
            let spans: Vec<_> = traces.into_iter().flat_map(|trace| trace.spans).collect();
            let is_wanted =
                |span: &&Span| span.name == name && text(span, "url.full").contains(part);
            let found = spans.iter().find(is_wanted).cloned();
            let names =
                || spans.iter().map(|span| span.name.as_str()).collect::<Vec<_>>().join(", ");
            Ok(Seen::from_option(found, names))
        })
        .await
    }
}

fn value(span: &Span, key: &str) -> Value {
    let tag = span.tags.iter().find(|tag| tag.key == key);
    tag.map_or(Value::Null, |tag| tag.value.clone())
}

fn text(span: &Span, key: &str) -> String {
    span.tag(key).unwrap_or_default()
}

fn named<'a>(trace: &'a Trace, name: &str) -> Option<&'a Span> {
    trace.spans.iter().find(|span| span.name == name)
}

/// Fails unless the request named its span in `traceparent`.
fn ensure_named(request: &Request, trace: &Trace, span: &Span) -> Result<()> {
    let expected = format!("00-{}-{}-01", trace.id, span.id);
    let sent = request.traceparent.as_deref();
    ensure!(sent == Some(&expected), "{request} named {sent:?}, its span is {expected}");
    Ok(())
}

#[tokio::test]
async fn a_call_is_a_span_that_traceparent_names() -> Result<()> {
    let setup = Setup::start().await?;
    let (_, sync) = create_copy(&setup.cluster).await?;
    let id = last_trace_id(&sync).context("no lastTraceID")?;
    let names = ["GET configmaps", "POST configmaps", "PATCH configmapsyncs/status"];
    let is_enough = |trace: &Trace| names.iter().all(|name| named(trace, name).is_some());
    let trace = wait_trace(&setup.jaeger, id, is_enough).await?;

    let create = named(&trace, "POST configmaps").context("no POST")?;
    let server = setup.proxy.url();
    let (address, port) = server.trim_start_matches("https://").split_once(':').context("port")?;
    for (key, expected) in [
        ("span.kind", json!("client")),
        ("http.request.method", json!("POST")),
        ("http.response.status_code", json!(201)),
        ("server.address", json!(address)),
        ("server.port", json!(port.parse::<u16>()?)),
        ("error", Value::Null),
    ] {
        ensure!(value(create, key) == expected, "{key} is not {expected}: {create:#?}");
    }
    let url = format!("{server}/api/v1/namespaces/app/configmaps?");
    ensure!(text(create, "url.full").starts_with(&url), "{create:#?}");
    let old = trace.spans.iter().find(|span| !value(span, "http.method").is_null());
    ensure!(old.is_none(), "a span of kube: {old:#?}");

    let is_post = |request: &Request| {
        request.method == Method::POST && request.path == "/api/v1/namespaces/app/configmaps"
    };
    let requests = setup.proxy.requests();
    ensure_named(requests.iter().find(|it| is_post(it)).context("no POST")?, &trace, create)?;
    let polls =
        requests.iter().find(|it| (it.is_lease() || it.is_watch()) && it.traceparent.is_some());
    ensure!(polls.is_none(), "a renewal or a watch names a span: {polls:?}");
    Ok(())
}

#[tokio::test]
async fn only_failed_calls_are_errors() -> Result<()> {
    let setup = Setup::start().await?;
    let forbidden = Fault::Respond(CannedResponse::failure(403));
    for (namespace, fault) in [("refusing", forbidden), ("broken", Fault::Cut)] {
        let rule = Rule::new(fault).method(Method::POST).resource("configmaps");
        setup.proxy.add(rule.path_contains(&format!("/namespaces/{namespace}/")).always());
    }
    let fixture = setup.cluster.fixture();
    fixture.create_namespaces(&["central", "refusing", "broken"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    for (name, source) in [("refusing", "shared"), ("broken", "shared"), ("app", "missing")] {
        fixture.create_sync("central", name, one_to_one("central", source, name)).await?;
    }

    let refused = setup.wait_call("POST configmaps", "/namespaces/refusing/").await?;
    ensure!(value(&refused, "error") == json!(true), "{refused:#?}");
    ensure!(value(&refused, "http.response.status_code") == json!(403), "{refused:#?}");
    ensure!(value(&refused, "error.type") == json!("403"), "{refused:#?}");

    let broken = setup.wait_call("POST configmaps", "/namespaces/broken/").await?;
    ensure!(value(&broken, "error") == json!(true), "{broken:#?}");
    ensure!(value(&broken, "http.response.status_code").is_null(), "{broken:#?}");
    ensure!(!text(&broken, "otel.status_description").is_empty(), "{broken:#?}");
    ensure!(!text(&broken, "error.type").is_empty(), "{broken:#?}");

    let missing = setup.wait_call("GET configmaps", "/configmaps/missing").await?;
    ensure!(value(&missing, "http.response.status_code") == json!(404), "{missing:#?}");
    ensure!(value(&missing, "error").is_null(), "{missing:#?}");
    Ok(())
}
