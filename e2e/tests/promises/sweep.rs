//! Promise: what a dead ConfigMapSync left behind goes, and nothing that somebody may still need.

mod crd;
mod restored;

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::DeletionPolicy;
use configmapsync::names;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use harness::oracle;
use harness::oracle::Recorder;
use serde_json::json;

use crate::support::orphan_collection::SWEPT;
use crate::support::orphan_collection::impatient;
use crate::support::orphan_collection::untouched;

#[tokio::test]
async fn what_a_sync_removed_by_force_leaves_is_swept_and_nothing_else() -> Result<()> {
    let mut world = OperatorCluster::start(1).await?;
    let fixture = world.fixture();
    let recorder = Recorder::start(fixture.client()).await?;
    let mark = world.audit().mark().await?;
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let copy = fixture.config_map("app", "shared").await?.context("the copy is there")?;
    let mut clone = copy.clone();
    clone.metadata.name = Some("clone".to_owned());
    let clone = fixture.clone_config_map(&clone).await?;
    let others = fixture.create_config_map("app", "others", &[("a", "1")]).await?;

    let replica = world.replica()?;
    replica.process().freeze()?;
    fixture.delete_sync_without_finalizers("central", "sync").await?;
    replica.process().thaw()?;
    fixture.wait_no_config_map("app", "shared", SWEPT).await?;
    for bystander in [clone, others] {
        untouched(&fixture, &bystander, Duration::from_secs(2)).await?;
    }
    oracle::ensure_all(&recorder.history().await?, &world.audit().since(mark).await?)
}

#[tokio::test]
async fn what_was_left_while_no_operator_ran_is_swept_after_the_grace() -> Result<()> {
    let mut world = OperatorCluster::start_with(1, impatient("15s")).await?;
    let fixture = world.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    world.replica()?.terminate_and_wait().await?;
    let copy = fixture.config_map("app", "shared").await?.context("the copy is there")?;
    fixture.delete_sync_without_finalizers("central", "sync").await?;

    world.replica()?.restart()?;
    untouched(&fixture, &copy, Duration::from_secs(6)).await?;
    fixture.wait_no_config_map("app", "shared", SWEPT).await
}

#[tokio::test]
async fn what_we_did_not_create_or_were_to_retain_is_released() -> Result<()> {
    let mut world = OperatorCluster::start_with(1, impatient("1s")).await?;
    let fixture = world.fixture();
    let recorder = Recorder::start(fixture.client()).await?;
    let mark = world.audit().mark().await?;
    fixture.create_namespaces(&["central", "app"]).await?;
    for name in ["retained", "adopted"] {
        fixture.create_config_map("central", name, &[("a", "1")]).await?;
        let mut spec = one_to_one("central", name, "app");
        if name == "retained" {
            spec.deletion_policy = DeletionPolicy::Retain;
        }
        fixture.create_sync("central", name, spec).await?;
        fixture.wait_reason("central", name, "Synced", SOON).await?;
    }
    world.replica()?.terminate_and_wait().await?;
    let not_ours = json!({"metadata": {
        "annotations": {names::ANNOTATION_CREATED: null, "note": "theirs"},
    }});
    fixture.patch_config_map("app", "adopted", &not_ours).await?;
    let mut before = Vec::new();
    for name in ["retained", "adopted"] {
        before.push(fixture.config_map("app", name).await?.context("the copy is there")?);
        fixture.delete_sync_without_finalizers("central", name).await?;
    }
    world.replica()?.restart()?;
    for (name, before) in ["retained", "adopted"].into_iter().zip(before) {
        let left = fixture
            .wait_config_map("app", name, "our marks are gone", SWEPT, |copy| {
                let labels = copy.metadata.labels.clone().unwrap_or_default();
                !labels.contains_key(names::LABEL_SYNC_UID)
            })
            .await?;
        ensure!(left.metadata.uid == before.metadata.uid, "released, not re-created");
        ensure!(left.data == before.data, "{:?}", left.data);
        let labels = left.metadata.labels.unwrap_or_default();
        ensure!(!labels.contains_key(names::LABEL_MANAGED_BY), "{labels:?}");
        let annotations = left.metadata.annotations.unwrap_or_default();
        ensure!(!annotations.keys().any(|key| key.starts_with(names::GROUP)), "{annotations:?}");
        ensure!(annotations.contains_key("note") == (name == "adopted"), "{annotations:?}");
    }
    oracle::ensure_all(&recorder.history().await?, &world.audit().since(mark).await?)
}
