//! Orphaned copies, whose ConfigMapSync no longer exists, are deleted or released after a grace
//! period. Nothing else is, such as clones of copies and foreign ConfigMaps.

mod missing_crd;
mod restored_backup;

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

use crate::support::orphan_collection::COLLECTED;
use crate::support::orphan_collection::fast_collection;
use crate::support::orphan_collection::stays_untouched;

#[tokio::test]
async fn only_copies_of_a_force_deleted_sync_are_collected() -> Result<()> {
    let mut cluster = OperatorCluster::start(1).await?;
    let fixture = cluster.fixture();
    let recorder = Recorder::start(fixture.client()).await?;
    let mark = cluster.audit().mark().await?;
    fixture.create_synced_copy(&[("a", "1")]).await?;
    let copy = fixture.config_map("app", "shared").await?.context("no copy")?;
    let mut clone = copy.clone();
    clone.metadata.name = Some("clone".to_owned());
    let clone = fixture.clone_config_map(&clone).await?;
    let foreign = fixture.create_config_map("app", "foreign", &[("a", "1")]).await?;

    let replica = cluster.replica()?;
    replica.process().freeze()?;
    fixture.delete_sync_without_finalizers("central", "sync").await?;
    replica.process().thaw()?;
    fixture.wait_no_config_map("app", "shared", COLLECTED).await?;
    for config_map in [clone, foreign] {
        stays_untouched(&fixture, &config_map, Duration::from_secs(2)).await?;
    }
    oracle::ensure_all(&recorder.history().await?, &cluster.audit().since(mark).await?)
}

#[tokio::test]
async fn orphans_are_collected_after_the_grace_period() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(1, fast_collection("15s")).await?;
    let fixture = cluster.fixture();
    fixture.create_synced_copy(&[("a", "1")]).await?;
    cluster.replica()?.terminate_and_wait().await?;
    let copy = fixture.config_map("app", "shared").await?.context("no copy")?;
    fixture.delete_sync_without_finalizers("central", "sync").await?;

    cluster.replica()?.restart()?;
    stays_untouched(&fixture, &copy, Duration::from_secs(6)).await?;
    fixture.wait_no_config_map("app", "shared", COLLECTED).await
}

#[tokio::test]
async fn adopted_and_retained_orphans_are_released() -> Result<()> {
    let mut cluster = OperatorCluster::start_with(1, fast_collection("1s")).await?;
    let fixture = cluster.fixture();
    let recorder = Recorder::start(fixture.client()).await?;
    let mark = cluster.audit().mark().await?;
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
    cluster.replica()?.terminate_and_wait().await?;
    let adopted = json!({"metadata": {
        "annotations": {names::ANNOTATION_CREATED: null, "note": "theirs"},
    }});
    fixture.patch_config_map("app", "adopted", &adopted).await?;
    let mut before = Vec::new();
    for name in ["retained", "adopted"] {
        before.push(fixture.config_map("app", name).await?.context("no copy")?);
        fixture.delete_sync_without_finalizers("central", name).await?;
    }
    cluster.replica()?.restart()?;
    for (name, before) in ["retained", "adopted"].into_iter().zip(before) {
        let left = fixture
            .wait_config_map("app", name, "the copy is released", COLLECTED, |copy| {
                let labels = copy.metadata.labels.clone().unwrap_or_default();
                !labels.contains_key(names::LABEL_SYNC_UID)
            })
            .await?;
        ensure!(
            left.metadata.uid == before.metadata.uid,
            "app/{name} was recreated instead of released"
        );
        ensure!(left.data == before.data, "{:?}", left.data);
        let labels = left.metadata.labels.unwrap_or_default();
        ensure!(!labels.contains_key(names::LABEL_MANAGED_BY), "{labels:?}");
        let annotations = left.metadata.annotations.unwrap_or_default();
        ensure!(!annotations.keys().any(|key| key.starts_with(names::GROUP)), "{annotations:?}");
        ensure!(annotations.contains_key("note") == (name == "adopted"), "{annotations:?}");
    }
    oracle::ensure_all(&recorder.history().await?, &cluster.audit().since(mark).await?)
}
