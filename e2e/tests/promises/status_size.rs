//! The size of a status is limited, whatever the number of namespaces and failures: it lists the
//! first ten failures.
//!
//! 60 of 120 namespaces fail; with `E2E_FULL=1`, 500 of 1,000.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use configmapsync::api::ConfigMapSyncStatus;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use harness::audit_queries::requests_by_operator;
use harness::audit_queries::writes_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use harness::replica::Options;
use serde_json::Value;
use serde_json::json;
use testbed::audit::Event;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::stays;
use testbed::wait::until;

use crate::support::audit::write_outlived_reconcile;
use crate::support::conditions::reason;
use crate::support::copies::to_selected;
use crate::support::copies::with_labels;
use crate::support::scale::quick_or_full;

/// Every status is smaller than this, in bytes.
const MAX_SIZE: usize = 4 * 1024;
/// The number of failures that a status lists.
const LISTED: usize = 10;
/// How long a fan-out to 1,000 namespaces may take.
const FANNED_OUT: Duration = Duration::from_mins(2);

/// Longer than the first two delays of a backoff, so that every retry is due.
const ALL_DUE: Duration = Duration::from_secs(4);

fn count() -> usize {
    quick_or_full(120, 1_000)
}

/// A name of the maximum length.
fn name(number: usize) -> String {
    format!("n-{number:04}-{}", "x".repeat(56))
}

fn refuses(number: usize) -> bool {
    number.is_multiple_of(2)
}

/// Refuses copies in every second namespace, with a long message that is not ASCII.
async fn refuse_half(cluster: &OperatorCluster) -> Result<()> {
    let rules = json!([{
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["configmaps"],
    }]);
    let selector = json!({"matchLabels": {"refuses": "yes"}});
    let constraints = json!({"resourceRules": rules, "namespaceSelector": selector});
    let message = "配置不允许复制\u{1f6ab}\"".repeat(60);
    let validations =
        json!([{"expression": "object.metadata.name != 'shared'", "message": message}]);
    let object = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": "verbose"},
            "spec": spec,
        })
    };
    let spec = json!({"matchConstraints": constraints, "validations": validations});
    cluster.control_plane.apply(object("ValidatingAdmissionPolicy", spec)).await?;
    let spec = json!({"policyName": "verbose", "validationActions": ["Deny"]});
    cluster.control_plane.apply(object("ValidatingAdmissionPolicyBinding", spec)).await?;
    let fixture = cluster.fixture();
    fixture.create_labelled_namespace("probe", &[("refuses", "yes")]).await?;
    until("the policy is enforced", SOON, || async {
        let probe = fixture.create_config_map("probe", "shared", &[]).await;
        if probe.is_ok() {
            fixture.delete_config_map("probe", "shared").await?;
        }
        Ok(Seen::from_bool(probe.is_err(), || "admitted".to_owned()))
    })
    .await
}

fn ensure_small(sync: &ConfigMapSync) -> Result<()> {
    let status = sync.status.as_ref().context("no status")?;
    let text = serde_json::to_string(status)?;
    ensure!(text.len() < MAX_SIZE, "the status has {} bytes: {text}", text.len());
    eprintln!("the status has {} bytes", text.len());
    let copies = status.copies.unwrap_or_default();
    let (all, failed) = (i64::try_from(count())?, i64::try_from(count() / 2)?);
    let counts = (copies.desired, copies.ready, copies.failed);
    ensure!(counts == (all, all - failed, failed), "{copies:?}");
    let listed: Vec<_> = status.failures.iter().map(|it| it.namespace.clone()).collect();
    let first: Vec<_> = (0..count()).filter(|number| refuses(*number)).take(LISTED).collect();
    ensure!(listed == first.into_iter().map(name).collect::<Vec<_>>(), "{listed:?}");
    Ok(())
}

/// Whether each copy is ready or failed: one whose write has no response yet is neither.
fn is_settled(status: &ConfigMapSyncStatus) -> bool {
    status.copies.is_some_and(|copies| copies.ready + copies.failed == copies.desired)
}

/// Waits until the status reports every copy as ready or failed, with the reason `Forbidden`.
async fn wait_settled(fixture: &Fixture) -> Result<ConfigMapSync> {
    let all = i64::try_from(count())?;
    let fits = |sync: &ConfigMapSync| {
        let status = sync.status.as_ref().filter(|status| is_settled(status));
        let copies = status.and_then(|status| status.copies).unwrap_or_default();
        reason(sync) == "Forbidden" && copies.desired == all
    };
    let what = "the reason is Forbidden and every copy is ready or failed";
    fixture.wait_sync("central", "sync", what, FANNED_OUT, fits).await
}

/// The status that was sent by a write.
fn sent_status(event: &Event) -> Result<ConfigMapSyncStatus> {
    let operations = event.request_object.as_ref().and_then(Value::as_array);
    let status = operations.and_then(|all| all.iter().find(|it| it["path"] == "/status"));
    let status = status.with_context(|| format!("no status in {event}"))?;
    Ok(serde_json::from_value(status["value"].clone())?)
}

/// The reason, message and counts of a status.
fn summary(status: &ConfigMapSyncStatus) -> String {
    let condition = status.conditions.first().map(|it| (&it.reason, &it.message));
    format!("{condition:?} {:?}", status.copies)
}

/// Fails unless the refusals were reported once, although the writes were refused repeatedly.
fn ensure_reported_once(cluster: &OperatorCluster, events: &[Event]) -> Result<()> {
    let mut writes = writes_by_operator(events);
    writes.retain(|event| event.object_ref.subresource == "status");
    let statuses = writes.into_iter().map(sent_status).collect::<Result<Vec<_>>>()?;
    let summaries: Vec<_> = statuses.iter().map(summary).collect();
    let (settled, progressing): (Vec<_>, Vec<_>) = statuses.iter().partition(|it| is_settled(it));
    let different: BTreeSet<_> = settled.iter().map(|it| summary(it)).collect();
    ensure!(different.len() == 1, "{summaries:#?}");
    // The same status is written again only after a different one.
    ensure!(settled.len() <= progressing.len().max(1), "{summaries:#?}");
    // A long fan-out is reported as Progressing once; more than once only if a reconcile ended
    // before the responses to its writes arrived.
    ensure!(progressing.len() <= 1 || write_outlived_reconcile(cluster), "{summaries:#?}");
    let reported: Vec<_> =
        requests_by_operator(events).filter(|event| event.resource() == "events").collect();
    ensure!(reported.len() <= summaries.len(), "{}\nfor\n{summaries:#?}", lines(&reported));
    Ok(())
}

#[tokio::test]
async fn status_lists_the_first_ten_of_many_failures() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(1, Options::patient()).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    refuse_half(&cluster).await?;
    stream::iter(0..count())
        .map(|number| {
            let fixture = fixture.clone();
            async move {
                let refuses = if refuses(number) { "yes" } else { "no" };
                let labels = [("many", "yes"), ("refuses", refuses)];
                fixture.create_labelled_namespace(&name(number), &labels).await
            }
        })
        .buffer_unordered(16)
        .try_collect::<Vec<_>>()
        .await?;

    let mark = cluster.audit().mark().await?;
    fixture.create_sync("central", "sync", to_selected(with_labels(&[("many", "yes")]))).await?;
    let sync = wait_settled(&fixture).await?;
    ensure_small(&sync)?;
    // After a freeze, all retries are due at once.
    cluster.replica()?.process().freeze()?;
    stays("the status does not change while the operator is frozen", ALL_DUE, || async {
        let now = fixture.sync("central", "sync").await?.context("no sync")?;
        Ok(Seen::from_bool(now.status == sync.status, || format!("{:?}", now.status)))
    })
    .await?;
    cluster.replica()?.process().thaw()?;
    // Repeated refusals are not reported again.
    let attempts = count() / 2 * 3;
    until(format!("{attempts} creates were refused"), FANNED_OUT, || async {
        let events = cluster.audit().since(mark).await?;
        let refused = requests_by_operator(&events).filter(|event| {
            event.resource() == "configmaps" && event.verb == "create" && !event.succeeded()
        });
        let refused = refused.count();
        Ok(Seen::from_bool(refused >= attempts, || format!("{refused}")))
    })
    .await?;
    let sync = wait_settled(&fixture).await?;
    ensure_small(&sync)?;
    ensure_reported_once(&cluster, &cluster.audit().since(mark).await?)
}
