//! Promise: one namespace that refuses, or one sync that nothing can be done for, degrades nobody
//! else: the others take the same calls in the same order as without it, and none of them waits
//! for a retry of the bad one.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use harness::audit_queries::by_operator;
use harness::audit_queries::copy_writes_in;
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
const BAD: &str = "team-07";
const WRITES: [&str; 3] = ["create", "patch", "delete"];
/// "Right restored: within the cap", of a backoff that has grown for some seconds.
const RESTORED: Duration = Duration::from_secs(40);

fn namespaces() -> Vec<String> {
    (0..NAMESPACES).map(|number| format!("team-{number:02}")).collect()
}

/// What was asked about ConfigMaps of the teams that are in order, in order.
fn calls(events: &[Event]) -> Vec<String> {
    by_operator(events)
        .filter(|event| event.resource() == "configmaps")
        .filter(|event| event.namespace().starts_with("team-") && event.namespace() != BAD)
        .map(|event| {
            let (verb, code) = (&event.verb, event.response_status.code);
            format!("{verb} {}/{} -> {code}", event.namespace(), event.name())
        })
        .collect()
}

async fn wait_all(fixture: &Fixture, data: &[(&str, &str)], but: Option<&str>) -> Result<()> {
    for namespace in namespaces().iter().filter(|name| Some(name.as_str()) != but) {
        fixture.wait_data(namespace, "shared", data, propagation()).await?;
    }
    Ok(())
}

/// Waits until the bad one was tried so often that a backoff has grown.
async fn wait_tries(world: &OperatorCluster, mark: Mark, count: usize) -> Result<()> {
    until(format!("{BAD} has refused {count} times"), SOON, || async {
        let events = world.audit().since(mark).await?;
        let tries = copy_writes_in(&events, BAD).len();
        Ok(Seen::from_bool(tries >= count, || format!("{tries} times")))
    })
    .await
}

/// A fan-out, and an update of it: what they asked of the good ones.
async fn fan_out(
    world: &OperatorCluster,
    name: &str,
    is_one_bad: bool,
) -> Result<[Vec<String>; 2]> {
    let fixture = world.fixture();
    let but = is_one_bad.then_some(BAD);
    let mark = world.audit().mark().await?;
    fixture.create_sync("central", name, to_selected(with_labels(&[("fan-out", "yes")]))).await?;
    wait_all(&fixture, &[("a", "1")], but).await?;
    if is_one_bad {
        // It may be said of the one before the last of the others is answered.
        let all_but_one = |sync: &ConfigMapSync| {
            let copies = sync.status.as_ref().and_then(|status| status.copies);
            let copies = copies.unwrap_or_default();
            (copies.desired, copies.ready, copies.failed) == (20, 19, 1)
        };
        fixture.wait_sync("central", name, "all but one are ready", SOON, all_but_one).await?;
        let sync = fixture.wait_reason("central", name, "Forbidden", SOON).await?;
        ensure!(message(&sync).contains(BAD), "{}", message(&sync));
        let status = sync.status.unwrap_or_default();
        let failed: Vec<_> = status.failures.iter().map(|it| it.namespace.as_str()).collect();
        ensure!(failed == [BAD], "{failed:?}");
        wait_tries(world, mark, 3).await?;
    }
    let created = calls(&world.audit().since(mark).await?);

    let mark = world.audit().mark().await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "2"}})).await?;
    wait_all(&fixture, &[("a", "2")], but).await?;
    if is_one_bad {
        wait_tries(world, mark, 1).await?;
    }
    let updated = calls(&world.audit().since(mark).await?);
    Ok([created, updated])
}

#[tokio::test]
async fn a_namespace_that_refuses_degrades_nobody_else() -> Result<()> {
    // One write at a time: then even their order is told.
    let one = "--max-concurrent-writes=1".to_owned();
    let options = Options { arguments: vec![one], ..Options::default() };
    let world = OperatorCluster::start_with(1, options).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    for namespace in namespaces() {
        fixture.create_labelled_namespace(&namespace, &[("fan-out", "yes")]).await?;
        if namespace != BAD {
            permissions::permit_in(&world.control_plane, &namespace, &WRITES).await?;
        }
    }
    permissions::forbid(&world.control_plane, "configmaps", &WRITES).await?;
    let with_bad = fan_out(&world, "degraded", true).await?;
    permissions::permit_in(&world.control_plane, BAD, &WRITES).await?;
    fixture.wait_reason("central", "degraded", "Synced", RESTORED).await?;
    fixture.wait_data(BAD, "shared", &[("a", "2")], SOON).await?;

    fixture.delete_sync("central", "degraded").await?;
    fixture.wait_no_sync("central", "degraded", SOON).await?;
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "1"}})).await?;
    let without = fan_out(&world, "healthy", false).await?;
    ensure!(with_bad == without, "with {BAD} refusing:\n{with_bad:#?}\nwithout:\n{without:#?}");
    ensure!(without.iter().all(|calls| calls.len() == NAMESPACES - 1), "{without:#?}");
    Ok(())
}

/// All that one sync with a copy of its own cost, from its creation to an update and its end.
async fn life(world: &OperatorCluster, name: &str) -> Result<Vec<String>> {
    let fixture = world.fixture();
    fixture.create_config_map("central", name, &[("a", "1")]).await?;
    let mark = world.audit().mark().await?;
    fixture.create_sync("central", name, one_to_one("central", name, "app")).await?;
    fixture.wait_data("app", name, &[("a", "1")], propagation()).await?;
    fixture.wait_reason("central", name, "Synced", SOON).await?;
    fixture.patch_config_map("central", name, &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("app", name, &[("a", "2")], propagation()).await?;
    let mut events = world.audit().since(mark).await?;
    events.retain(|event| event.name() == name && event.verb != "watch");
    let asked = |event: &Event| {
        let (reference, code) = (&event.object_ref, event.response_status.code);
        format!("{} {}/{} -> {code}", event.verb, reference.resource, reference.subresource)
    };
    // Up to the write of the copy: the status follows when it may.
    let calls: Vec<_> = by_operator(&events).map(asked).collect();
    let end = calls.iter().rposition(|call| call.starts_with("patch configmaps/"));
    Ok(calls[..=end.unwrap_or_default()].to_vec())
}

#[tokio::test]
async fn a_sync_that_nothing_can_be_done_for_degrades_nobody_else() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
    let without = life(&world, "before").await?;

    // One cannot be read; of the other, the API server takes no status either; and one is refused
    // for ever.
    set_validation(&world, false).await?;
    let unreadable = merged(minimal_spec(), &json!({"deletionPolicy": "Keep"}));
    store(&fixture.client(), "unreadable", &unreadable).await?;
    store(&fixture.client(), "worse", &merged(minimal_spec(), &json!({"sourceNamespace": 7})))
        .await?;
    set_validation(&world, true).await?;
    let protected = one_to_one("central", "shared", "kube-system");
    fixture.create_sync("central", "protected", protected).await?;
    fixture.wait_reason("central", "protected", "DestinationProtected", SOON).await?;
    let with_poison = life(&world, "after").await?;
    ensure!(with_poison == without, "with:\n{with_poison:#?}\nwithout:\n{without:#?}");
    Ok(())
}
