//! Traces: options that export them, a copy with values that occur nowhere else, and the trace of its
//! reconcile.

use std::collections::BTreeMap;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use testbed::jaeger::Jaeger;
use testbed::jaeger::Span;
use testbed::jaeger::Trace;
use testbed::jaeger::draw;
use testbed::wait::Seen;
use testbed::wait::until;

/// Values that occur nowhere else.
pub const SECRETS: [&str; 4] =
    ["hunter2-first", "hunter2-second", "hunter2-by-hand", "hunter2-foreign"];
/// `hunter2-in-bytes` in base64, as in `binaryData`.
const SECRET_BYTES: &str = "aHVudGVyMi1pbi1ieXRlcw==";

/// Options with the OTLP endpoint and further environment variables.
pub fn environment(endpoint: &str, further: &[(&str, &str)]) -> Options {
    let common = [("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint), ("OTEL_BSP_SCHEDULE_DELAY", "200")];
    let pairs = common.iter().chain(further);
    let environment = pairs.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Options { environment: environment.collect(), ..Options::default() }
}

/// Starts Jaeger, and a cluster with one replica that exports its traces there.
pub async fn traced_cluster() -> Result<(Jaeger, OperatorCluster)> {
    let jaeger = Jaeger::start_local().await?;
    let cluster = OperatorCluster::start_with(1, environment(&jaeger.otlp_grpc(), &[])).await?;
    Ok((jaeger, cluster))
}

/// Creates a source with values of [`SECRETS`], and a ConfigMapSync, and waits for the copy.
pub async fn create_copy(cluster: &OperatorCluster) -> Result<(Fixture, ConfigMapSync)> {
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("password", SECRETS[0])]).await?;
    let bytes = json!({"binaryData": {"key": SECRET_BYTES}});
    fixture.patch_config_map("central", "shared", &bytes).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    let sync = fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok((fixture, sync))
}

/// `status.lastTraceID`.
pub fn last_trace_id(sync: &ConfigMapSync) -> Option<&str> {
    sync.status.as_ref()?.last_trace_id.as_deref()
}

/// Waits until Jaeger has a trace that satisfies `is_enough`. Jaeger stores the spans of one batch
/// in any order, so that the presence of one does not imply that of the others.
pub async fn wait_trace(
    jaeger: &Jaeger,
    id: &str,
    is_enough: impl Fn(&Trace) -> bool,
) -> Result<Trace> {
    until(format!("Jaeger has the expected spans of the trace {id}"), SOON, || async {
        let trace = jaeger.trace(id).await?;
        let drawn = trace.as_ref().map(draw);
        Ok(Seen::from_option(trace.filter(&is_enough), || format!("{drawn:?}")))
    })
    .await
}

/// The tags of a span with these names. Fails if one is missing.
pub fn tags(span: &Span, names: &[&str]) -> Result<BTreeMap<String, String>> {
    let tag = |name: &&str| {
        let value = span.tag(name).with_context(|| format!("no {name} on {span:#?}"))?;
        Ok(((*name).to_owned(), value))
    };
    names.iter().map(tag).collect()
}

/// Reasons that a destination has: the root names it.
const OF_DESTINATIONS: [&str; 8] = [
    "Conflict",
    "DestinationProtected",
    "TooLarge",
    "Forbidden",
    "Contended",
    "ApiError",
    "DestinationNamespaceNotFound",
    "NamespaceTerminating",
];

/// Waits until `central/NAME` reports `reason`. Fails unless the status and the Event, if there is one, name a trace whose
/// root has this reason and, exactly if there are `words`, is an error whose description contains them.
pub async fn ensure_traced(
    fixture: &Fixture,
    jaeger: &Jaeger,
    name: &str,
    reason: &str,
    words: &[&str],
) -> Result<()> {
    let sync = fixture.wait_reason("central", name, reason, SOON).await?;
    let status = sync.status.unwrap_or_default();
    let id = status.last_failure_trace_id.context("no lastFailureTraceID")?;
    let trace = wait_trace(jaeger, &id, |trace| trace.root().is_some()).await?;
    let root = trace.root().context("no root")?;
    let found = (root.name.as_str(), root.tag("sync"), root.tag("reason"));
    let expected = ("reconcile", Some(format!("central/{name}")), Some(reason.to_owned()));
    ensure!(found == expected, "{found:?}");
    let is_error = root.tag("error").as_deref() == Some("true");
    ensure!(is_error != words.is_empty(), "error: {is_error}");
    let description = root.tag("otel.status_description").unwrap_or_default();
    for word in words {
        ensure!(description.contains(word), "no {word} in {description:?}");
    }
    if let Some(word) = words.first().filter(|_| OF_DESTINATIONS.contains(&reason)) {
        let destination = root.tag("destination").unwrap_or_default();
        ensure!(destination.contains(word), "no {word} in the destination {destination:?}");
    }
    let error_type = root.tag("error.type");
    ensure!(error_type.as_deref() == Some(reason).filter(|_| is_error), "{error_type:?}");
    // Transient states have no Event.
    if ["Progressing", "Deleting"].contains(&reason) {
        return Ok(());
    }
    wait_event(fixture, &sync.metadata.uid.unwrap_or_default(), reason, &id).await
}

/// Waits for the Event of the transition to `reason`. Fails unless it has the id of the trace.
async fn wait_event(fixture: &Fixture, sync_uid: &str, reason: &str, id: &str) -> Result<()> {
    let events: Api<Event> = Api::namespaced(fixture.client(), "central");
    let is_of_transition = |event: &Event| {
        let uid = event.regarding.as_ref().and_then(|it| it.uid.as_deref());
        uid == Some(sync_uid) && event.reason.as_deref() == Some(reason)
    };
    let event = until(format!("the Event {reason} exists"), SOON, || async {
        let all = events.list(&ListParams::default()).await?.items;
        let reasons: Vec<_> = all.iter().map(|event| event.reason.clone()).collect();
        let event = all.into_iter().find(is_of_transition);
        Ok(Seen::from_option(event, || format!("{reasons:?}")))
    })
    .await?;
    let annotations = event.metadata.annotations.unwrap_or_default();
    let named = annotations.get("apps.nishaf.info/trace-id");
    ensure!(named.is_some_and(|named| named == id), "the Event names {named:?}, the status {id}");
    Ok(())
}
