//! A `ConfigMapSync` as stored in the API server, possibly with an invalid spec.
//!
//! An object that was stored before a validation rule existed may have a spec that cannot be parsed.
//! It must neither end the watch nor block its own deletion, so a parse error is kept as the value of
//! `spec`.

use serde::Deserialize;
use serde::Deserializer;

use crate::api::ConfigMapSyncSpec;
use crate::api::ConfigMapSyncStatus;
use crate::api::metadata::Metadata;
use crate::api::metadata::Versioned;
use crate::api::namespaced_name::NamespacedName;

/// A `ConfigMapSync` whose spec may be invalid.
#[derive(Clone, Debug, Deserialize)]
pub struct StoredConfigMapSync {
    /// Standard object metadata.
    #[serde(default)]
    pub metadata: Metadata,
    /// The spec, or why it cannot be parsed.
    #[serde(default = "missing_spec", deserialize_with = "spec_or_error")]
    pub spec: Result<ConfigMapSyncSpec, String>,
    /// The status; empty if it is missing or cannot be parsed. It serves only as a cache, and the
    /// next reconcile writes it again.
    #[serde(default, deserialize_with = "status_or_default")]
    pub status: ConfigMapSyncStatus,
}

// === impl StoredConfigMapSync ===

impl StoredConfigMapSync {
    /// Namespace and name. `None` if one is missing; the API server stores no such object.
    #[must_use]
    pub fn namespaced_name(&self) -> Option<NamespacedName> {
        self.metadata.namespaced_name()
    }
}

impl Versioned for StoredConfigMapSync {
    fn resource_version(&self) -> Option<&String> {
        self.metadata.resource_version.as_ref()
    }
}

fn missing_spec() -> Result<ConfigMapSyncSpec, String> {
    Err("spec is missing".to_owned())
}

fn spec_or_error<'de, D>(deserializer: D) -> Result<Result<ConfigMapSyncSpec, String>, D::Error>
where
    D: Deserializer<'de>,
{
    let raw = serde_json::Value::deserialize(deserializer)?;
    Ok(serde_json::from_value(raw).map_err(|error| format!("spec cannot be parsed: {error}")))
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
    fn an_invalid_spec_does_not_affect_the_metadata() {
        let sync = stored(json!({
            "metadata": {"name": "a", "namespace": "b"},
            "spec": {"sourceNamespace": 7},
        }));
        assert_eq!(sync.metadata.name.as_deref(), Some("a"));
        assert!(sync.spec.unwrap_err().contains("spec cannot be parsed"));
    }

    #[test]
    fn a_missing_spec_is_reported() {
        assert_eq!(stored(json!({"metadata": {}})).spec, Err("spec is missing".to_owned()));
    }

    #[test]
    fn an_invalid_status_is_treated_as_missing() {
        let sync = stored(json!({"metadata": {}, "spec": {}, "status": {"conditions": "many"}}));
        assert_eq!(sync.status, ConfigMapSyncStatus::default());
    }
}
