//! A namespace that refuses copies, or a ConfigMapSync that cannot be processed, does not affect
//! the others: they cost the same calls in the same order as without it, and none waits for its
//! retries.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use harness::audit_queries::copy_writes_in;
use harness::audit_queries::requests_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::permissions;
use harness::replica::Options;
use serde_json::json;
use testbed::audit::Event;
use testbed::audit::Mark;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::bad_input::support::merged;
use crate::bad_input::support::minimal_spec;
use crate::bad_input::support::set_validation;
use crate::bad_input::support::store;
use crate::support::conditions::message;
use crate::support::copies::to_selected;
use crate::support::copies::with_labels;
use crate::support::scale::propagation;

const NAMESPACES: usize = 20;
/// The namespace that refuses copies.
const BAD: &str = "team-07";
const WRITES: [&str; 3] = ["create", "patch", "delete"];
/// Longer than the longest delay of a retry.
const RESTORED: Duration = Duration::from_secs(40);

fn namespaces() -> Vec<String> {
    (0..NAMESPACES).map(|number| format!("team-{number:02}")).collect()
}

/// The operator's requests for ConfigMaps in the namespaces that admit copies, in order.
fn calls(events: &[Event]) -> Vec<String> {
    requests_by_operator(events)
        .filter(|event| event.resource() == "configmaps")
        .filter(|event| event.namespace().starts_with("team-") && event.namespace() != BAD)
        .map(|event| {
            let (verb, code) = (&event.verb, event.response_status.code);
            format!("{verb} {}/{} -> {code}", event.namespace(), event.name())
        })
        .collect()
}

/// Waits for the copies in all namespaces except `except`.
async fn wait_all(fixture: &Fixture, data: &[(&str, &str)], except: Option<&str>) -> Result<()> {
    for namespace in namespaces().iter().filter(|name| Some(name.as_str()) != except) {
        fixture.wait_data(namespace, "shared", data, propagation()).await?;
    }
    Ok(())
}

/// Waits until writes to [`BAD`] were attempted `count` times, so that its backoff has grown.
async fn wait_attempts(cluster: &OperatorCluster, mark: Mark, count: usize) -> Result<()> {
    until(format!("{BAD} has refused {count} times"), SOON, || async {
        let events = cluster.audit().since(mark).await?;
        let attempts = copy_writes_in(&events, BAD).len();
        Ok(Seen::from_bool(attempts >= count, || format!("{attempts} times")))
    })
    .await
}

/// Creates a fan-out, then edits the source: the calls of either for the namespaces that admit
/// copies.
async fn fan_out(
    cluster: &OperatorCluster,
    name: &str,
    is_one_bad: bool,
) -> Result<[Vec<String>; 2]> {
    let fixture = cluster.fixture();
    let except = is_one_bad.then_some(BAD);
    let mark = cluster.audit().mark().await?;
    fixture.create_sync("central", name, to_selected(with_labels(&[("fan-out", "yes")]))).await?;
    wait_all(&fixture, &[("a", "1")], except).await?;
    if is_one_bad {
        // The failure may be reported before the last response of the others has arrived.
        let all_but_one = |sync: &ConfigMapSync| {
            let copies = sync.status.as_ref().and_then(|status| status.copies);
            let copies = copies.unwrap_or_default();
            (copies.desired, copies.ready, copies.failed) == (20, 19, 1)
        };
        fixture
            .wait_sync("central", name, "all copies but one are ready", SOON, all_but_one)
            .await?;
        let sync = fixture.wait_reason("central", name, "Forbidden", SOON).await?;
        ensure!(message(&sync).contains(BAD), "{}", message(&sync));
        let status = sync.status.unwrap_or_default();
        let failed: Vec<_> = status.failures.iter().map(|it| it.namespace.as_str()).collect();
        ensure!(failed == [BAD], "{failed:?}");
        wait_attempts(cluster, mark, 3).await?;
    }
    let created = calls(&cluster.audit().since(mark).await?);

    let mark = cluster.audit().mark().await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    wait_all(&fixture, &[("a", "2")], except).await?;
    if is_one_bad {
        wait_attempts(cluster, mark, 1).await?;
    }
    let updated = calls(&cluster.audit().since(mark).await?);
    Ok([created, updated])
}

#[tokio::test]
async fn a_refusing_namespace_does_not_affect_other_namespaces() -> Result<()> {
    // With one write at a time, the order of the calls is deterministic.
    let one = "--max-concurrent-writes=1".to_owned();
    let options = Options { arguments: vec![one], ..Options::default() };
    let cluster = OperatorCluster::start_with(1, options).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    for namespace in namespaces() {
        fixture.create_labelled_namespace(&namespace, &[("fan-out", "yes")]).await?;
        if namespace != BAD {
            permissions::grant_in(&cluster.control_plane, &namespace, &WRITES).await?;
        }
    }
    permissions::revoke(&cluster.control_plane, "configmaps", &WRITES).await?;
    let with_bad = fan_out(&cluster, "degraded", true).await?;
    permissions::grant_in(&cluster.control_plane, BAD, &WRITES).await?;
    fixture.wait_reason("central", "degraded", "Synced", RESTORED).await?;
    fixture.wait_data(BAD, "shared", &[("a", "2")], SOON).await?;

    fixture.delete_sync("central", "degraded").await?;
    fixture.wait_no_sync("central", "degraded", SOON).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "1"}})).await?;
    let without = fan_out(&cluster, "healthy", false).await?;
    ensure!(with_bad == without, "with {BAD} refusing:\n{with_bad:#?}\nwithout:\n{without:#?}");
    ensure!(without.iter().all(|calls| calls.len() == NAMESPACES - 1), "{without:#?}");
    Ok(())
}

/// The calls for one ConfigMapSync, from its creation to the update of its copy.
async fn calls_of_new_sync(cluster: &OperatorCluster, name: &str) -> Result<Vec<String>> {
    let fixture = cluster.fixture();
    fixture.create_config_map("central", name, &[("a", "1")]).await?;
    let mark = cluster.audit().mark().await?;
    fixture.create_sync("central", name, one_to_one("central", name, "app")).await?;
    fixture.wait_data("app", name, &[("a", "1")], propagation()).await?;
    fixture.wait_reason("central", name, "Synced", SOON).await?;
    fixture.patch_config_map("central", name, &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", name, &[("a", "2")], propagation()).await?;
    let mut events = cluster.audit().since(mark).await?;
    events.retain(|event| event.name() == name && event.verb != "watch");
    let describe = |event: &Event| {
        let (reference, code) = (&event.object_ref, event.response_status.code);
        format!("{} {}/{} -> {code}", event.verb, reference.resource, reference.subresource)
    };
    // Up to the write of the copy: the status is written later, at a time that varies.
    let calls: Vec<_> = requests_by_operator(&events).map(describe).collect();
    let end = calls.iter().rposition(|call| call.starts_with("patch configmaps/"));
    Ok(calls[..=end.unwrap_or_default()].to_vec())
}

#[tokio::test]
async fn a_broken_sync_does_not_affect_other_syncs() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let without = calls_of_new_sync(&cluster, "before").await?;

    // One cannot be parsed; one more has a spec with which the API server rejects even a status;
    // and one has a protected destination.
    set_validation(&cluster, false).await?;
    let unreadable = merged(minimal_spec(), &json!({"deletionPolicy": "Keep"}));
    store(&fixture.client(), "unreadable", &unreadable).await?;
    store(&fixture.client(), "worse", &merged(minimal_spec(), &json!({"sourceNamespace": 7})))
        .await?;
    set_validation(&cluster, true).await?;
    let protected = one_to_one("central", "shared", "kube-system");
    fixture.create_sync("central", "protected", protected).await?;
    fixture.wait_reason("central", "protected", "DestinationProtected", SOON).await?;
    let with_broken = calls_of_new_sync(&cluster, "after").await?;
    ensure!(with_broken == without, "with:\n{with_broken:#?}\nwithout:\n{without:#?}");
    Ok(())
}
