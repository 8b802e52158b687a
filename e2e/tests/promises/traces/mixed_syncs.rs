//! Many reconciles of ConfigMapSyncs of every kind: which of them have a trace, and which of the traces are
//! errors.

use std::collections::BTreeMap;

use anyhow::Result;
use anyhow::ensure;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::jaeger::Span;
use testbed::jaeger::Trace;
use testbed::jaeger::draw;

use crate::support::deny_policy::DenyPolicy;
use crate::traces::support::traced_cluster;

/// Edits of the source. Each causes at least one reconcile of every sync.
const EDITS: usize = 150;
/// Syncs that are Ready after each edit.
const READY: [&str; 4] = ["a", "b", "c", "d"];
/// Syncs that are not, with the reason.
const FAULTS: [(&str, &str); 4] = [
    ("denied", "Forbidden"),
    ("foreign", "Conflict"),
    ("missing", "DestinationNamespaceNotFound"),
    ("kube-system", "DestinationProtected"),
];

/// Creates all syncs, and waits until each has its reason.
async fn create_syncs(fixture: &Fixture) -> Result<()> {
    fixture.create_config_map("central", "shared", &[("a", "0")]).await?;
    fixture.create_config_map("foreign", "shared", &[("a", "theirs")]).await?;
    let ready = READY.map(|name| (name, "Synced"));
    for (namespace, _) in ready.into_iter().chain(FAULTS) {
        fixture
            .create_sync("central", namespace, one_to_one("central", "shared", namespace))
            .await?;
    }
    for (name, reason) in ready.into_iter().chain(FAULTS) {
        fixture.wait_reason("central", name, reason, SOON).await?;
    }
    Ok(())
}

/// Edits the source, and waits until each sync that can has followed.
async fn edit(fixture: &Fixture, value: usize) -> Result<()> {
    let value = value.to_string();
    let change = json!({"data": {"a": value}});
    let source = fixture.patch_config_map("central", "shared", &change).await?;
    for name in READY {
        let what = format!("{name} reports the edit");
        let reports = |sync: &configmapsync::api::ConfigMapSync| {
            let reported = sync.status.as_ref().and_then(|status| status.source.as_ref());
            reported.map(|it| &it.resource_version) == source.metadata.resource_version.as_ref()
        };
        fixture.wait_sync("central", name, &what, SOON, reports).await?;
    }
    Ok(())
}

fn root(trace: &Trace) -> Option<&Span> {
    trace.root().filter(|root| root.name == "reconcile")
}

/// Fails unless exactly the roots with a fault are errors, and few traces have no call.
fn ensure_telling(traces: &[&Trace]) -> Result<()> {
    let is_call = |span: &Span| span.tag("http.request.method").is_some();
    let idle = traces.iter().filter(|trace| !trace.spans.iter().any(is_call)).count();
    let mut by_reason = BTreeMap::<String, [usize; 2]>::new();
    for trace in traces {
        let Some(root) = root(trace) else { continue };
        let reason = root.tag("reason").unwrap_or_default();
        let is_error = root.tag("error").as_deref() == Some("true");
        by_reason.entry(reason.clone()).or_default()[usize::from(is_error)] += 1;
        let is_fault = FAULTS.iter().any(|(_, fault)| *fault == reason);
        let drawn = || draw(trace).join("\n");
        ensure!(is_error == is_fault, "error: {is_error}, reason: {reason}\n{}", drawn());
    }
    eprintln!(
        "{} traces, {idle} without a call; [no error, error] by reason: {by_reason:?}",
        traces.len()
    );
    let expected = EDITS * READY.len();
    ensure!(traces.len() >= expected, "{} traces, expected {expected}", traces.len());
    ensure!(idle * 50 < traces.len(), "{idle} of {} traces have no call", traces.len());
    for (_, fault) in FAULTS {
        ensure!(by_reason.contains_key(fault), "no trace of {fault}: {by_reason:?}");
    }
    Ok(())
}

#[tokio::test]
async fn traces_of_many_reconciles_are_errors_exactly_for_faults() -> Result<()> {
    let (jaeger, cluster) = traced_cluster().await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "denied", "foreign"]).await?;
    fixture.create_namespaces(&READY).await?;
    let policy = DenyPolicy::install(&cluster.control_plane, "denied", "CREATE").await?;
    create_syncs(&fixture).await?;
    for value in 1..=EDITS {
        let edited = edit(&fixture, value).await;
        // An operator that has lost its Lease has exited.
        cluster.replicas[0].process().expect_running()?;
        edited?;
    }
    policy.remove().await?;
    // Pending spans are sent on exit.
    cluster.replicas[0].terminate_and_wait().await?;
    let traces = jaeger.traces(OPERATOR).await?;
    let reconciles: Vec<_> = traces.iter().filter(|trace| root(trace).is_some()).collect();
    ensure_telling(&reconciles)
}
