//! Promise: a status stays small however many namespaces there are and however many of them
//! fail, and tells of the first ten.
//!
//! Shown with 60 namespaces of which 30 fail. With `E2E_FULL=1` in the environment there are
//! 1,000, of which 500 fail.

use std::env;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use e2e::audit::Event;
use e2e::audit::by_operator;
use e2e::audit::lines;
use e2e::audit::writes_by_operator;
use e2e::fixture::SOON;
use e2e::wait::Seen;
use e2e::wait::until;
use e2e::world::World;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use serde_json::Value;
use serde_json::json;

use crate::conditions::reason;
use crate::places::labelled;
use crate::places::to_all;

/// "Under 4 KiB."
const SMALL: usize = 4 * 1024;
const LISTED: usize = 10;
/// How long the fan-out may take, at 1,000 namespaces.
const FANNED_OUT: Duration = Duration::from_mins(2);

fn count() -> usize {
    if env::var_os("E2E_FULL").is_some_and(|value| value == "1") { 1_000 } else { 60 }
}

/// As long as a name may be.
fn name(number: usize) -> String {
    format!("n-{number:04}-{}", "x".repeat(56))
}

fn refuses(number: usize) -> bool {
    number.is_multiple_of(2)
}

/// Every second namespace refuses copies, at length, and in more than ASCII.
async fn refuse(world: &World) -> Result<()> {
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

/// What a write of the status said.
fn news(event: &Event) -> String {
    let operations = event.request_object.as_ref().and_then(Value::as_array);
    let status = operations.and_then(|all| all.iter().find(|it| it["path"] == "/status"));
    let status = status.map(|status| status["value"].clone()).unwrap_or_default();
    let told = &status["conditions"][0];
    format!("{} {} {}", told["reason"], told["message"], status["copies"])
}

#[tokio::test]
async fn half_of_the_namespaces_fail_and_ten_are_listed() -> Result<()> {
    let world = World::start(1).await?;
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
    fixture.create_sync("central", "sync", to_all(labelled(&[("many", "yes")]))).await?;
    let sync = fixture.wait_reason("central", "sync", "Forbidden", FANNED_OUT).await?;
    ensure_small(&sync)?;
    // The refusals go on for as long as they like: none of them is told.
    let tries = count() / 2 * 3;
    until(format!("{tries} creates were refused"), FANNED_OUT, || async {
        let events = world.audit().since(mark).await?;
        let refused = by_operator(&events).filter(|event| {
            event.resource() == "configmaps" && event.verb == "create" && !event.succeeded()
        });
        let refused = refused.count();
        Ok(Seen::from_bool(refused >= tries, || format!("{refused}")))
    })
    .await?;
    let sync = fixture.sync("central", "sync").await?.context("no sync")?;
    ensure!(reason(&sync) == "Forbidden", "{:?}", sync.status);
    ensure_small(&sync)?;
    let events = world.audit().since(mark).await?;
    let told: Vec<_> = by_operator(&events).filter(|event| event.resource() == "events").collect();
    // Progressing, where there is enough to do, and Forbidden.
    ensure!(told.len() <= 2, "{}", lines(&told));
    let mut status = writes_by_operator(&events);
    status.retain(|event| event.object_ref.subresource == "status");
    let said: Vec<_> = status.iter().map(|event| news(event)).collect();
    ensure!(said.len() <= 2, "{said:#?}");
    Ok(())
}
