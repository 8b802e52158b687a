//! Promise: a status stays small however many namespaces there are and however many of them
//! fail, and tells of the first ten.
//!
//! Shown with 120 namespaces of which 60 fail. With `E2E_FULL=1` in the environment there are
//! 1,000, of which 500 fail.

use std::collections::BTreeSet;
use std::env;
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

/// "Under 4 KiB."
const SMALL: usize = 4 * 1024;
const LISTED: usize = 10;
/// How long the fan-out may take, at 1,000 namespaces.
const FANNED_OUT: Duration = Duration::from_mins(2);

/// Longer than the first two delays of a backoff.
const ALL_DUE: Duration = Duration::from_secs(4);

fn count() -> usize {
    if env::var_os("E2E_FULL").is_some_and(|value| value == "1") { 1_000 } else { 120 }
}

/// As long as a name may be.
fn name(number: usize) -> String {
    format!("n-{number:04}-{}", "x".repeat(56))
}

fn refuses(number: usize) -> bool {
    number.is_multiple_of(2)
}

/// Every second namespace refuses copies, at length, and in more than ASCII.
async fn refuse(world: &OperatorCluster) -> Result<()> {
    let rules = json!([{
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["configmaps"],
    }]);
    let selector = json!({"matchLabels": {"refuses": "yes"}});
    let constraints = json!({"resourceRules": rules, "namespaceSelector": selector});
    let no = "配置不允许复制\u{1f6ab}\"".repeat(60);
    let validations = json!([{"expression": "object.metadata.name != 'shared'", "message": no}]);
    let object = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": kind,
            "metadata": {"name": "verbose"},
            "spec": spec,
        })
    };
    let spec = json!({"matchConstraints": constraints, "validations": validations});
    world.control_plane.apply(object("ValidatingAdmissionPolicy", spec)).await?;
    let spec = json!({"policyName": "verbose", "validationActions": ["Deny"]});
    world.control_plane.apply(object("ValidatingAdmissionPolicyBinding", spec)).await?;
    let fixture = world.fixture();
    fixture.create_labelled_namespace("probe", &[("refuses", "yes")]).await?;
    until("the policy is enforced", SOON, || async {
        let probe = fixture.create_config_map("probe", "shared", &[]).await;
        if probe.is_ok() {
            fixture.delete_config_map("probe", "shared").await?;
        }
        Ok(Seen::from_bool(probe.is_err(), || "accepted".to_owned()))
    })
    .await
}

fn ensure_small(sync: &ConfigMapSync) -> Result<()> {
    let status = sync.status.as_ref().context("no status")?;
    let text = serde_json::to_string(status)?;
    ensure!(text.len() < SMALL, "the status has {} bytes: {text}", text.len());
    eprintln!("the status has {} bytes", text.len());
    let copies = status.copies.unwrap_or_default();
    let (all, bad) = (i64::try_from(count())?, i64::try_from(count() / 2)?);
    ensure!((copies.desired, copies.ready, copies.failed) == (all, all - bad, bad), "{copies:?}");
    let listed: Vec<_> = status.failures.iter().map(|it| it.namespace.clone()).collect();
    let first: Vec<_> = (0..count()).filter(|number| refuses(*number)).take(LISTED).collect();
    ensure!(listed == first.into_iter().map(name).collect::<Vec<_>>(), "{listed:?}");
    Ok(())
}

/// Whether a status knows of each copy what has become of it: one whose write is not answered yet
/// counts neither as ready nor as failed.
fn is_settled(status: &ConfigMapSyncStatus) -> bool {
    status.copies.is_some_and(|copies| copies.ready + copies.failed == copies.desired)
}

/// Waits until half of the copies are refused and the others are there, as the status says.
async fn wait_settled(fixture: &Fixture) -> Result<ConfigMapSync> {
    let all = i64::try_from(count())?;
    let fits = |sync: &ConfigMapSync| {
        let status = sync.status.as_ref().filter(|status| is_settled(status));
        let copies = status.and_then(|status| status.copies).unwrap_or_default();
        reason(sync) == "Forbidden" && copies.desired == all
    };
    let what = "the status is Forbidden and speaks of every copy";
    fixture.wait_sync("central", "sync", what, FANNED_OUT, fits).await
}

/// The status that a write of it sent.
fn sent(event: &Event) -> Result<ConfigMapSyncStatus> {
    let operations = event.request_object.as_ref().and_then(Value::as_array);
    let status = operations.and_then(|all| all.iter().find(|it| it["path"] == "/status"));
    let status = status.with_context(|| format!("no status in {event}"))?;
    Ok(serde_json::from_value(status["value"].clone())?)
}

/// What a status says.
fn news(status: &ConfigMapSyncStatus) -> String {
    let told = status.conditions.first().map(|it| (&it.reason, &it.message));
    format!("{told:?} {:?}", status.copies)
}

/// Makes sure that the refusals were told once, however often they came.
fn ensure_told_once(world: &OperatorCluster, events: &[Event]) -> Result<()> {
    let mut writes = writes_by_operator(events);
    writes.retain(|event| event.object_ref.subresource == "status");
    let statuses = writes.into_iter().map(sent).collect::<Result<Vec<_>>>()?;
    let said: Vec<_> = statuses.iter().map(news).collect();
    let (settled, under_way): (Vec<_>, Vec<_>) = statuses.iter().partition(|it| is_settled(it));
    let different: BTreeSet<_> = settled.iter().map(|it| news(it)).collect();
    ensure!(different.len() == 1, "{said:#?}");
    // The same is told again only if something else was told in between.
    ensure!(settled.len() <= under_way.len().max(1), "{said:#?}");
    // Progressing, where there is enough to do. More only where the API server has answered so
    // late that a round ended without the answers.
    ensure!(under_way.len() <= 1 || write_outlived_reconcile(world), "{said:#?}");
    let told: Vec<_> =
        requests_by_operator(events).filter(|event| event.resource() == "events").collect();
    ensure!(told.len() <= said.len(), "{}\nof\n{said:#?}", lines(&told));
    Ok(())
}

#[tokio::test]
async fn half_of_the_namespaces_fail_and_ten_are_listed() -> Result<()> {
    let mut world = OperatorCluster::start_with(1, Options::patient()).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    refuse(&world).await?;
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

    let mark = world.audit().mark().await?;
    fixture.create_sync("central", "sync", to_selected(with_labels(&[("many", "yes")]))).await?;
    let sync = wait_settled(&fixture).await?;
    ensure_small(&sync)?;
    // One that wakes up late has all its retries to do at once.
    world.replica()?.process().freeze()?;
    stays("a frozen operator writes nothing", ALL_DUE, || async {
        let now = fixture.sync("central", "sync").await?.context("no sync")?;
        Ok(Seen::from_bool(now.status == sync.status, || format!("{:?}", now.status)))
    })
    .await?;
    world.replica()?.process().thaw()?;
    // The refusals go on for as long as they like: none of them is told.
    let tries = count() / 2 * 3;
    until(format!("{tries} creates were refused"), FANNED_OUT, || async {
        let events = world.audit().since(mark).await?;
        let refused = requests_by_operator(&events).filter(|event| {
            event.resource() == "configmaps" && event.verb == "create" && !event.succeeded()
        });
        let refused = refused.count();
        Ok(Seen::from_bool(refused >= tries, || format!("{refused}")))
    })
    .await?;
    let sync = wait_settled(&fixture).await?;
    ensure_small(&sync)?;
    ensure_told_once(&world, &world.audit().since(mark).await?)
}
