//! A copy is never a source: no chain or ring of copies can form, and no copy can become its own
//! source.

use std::collections::BTreeMap;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use configmapsync::names;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use serde_json::json;
use testbed::audit::lines;
use testbed::wait::Seen;

use crate::support::audit::copy_writes;
use crate::support::conditions::message;
use crate::support::conditions::reason;
use crate::support::syncs::wait_syncs;

const RING: [&str; 4] = ["a", "b", "c", "d"];

/// Waits until the syncs of `central` have these reasons.
async fn wait_reasons(fixture: &Fixture, wanted: &[(&str, &str)]) -> Result<()> {
    let what = format!("the reasons in the namespace central are {wanted:?}");
    let check = |syncs: &BTreeMap<String, ConfigMapSync>| {
        let seen = syncs.iter().map(|(name, sync)| (name.clone(), reason(sync)));
        let seen: BTreeMap<_, _> = seen.collect();
        let fits =
            wanted.iter().all(|(name, reason)| seen.get(*name).is_some_and(|it| it == reason));
        Seen::from_bool(fits, || format!("{seen:?}"))
    };
    wait_syncs(fixture, "central", &what, SOON, check).await
}

#[tokio::test]
async fn a_copy_is_not_copied_back_to_its_source() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "a", "b"]).await?;
    let source = fixture.create_config_map("a", "shared", &[("a", "1")]).await?;
    fixture.create_sync("central", "there", one_to_one("a", "shared", "b")).await?;
    fixture.wait_reason("central", "there", "Synced", SOON).await?;

    let mark = cluster.audit().mark().await?;
    fixture.create_sync("central", "back", one_to_one("b", "shared", "a")).await?;
    let back = fixture.wait_reason("central", "back", "SourceIsCopy", SOON).await?;
    let message = message(&back);
    ensure!(message.contains("b/shared is itself a copy"), "{message}");
    let stalled = back.status.iter().flat_map(|status| &status.conditions);
    let stalled = stalled.filter(|it| it.type_ == "Stalled" && it.status == "True");
    ensure!(stalled.count() == 1, "the ConfigMapSync is not Stalled: {:?}", back.status);
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes(&events);
    ensure!(writes.is_empty(), "{}", lines(&writes));
    // An edit reaches the copy and nothing else.
    fixture.patch_config_map("a", "shared", &json!({"data": {"a": "2"}})).await?;
    fixture.wait_data("b", "shared", &[("a", "2")], SOON).await?;
    wait_reasons(&fixture, &[("there", "Synced"), ("back", "SourceIsCopy")]).await?;
    let now = fixture.config_map("a", "shared").await?.context("the source is gone")?;
    ensure!(
        now.metadata.uid == source.metadata.uid && now.metadata.labels.is_none(),
        "the source was replaced or marked: {now:#?}"
    );
    Ok(())
}

/// Creates a ConfigMapSync from each namespace to the next, and from the last to the first.
async fn create_ring(fixture: &Fixture) -> Result<()> {
    for (at, from) in RING.iter().enumerate() {
        let to = RING[(at + 1) % RING.len()];
        fixture.create_sync("central", from, one_to_one(from, "shared", to)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_ring_of_syncs_stops_after_the_first_copy() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central"]).await?;
    fixture.create_namespaces(&RING).await?;
    create_ring(&fixture).await?;
    wait_reasons(&fixture, &RING.map(|name| (name, "SourceNotFound"))).await?;

    let mark = cluster.audit().mark().await?;
    fixture.create_config_map("a", "shared", &[("a", "1")]).await?;
    let cut = [("a", "Synced"), ("b", "SourceIsCopy"), ("c", "SourceNotFound")];
    wait_reasons(&fixture, &cut).await?;
    for value in ["2", "3"] {
        fixture.patch_config_map("a", "shared", &json!({"data": {"a": value}})).await?;
        fixture.wait_data("b", "shared", &[("a", value)], SOON).await?;
    }
    wait_reasons(&fixture, &cut).await?;
    ensure!(fixture.config_map("c", "shared").await?.is_none(), "the copy was copied");
    ensure!(fixture.config_map("d", "shared").await?.is_none(), "the copy was copied");
    let events = cluster.audit().since(mark).await?;
    let writes = copy_writes(&events);
    let only_b = writes.iter().all(|event| event.namespace() == "b");
    ensure!(writes.len() == 3 && only_b, "{}", lines(&writes));
    Ok(())
}

#[tokio::test]
async fn a_source_that_becomes_a_copy_is_no_longer_copied() -> Result<()> {
    let cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "a", "b", "c"]).await?;
    fixture.create_config_map("b", "shared", &[("a", "b's own")]).await?;
    fixture.create_sync("central", "later", one_to_one("b", "shared", "c")).await?;
    fixture.wait_reason("central", "later", "Synced", SOON).await?;
    let copy = fixture.config_map("c", "shared").await?.context("no copy")?;

    fixture.create_config_map("a", "shared", &[("a", "from a")]).await?;
    fixture.create_sync("central", "first", one_to_one("a", "shared", "b")).await?;
    wait_reasons(&fixture, &[("first", "Conflict"), ("later", "Synced")]).await?;
    fixture.delete_config_map("b", "shared").await?;
    wait_reasons(&fixture, &[("first", "Synced"), ("later", "SourceIsCopy")]).await?;
    let kept = fixture.wait_data("c", "shared", &[("a", "b's own")], SOON).await?;
    ensure!(
        kept.metadata.resource_version == copy.metadata.resource_version,
        "the copy c/shared was written"
    );
    Ok(())
}

#[tokio::test]
async fn an_orphaned_copy_is_not_copied() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    fixture.create_namespaces(&["central", "a", "b"]).await?;
    fixture.create_config_map("a", "shared", &[("a", "1")]).await?;
    fixture.create_sync("central", "there", one_to_one("a", "shared", "b")).await?;
    fixture.wait_reason("central", "there", "Synced", SOON).await?;
    // While the operator is down, the ConfigMapSync and the source are deleted, and the orphaned
    // copy becomes the source of two others, one of them for the namespace of the old source.
    cluster.replica()?.terminate_and_wait().await?;
    fixture.patch_sync("central", "there", &json!({"metadata": {"finalizers": null}})).await?;
    fixture.delete_sync("central", "there").await?;
    fixture.delete_config_map("a", "shared").await?;
    fixture.create_sync("central", "back", one_to_one("b", "shared", "a")).await?;
    fixture.create_sync("central", "on", one_to_one("b", "shared", "central")).await?;
    let mark = cluster.audit().mark().await?;
    cluster.replica()?.restart()?;
    wait_reasons(&fixture, &[("back", "SourceIsCopy"), ("on", "SourceIsCopy")]).await?;
    let events = cluster.audit().since(mark).await?;
    let mut writes = copy_writes(&events);
    writes.retain(|event| event.verb != "delete");
    ensure!(writes.is_empty(), "{}", lines(&writes));

    // Once a user has removed the markers, it is an ordinary ConfigMap.
    let released = json!({"metadata": {
        "labels": {names::LABEL_SYNC_UID: null},
        "annotations": {names::ANNOTATION_SYNC: null, names::ANNOTATION_COPY: null},
    }});
    fixture.patch_config_map("b", "shared", &released).await?;
    fixture.wait_data("a", "shared", &[("a", "1")], SOON).await?;
    wait_reasons(&fixture, &[("back", "Synced"), ("on", "Synced")]).await
}
