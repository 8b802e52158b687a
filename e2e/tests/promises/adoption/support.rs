//! Adoption: a spec, a foreign ConfigMap, and a check that it is released.

use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSyncSpec;
use configmapsync::api::ConflictPolicy;
use harness::fixture::Fixture;
use harness::fixture::one_to_one;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

/// A spec that copies `central/NAME` to `app/NAME`, and adopts what is there.
pub fn adopting_spec(name: &str) -> ConfigMapSyncSpec {
    ConfigMapSyncSpec {
        conflict_policy: ConflictPolicy::Adopt,
        ..one_to_one("central", name, "app")
    }
}

/// Creates a source, and at its destination a foreign ConfigMap with a label. Returns the latter.
pub async fn create_source_and_foreign(fixture: &Fixture, name: &str) -> Result<ConfigMap> {
    fixture.create_config_map("central", name, &[("a", "ours")]).await?;
    fixture.create_config_map("app", name, &[("a", "theirs"), ("b", "theirs")]).await?;
    let theirs = json!({"metadata": {"labels": {"owner": "them"}}});
    fixture.patch_config_map("app", name, &theirs).await
}

/// Fails unless `left` is the adopted object with its own label and without our markers.
pub fn ensure_released(before: &ConfigMap, left: &ConfigMap) -> Result<()> {
    ensure!(
        left.metadata.uid == before.metadata.uid,
        "the ConfigMap was recreated instead of released"
    );
    let labels = left.metadata.labels.clone().unwrap_or_default();
    ensure!(labels.len() == 1 && labels.contains_key("owner"), "{labels:?}");
    let annotations = left.metadata.annotations.clone().unwrap_or_default();
    ensure!(annotations.is_empty(), "{annotations:?}");
    Ok(())
}
