//! Promise: a ConfigMap that is not ours is never touched, on any path.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use configmapsync::names;
use harness::audit_queries::copy_writes_in;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::permissions;
use harness::replica::Options;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::json;
use testbed::audit::Event;
use testbed::audit::lines;
use testbed::wait::Seen;
use testbed::wait::stays;

use crate::support::conditions::message;

/// A round that follows a write of ours has long ended by then.
const SETTLED: Duration = Duration::from_secs(2);
/// How often two creates race for one name; each time, ours has a millisecond more.
const RACES: u64 = 40;
/// The shortest delay of theirs.
const SHORTEST: Duration = Duration::from_millis(1);
/// How long a retry may take that has been refused for as long as an API server takes to restart.
const RETRIED: Duration = Duration::from_mins(3);

/// Writes of ConfigMaps that succeeded, by the operator, in `namespace`.
fn successes<'a>(events: &'a [Event], namespace: &str) -> Vec<&'a Event> {
    let mut writes = copy_writes_in(events, namespace);
    writes.retain(|event| event.succeeded());
    writes
}

async fn standing(fixture: &Fixture) -> Result<ConfigMap> {
    fixture.config_map("app", "shared").await?.context("app/shared is gone")
}

#[tokio::test]
async fn a_config_map_that_stood_there_first_keeps_its_resource_version() -> Result<()> {
    let mut world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "ours")]).await?;
    let foreign = fixture.create_config_map("app", "shared", &[("a", "theirs")]).await?;
    let mark = world.audit().mark().await?;

    // First sync.
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    let sync = fixture.wait_reason("central", "sync", "Conflict", SOON).await?;
    ensure!(message(&sync).contains("app/shared"), "{}", message(&sync));

    // A later round, after the source has changed, and one after a restart.
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "newer"}})).await?;
    fixture.patch_sync("central", "sync", &json!({"spec": {"deletionPolicy": "Retain"}})).await?;
    fixture.wait_reason("central", "sync", "Conflict", SOON).await?;
    world.replica()?.terminate_and_restart().await?;
    world.wait_leader().await?;
    fixture.patch_sync("central", "sync", &json!({"spec": {"deletionPolicy": "Delete"}})).await?;
    fixture.wait_reason("central", "sync", "Conflict", SOON).await?;

    // Deletion.
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;

    let now = standing(&fixture).await?;
    ensure!(now.metadata.resource_version == foreign.metadata.resource_version, "{now:#?}");
    ensure!(now.metadata.uid == foreign.metadata.uid, "{now:#?}");
    let events = world.audit().since(mark).await?;
    ensure!(successes(&events, "app").is_empty(), "{}", lines(&successes(&events, "app")));
    Ok(())
}

#[tokio::test]
async fn when_it_goes_the_copy_is_created() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "ours")]).await?;
    fixture.create_config_map("app", "shared", &[("a", "theirs")]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    let sync = fixture.wait_reason("central", "sync", "Conflict", SOON).await?;
    // No round is on its way that would find the place vacant by chance.
    stays("the conflict is all there is to say", SETTLED, || async {
        let now = fixture.sync("central", "sync").await?.context("no sync")?;
        let same = now.metadata.resource_version == sync.metadata.resource_version;
        Ok(Seen::from_bool(same, || format!("{:?}", now.status)))
    })
    .await?;

    fixture.delete_config_map("app", "shared").await?;
    fixture.wait_data("app", "shared", &[("a", "ours")], SOON).await?;
    fixture.wait_reason("central", "sync", "Synced", SOON).await?;
    Ok(())
}

#[tokio::test]
async fn nor_is_it_touched_when_it_is_met_by_an_event_or_after_the_status_was_lost() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "ours")]).await?;
    let foreign = fixture.create_config_map("app", "shared", &[("a", "theirs")]).await?;
    let mark = world.audit().mark().await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Conflict", SOON).await?;

    fixture.label_namespace("app", &json!({"team": "a"})).await?;
    let syncs = Api::<ConfigMapSync>::namespaced(fixture.client(), "central");
    let lost = Patch::Merge(json!({"status": null}));
    syncs.patch_status("sync", &PatchParams::default(), &lost).await?;
    fixture.wait_reason("central", "sync", "Conflict", SOON).await?;

    let now = standing(&fixture).await?;
    ensure!(now.metadata.resource_version == foreign.metadata.resource_version, "{now:#?}");
    let events = world.audit().since(mark).await?;
    ensure!(successes(&events, "app").is_empty(), "{}", lines(&successes(&events, "app")));
    Ok(())
}

#[tokio::test]
async fn nor_when_a_retry_runs_into_it() -> Result<()> {
    let mut world = OperatorCluster::start_with(1, Options::patient()).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "ours")]).await?;
    permissions::forbid(&world.control_plane, "configmaps", &["create"]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Forbidden", SOON).await?;

    // Nobody tells the operator that it stands there now: the retry finds out.
    permissions::blind(&mut world.control_plane, "configmaps").await?;
    let foreign = fixture.create_config_map("app", "shared", &[("a", "theirs")]).await?;
    let mark = world.audit().mark().await?;
    permissions::permit_in(&world.control_plane, "app", &["create"]).await?;
    fixture.wait_reason("central", "sync", "Conflict", RETRIED).await?;
    let now = standing(&fixture).await?;
    ensure!(now.metadata.resource_version == foreign.metadata.resource_version, "{now:#?}");
    let events = world.audit().since(mark).await?;
    let mut tries = copy_writes_in(&events, "app");
    tries.retain(|event| event.response_status.code != 403);
    let codes: Vec<_> = tries.iter().map(|event| event.response_status.code).collect();
    ensure!(codes == [409], "one create was answered with a 409: {}", lines(&tries));
    Ok(())
}

#[tokio::test]
async fn nor_when_both_are_created_at_the_same_moment() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "ours")]).await?;
    // Later if theirs came first, else sooner: so soon both come at the same moment.
    let (mut theirs_first, mut delay) = (0, SHORTEST);
    for number in 0..RACES {
        let name = format!("copy-{number}");
        let mut spec = one_to_one("central", "shared", "app");
        spec.destination_name = Some(name.clone());
        fixture.create_sync("central", &name, spec).await?;
        tokio::time::sleep(delay).await;
        let theirs = fixture.create_config_map("app", &name, &[("a", "theirs")]).await;
        if let Ok(theirs) = theirs {
            fixture.wait_reason("central", &name, "Conflict", SOON).await?;
            let now = fixture.config_map("app", &name).await?.context("it is gone")?;
            let same = now.metadata.resource_version == theirs.metadata.resource_version;
            ensure!(same, "{now:#?}");
            theirs_first += 1;
            delay *= 2;
        } else {
            fixture.wait_reason("central", &name, "Synced", SOON).await?;
            delay = (delay / 2).max(SHORTEST);
        }
    }
    eprintln!("theirs came first {theirs_first} times of {RACES}");
    ensure!(theirs_first > 0 && theirs_first < RACES, "that was no race");
    Ok(())
}

#[tokio::test]
async fn a_copy_whose_identity_was_taken_off_is_left_alone_for_good() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    let off = json!({"metadata": {"labels": {names::LABEL_SYNC_UID: null}}});
    let mut identity = vec![("uid", off)];
    for (name, mark) in [("sync", names::ANNOTATION_SYNC), ("copy", names::ANNOTATION_COPY)] {
        identity.push((name, json!({"metadata": {"annotations": {mark: null}}})));
    }
    let mut taken = Vec::new();
    for (name, off) in &identity {
        fixture.create_config_map("central", name, &[("a", "1")]).await?;
        fixture.create_sync("central", name, one_to_one("central", name, "app")).await?;
        fixture.wait_reason("central", name, "Synced", SOON).await?;
        let mark = world.audit().mark().await?;
        fixture.patch_config_map("app", name, off).await?;
        fixture.wait_reason("central", name, "Conflict", SOON).await?;
        let theirs = json!({"data": {"a": "theirs now"}});
        taken.push((mark, fixture.patch_config_map("app", name, &theirs).await?));
        // Neither by a source that has changed, nor by a look at the spec, nor by deletion.
        fixture.patch_config_map("central", name, &json!({"data": {"a": "2"}})).await?;
        let other = json!({"spec": {"deletionPolicy": "Retain"}});
        fixture.patch_sync("central", name, &other).await?;
        fixture.wait_reason("central", name, "Conflict", SOON).await?;
    }
    for ((name, _), (mark, taken)) in identity.iter().zip(taken) {
        fixture.delete_sync("central", name).await?;
        fixture.wait_no_sync("central", name, SOON).await?;
        let now = fixture.config_map("app", name).await?.context("it is gone")?;
        ensure!(now.metadata.resource_version == taken.metadata.resource_version, "{name}");
        let events = world.audit().since(mark).await?;
        let mut writes = successes(&events, "app");
        writes.retain(|event| event.name() == *name);
        ensure!(writes.is_empty(), "{}", lines(&writes));
    }
    Ok(())
}

#[tokio::test]
async fn a_clone_of_a_copy_is_no_copy() -> Result<()> {
    let world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    fixture.create_namespaces(&["other"]).await?;
    fixture.one_copy(&[("a", "1")]).await?;

    let original = standing(&fixture).await?;
    let clone = fixture.create_config_map("other", "clone", &[("a", "mine")]).await?;
    let marks = json!({"metadata": {
        "labels": original.metadata.labels,
        "annotations": original.metadata.annotations,
    }});
    let marked = fixture.patch_config_map("other", "clone", &marks).await?;
    ensure!(marked.metadata.uid == clone.metadata.uid, "the same clone");
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;

    let now = fixture.config_map("other", "clone").await?.context("the clone is gone")?;
    ensure!(now.metadata.resource_version == marked.metadata.resource_version, "{now:#?}");
    Ok(())
}
