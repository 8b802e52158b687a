//! Whatever a ConfigMapSync reports while it is not Ready, `status.lastFailureTraceID` names the trace
//! in which that arose. Its root is an error exactly for a fault, and says what the condition says.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncSpec;
use harness::fault_proxy::CannedResponse;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Replica;
use http::Method;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::jaeger::Jaeger;
use testbed::jaeger::Trace;
use testbed::jaeger::draw;

use crate::support::deny_policy::DenyPolicy;
use crate::traces::support::ensure_traced;
use crate::traces::support::environment;
use crate::traces::support::wait_trace;

/// Time within which a rejected write is tried again, after a few failures.
const RETRIED: Duration = Duration::from_mins(1);
/// A value of the source, which occurs in no trace.
const SECRET: &str = "hunter2-of-the-source";

/// A ConfigMapSync that is not Ready.
struct Case {
    name: &'static str,
    spec: ConfigMapSyncSpec,
    reason: &'static str,
    /// What the description of the failed root contains; nothing if it is no fault.
    words: &'static [&'static str],
}

fn cases() -> Vec<Case> {
    let to = |destination| one_to_one("central", "shared", destination);
    let of = |source| one_to_one("central", source, "app");
    let case = |name, reason, words, spec| Case { name, spec, reason, words };
    let of_copy = ConfigMapSyncSpec { source_namespace: "app".into(), ..to("other") };
    let of_key = ConfigMapSyncSpec {
        keys: Some(vec!["missing".into()]),
        destination_name: Some("keys".into()),
        ..to("other")
    };
    let suspended = ConfigMapSyncSpec {
        suspend: true,
        destination_name: Some("suspended".into()),
        ..to("other")
    };
    vec![
        case("suspended", "Suspended", &[], suspended),
        case("no-source", "SourceNotFound", &["central/nothing"], of("nothing")),
        case("refused", "SourceRefused", &["central/refused", "no-copy"], of("refused")),
        case("unwanted", "DestinationRefused", &["unwilling", "no-copies"], to("unwilling")),
        case("of-copy", "SourceIsCopy", &["app/shared"], of_copy),
        case("no-key", "KeyNotFound", &["central/shared", "missing"], of_key),
        case("conflict", "Conflict", &["foreign/shared"], to("foreign")),
        case("protected", "DestinationProtected", &["kube-system"], to("kube-system")),
        case("nowhere", "DestinationNamespaceNotFound", &["nowhere"], to("nowhere")),
        case("leaving", "NamespaceTerminating", &["leaving"], to("leaving")),
        case("denied", "Forbidden", &["denied/shared", "refused by a policy"], to("denied")),
        case("failing", "ApiError", &["failing/shared", "responds with 500"], to("failing")),
    ]
}

/// The objects that put the cases into their states.
async fn prepare(fixture: &Fixture) -> Result<()> {
    let all = ["central", "app", "other", "foreign", "leaving", "denied", "failing"];
    fixture.create_namespaces(&all).await?;
    for name in ["shared", "refused"] {
        fixture.create_config_map("central", name, &[("password", SECRET)]).await?;
    }
    let refuses = json!({"metadata": {"annotations": {"apps.nishaf.info/no-copy": "true"}}});
    fixture.patch_config_map("central", "refused", &refuses).await?;
    fixture.create_config_map("foreign", "shared", &[("password", SECRET)]).await?;
    fixture.create_namespaces(&["unwilling"]).await?;
    let refuses = json!({"metadata": {"annotations": {"apps.nishaf.info/no-copies": "true"}}});
    fixture.patch_namespace("unwilling", &refuses).await?;
    // Keeps its namespace from ending.
    fixture.create_config_map("leaving", "kept", &[]).await?;
    let finalizer = json!({"metadata": {"finalizers": ["example.com/kept"]}});
    fixture.patch_config_map("leaving", "kept", &finalizer).await?;
    fixture.delete_namespace("leaving").await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

/// Starts Jaeger and a cluster with one traced replica behind a proxy.
async fn start_behind_proxy() -> Result<(Jaeger, OperatorCluster, FaultProxy)> {
    let jaeger = Jaeger::start_local().await?;
    let mut cluster = OperatorCluster::start(0).await?;
    let proxy = FaultProxy::start(&cluster.control_plane)?;
    let mut options = environment(&jaeger.otlp_grpc(), &[]);
    options.server = Some(proxy.url());
    cluster.replicas.push(Replica::start(&cluster.control_plane, OPERATOR, &options).await?);
    Ok((jaeger, cluster, proxy))
}

#[tokio::test]
async fn a_failure_keeps_its_trace_until_it_is_reported() -> Result<()> {
    let (jaeger, cluster, proxy) = start_behind_proxy().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "denied"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let fails = |rule: Rule, method| rule.when(move |it: &Request| it.method == method);
    let denied = Rule::new(Fault::Respond(CannedResponse::failure(403))).always();
    proxy.add(fails(denied.path_contains("/namespaces/denied/"), Method::POST));
    let unreported = Rule::new(Fault::Respond(CannedResponse::failure(500)));
    proxy.add(fails(unreported.path_contains("/status"), Method::PATCH));
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "denied")).await?;
    let sync = fixture.wait_reason("central", "sync", "Forbidden", RETRIED).await?;
    let id = sync.status.and_then(|it| it.last_failure_trace_id).context("no trace")?;
    let has_write = |trace: &Trace| trace.spans.iter().any(|span| span.name == "create copy");
    let trace = wait_trace(&jaeger, &id, has_write).await?;
    let write = trace.spans.iter().find(|span| span.name == "create copy");
    let attempt = write.and_then(|write| write.number("attempt"));
    ensure!(attempt == Some(1), "{attempt:?}: {}", draw(&trace).join("\n"));
    Ok(())
}

#[tokio::test]
async fn the_trace_of_each_reason_says_why() -> Result<()> {
    let (jaeger, cluster, proxy) = start_behind_proxy().await?;
    let fails = Rule::new(Fault::Respond(CannedResponse::failure(500))).always();
    let is_create = |it: &Request| it.method == Method::POST && it.namespace() == "failing";
    proxy.add(fails.when(is_create));
    let fixture = cluster.fixture();
    prepare(&fixture).await?;
    let policy = DenyPolicy::install(&cluster.control_plane, "denied", "CREATE").await?;
    for Case { name, spec, reason, words } in cases() {
        fixture.create_sync("central", name, spec).await?;
        ensure_traced(&fixture, &jaeger, name, reason, words).await.context(name)?;
    }
    policy.remove().await?;

    // Ready again: the trace of the failure is not named any more.
    let sync = fixture.wait_reason("central", "denied", "Synced", RETRIED).await?;
    let failure = sync.status.unwrap_or_default().last_failure_trace_id;
    ensure!(failure.is_none(), "{failure:?}");
    cluster.replicas[0].terminate_and_wait().await?;
    let everything = jaeger.everything("configmapsync").await?;
    ensure!(everything.contains("refused by a policy"), "{everything}");
    ensure!(!everything.contains(SECRET), "a value of a ConfigMap is in a trace");
    Ok(())
}
