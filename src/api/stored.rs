//! A `ConfigMapSync` as it may lie in storage.
//!
//! An object stored before a rule existed may have a spec that cannot be read. It must neither
//! stop the watch nor escape deletion, so the doubt is kept where it belongs: in the spec.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use serde::Deserialize;
use serde::Deserializer;

use crate::api::ConfigMapSync;
use crate::api::ConfigMapSyncSpec;
use crate::api::ConfigMapSyncStatus;
use crate::api::namespaced_name::NamespacedName;

/// A `ConfigMapSync` whose spec may not be readable.
#[derive(Clone, Debug, Deserialize)]
pub struct StoredConfigMapSync {
    /// Standard object metadata.
    #[serde(default)]
    pub metadata: ObjectMeta,
    /// The spec, or what is wrong with it.
    #[serde(default = "missing_spec", deserialize_with = "spec_or_complaint")]
    pub spec: Result<ConfigMapSyncSpec, String>,
    /// The status; empty if there is none, or none that can be read. It is only a cache.
    #[serde(default, deserialize_with = "status_or_default")]
    pub status: ConfigMapSyncStatus,
}

// === impl StoredConfigMapSync ===

impl StoredConfigMapSync {
    /// Namespace and name, which every object in storage has.
    #[must_use]
    pub fn namespaced_name(&self) -> Option<NamespacedName> {
        let ObjectMeta { namespace, name, .. } = &self.metadata;
        Some(NamespacedName::new(namespace.clone()?, name.clone()?))
    }
}

impl Resource for StoredConfigMapSync {
    type DynamicType = ();
    type Scope = <ConfigMapSync as Resource>::Scope;

    fn kind((): &()) -> Cow<'_, str> {
        ConfigMapSync::kind(&())
    }

    fn group((): &()) -> Cow<'_, str> {
        ConfigMapSync::group(&())
    }

    fn version((): &()) -> Cow<'_, str> {
        ConfigMapSync::version(&())
    }

    fn plural((): &()) -> Cow<'_, str> {
        ConfigMapSync::plural(&())
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

fn missing_spec() -> Result<ConfigMapSyncSpec, String> {
    Err("spec is missing".to_owned())
}

fn spec_or_complaint<'de, D>(deserializer: D) -> Result<Result<ConfigMapSyncSpec, String>, D::Error>
where
    D: Deserializer<'de>,
{
    let raw = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(raw).map_err(|error| format!("spec cannot be read: {error}")))
}

fn status_or_default<'de, D>(deserializer: D) -> Result<ConfigMapSyncStatus, D::Error>
where
    D: Deserializer<'de>,
{
    let raw = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(raw).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn stored(value: serde_json::Value) -> StoredConfigMapSync {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_spec_that_cannot_be_read_leaves_the_metadata_readable() {
        let sync = stored(json!({
            "metadata": {"name": "a", "namespace": "b"},
            "spec": {"sourceNamespace": 7},
        }));
        assert_eq!(sync.metadata.name.as_deref(), Some("a"));
        assert!(sync.spec.unwrap_err().contains("spec cannot be read"));
    }

    #[test]
    fn a_missing_spec_is_said() {
        assert_eq!(stored(json!({"metadata": {}})).spec, Err("spec is missing".to_owned()));
    }

    #[test]
    fn a_status_that_cannot_be_read_counts_as_lost() {
        let sync = stored(json!({"metadata": {}, "spec": {}, "status": {"conditions": "many"}}));
        assert_eq!(sync.status, ConfigMapSyncStatus::default());
    }
}
