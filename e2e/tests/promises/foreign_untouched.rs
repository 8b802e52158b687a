//! A ConfigMap without the ownership markers of the ConfigMapSync is never written, on any path.

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

/// Long enough for the reconcile that follows our own write to end.
const SETTLED: Duration = Duration::from_secs(2);
/// How often the operator and another client create the same ConfigMap.
const RACES: u64 = 40;
/// Minimum delay of the other client.
const MIN_DELAY: Duration = Duration::from_millis(1);
/// Deadline of a retry, after refusals for as long as a restart of the API server takes.
const RETRIED: Duration = Duration::from_mins(3);

/// Writes of ConfigMaps that succeeded, by the operator, in `namespace`.
fn successes<'a>(events: &'a [Event], namespace: &str) -> Vec<&'a Event> {
    let mut writes = copy_writes_in(events, namespace);
    writes.retain(|event| event.succeeded());
    writes
}

/// The ConfigMap at the destination.
async fn destination(fixture: &Fixture) -> Result<ConfigMap> {
    fixture.config_map("app", "shared").await?.context("app/shared was deleted")
}

#[tokio::test]
async fn an_existing_config_map_is_not_written() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "ours")]).await?;
    let foreign = fixture.create_config_map("app", "shared", &[("a", "theirs")]).await?;
    let mark = cluster.audit().mark().await?;

    // On creation of the ConfigMapSync.
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    let sync = fixture.wait_reason("central", "sync", "Conflict", SOON).await?;
    ensure!(message(&sync).contains("app/shared"), "{}", message(&sync));

    // On a change of the source and of the spec, and after a restart.
    fixture.patch_config_map("central", "shared", &json!({"data": {"a": "newer"}})).await?;
    fixture.patch_sync("central", "sync", &json!({"spec": {"deletionPolicy": "Retain"}})).await?;
    fixture.wait_reason("central", "sync", "Conflict", SOON).await?;
    cluster.replica()?.terminate_and_restart().await?;
    cluster.wait_leader().await?;
    fixture.patch_sync("central", "sync", &json!({"spec": {"deletionPolicy": "Delete"}})).await?;
    fixture.wait_reason("central", "sync", "Conflict", SOON).await?;

    // On deletion.
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;

    let now = destination(&fixture).await?;
    ensure!(now.metadata.resource_version == foreign.metadata.resource_version, "{now:#?}");
    ensure!(now.metadata.uid == foreign.metadata.uid, "{now:#?}");
    let events = cluster.audit().since(mark).await?;
    ensure!(successes(&events, "app").is_empty(), "{}", lines(&successes(&events, "app")));
    Ok(())
}

#[tokio::test]
async fn a_copy_is_created_once_the_foreign_config_map_is_gone() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "ours")]).await?;
    fixture.create_config_map("app", "shared", &[("a", "theirs")]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    let sync = fixture.wait_reason("central", "sync", "Conflict", SOON).await?;
    // No reconcile is running that would find the destination missing by chance.
    stays("the ConfigMapSync is not written", SETTLED, || async {
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
async fn foreign_survives_events_and_a_lost_status() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "ours")]).await?;
    let foreign = fixture.create_config_map("app", "shared", &[("a", "theirs")]).await?;
    let mark = cluster.audit().mark().await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Conflict", SOON).await?;

    fixture.label_namespace("app", &json!({"team": "a"})).await?;
    let syncs = Api::<ConfigMapSync>::namespaced(fixture.client(), "central");
    let lost = Patch::Merge(json!({"status": null}));
    syncs.patch_status("sync", &PatchParams::default(), &lost).await?;
    fixture.wait_reason("central", "sync", "Conflict", SOON).await?;

    let now = destination(&fixture).await?;
    ensure!(now.metadata.resource_version == foreign.metadata.resource_version, "{now:#?}");
    let events = cluster.audit().since(mark).await?;
    ensure!(successes(&events, "app").is_empty(), "{}", lines(&successes(&events, "app")));
    Ok(())
}

#[tokio::test]
async fn foreign_survives_a_retry() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(1, Options::patient()).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "ours")]).await?;
    permissions::revoke(&cluster.control_plane, "configmaps", &["create"]).await?;
    fixture.create_sync("central", "sync", one_to_one("central", "shared", "app")).await?;
    fixture.wait_reason("central", "sync", "Forbidden", SOON).await?;

    // The watch cannot deliver the foreign ConfigMap: the retry must find it.
    permissions::stop_watch(&mut cluster.control_plane, "configmaps").await?;
    let foreign = fixture.create_config_map("app", "shared", &[("a", "theirs")]).await?;
    let mark = cluster.audit().mark().await?;
    permissions::grant_in(&cluster.control_plane, "app", &["create"]).await?;
    fixture.wait_reason("central", "sync", "Conflict", RETRIED).await?;
    let now = destination(&fixture).await?;
    ensure!(now.metadata.resource_version == foreign.metadata.resource_version, "{now:#?}");
    let events = cluster.audit().since(mark).await?;
    let mut writes = copy_writes_in(&events, "app");
    writes.retain(|event| event.response_status.code != 403);
    let codes: Vec<_> = writes.iter().map(|event| event.response_status.code).collect();
    ensure!(codes == [409], "expected one create that fails with 409: {}", lines(&writes));
    Ok(())
}

#[tokio::test]
async fn foreign_survives_a_simultaneous_create() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    fixture.create_config_map("central", "shared", &[("a", "ours")]).await?;
    // Adjusted after each race, until both creates arrive at the same moment.
    let (mut foreign_first, mut delay) = (0, MIN_DELAY);
    for number in 0..RACES {
        let name = format!("copy-{number}");
        let mut spec = one_to_one("central", "shared", "app");
        spec.destination_name = Some(name.clone());
        fixture.create_sync("central", &name, spec).await?;
        tokio::time::sleep(delay).await;
        let theirs = fixture.create_config_map("app", &name, &[("a", "theirs")]).await;
        if let Ok(theirs) = theirs {
            fixture.wait_reason("central", &name, "Conflict", SOON).await?;
            let now = fixture
                .config_map("app", &name)
                .await?
                .context("the foreign ConfigMap was deleted")?;
            let same = now.metadata.resource_version == theirs.metadata.resource_version;
            ensure!(same, "{now:#?}");
            foreign_first += 1;
            delay *= 2;
        } else {
            fixture.wait_reason("central", &name, "Synced", SOON).await?;
            delay = (delay / 2).max(MIN_DELAY);
        }
    }
    eprintln!("the other client was first in {foreign_first} of {RACES} races");
    ensure!(foreign_first > 0 && foreign_first < RACES, "every race had the same winner");
    Ok(())
}

#[tokio::test]
async fn a_copy_without_identity_markers_is_not_written() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "app"]).await?;
    let off = json!({"metadata": {"labels": {names::LABEL_SYNC_UID: null}}});
    let mut identity = vec![("uid", off)];
    for (name, marker) in [("sync", names::ANNOTATION_SYNC), ("copy", names::ANNOTATION_COPY)] {
        identity.push((name, json!({"metadata": {"annotations": {marker: null}}})));
    }
    let mut taken = Vec::new();
    for (name, off) in &identity {
        fixture.create_config_map("central", name, &[("a", "1")]).await?;
        fixture.create_sync("central", name, one_to_one("central", name, "app")).await?;
        fixture.wait_reason("central", name, "Synced", SOON).await?;
        let mark = cluster.audit().mark().await?;
        fixture.patch_config_map("app", name, off).await?;
        fixture.wait_reason("central", name, "Conflict", SOON).await?;
        let theirs = json!({"data": {"a": "theirs now"}});
        taken.push((mark, fixture.patch_config_map("app", name, &theirs).await?));
        // A change of the source, a change of the spec and the deletion do not write it.
        fixture.patch_config_map("central", name, &json!({"data": {"a": "2"}})).await?;
        let other = json!({"spec": {"deletionPolicy": "Retain"}});
        fixture.patch_sync("central", name, &other).await?;
        fixture.wait_reason("central", name, "Conflict", SOON).await?;
    }
    for ((name, _), (mark, taken)) in identity.iter().zip(taken) {
        fixture.delete_sync("central", name).await?;
        fixture.wait_no_sync("central", name, SOON).await?;
        let now =
            fixture.config_map("app", name).await?.context("the foreign ConfigMap was deleted")?;
        ensure!(now.metadata.resource_version == taken.metadata.resource_version, "{name}");
        let events = cluster.audit().since(mark).await?;
        let mut writes = successes(&events, "app");
        writes.retain(|event| event.name() == *name);
        ensure!(writes.is_empty(), "{}", lines(&writes));
    }
    Ok(())
}

#[tokio::test]
async fn a_clone_of_a_copy_is_not_deleted() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["other"]).await?;
    fixture.create_synced_copy(&[("a", "1")]).await?;

    let original = destination(&fixture).await?;
    let clone = fixture.create_config_map("other", "clone", &[("a", "mine")]).await?;
    let markers = json!({"metadata": {
        "labels": original.metadata.labels,
        "annotations": original.metadata.annotations,
    }});
    let marked = fixture.patch_config_map("other", "clone", &markers).await?;
    ensure!(marked.metadata.uid == clone.metadata.uid, "the clone was recreated");
    fixture.delete_sync("central", "sync").await?;
    fixture.wait_no_sync("central", "sync", SOON).await?;

    let now = fixture.config_map("other", "clone").await?.context("the clone is gone")?;
    ensure!(now.metadata.resource_version == marked.metadata.resource_version, "{now:#?}");
    Ok(())
}
