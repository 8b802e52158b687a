//! The metadata of an object, reduced to what is used. Everything else is skipped while it is decoded:
//! tenants choose how much metadata an object has.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;
use serde::Deserializer;
use serde::de::DeserializeOwned;
use serde::de::IgnoredAny;

use crate::api::namespaced_name::NamespacedName;

/// Metadata of which `managedFields` are decoded as `Managed`; by default, they are skipped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default, bound = "Managed: Default + Deserialize<'de>")]
pub struct Metadata<Managed = Skipped> {
    /// `metadata.namespace`
    pub namespace: Option<String>,
    /// `metadata.name`
    pub name: Option<String>,
    /// `metadata.uid`
    pub uid: Option<String>,
    /// `metadata.resourceVersion`
    pub resource_version: Option<String>,
    /// `metadata.generation`
    pub generation: Option<i64>,
    /// `metadata.creationTimestamp`
    pub creation_timestamp: Option<Time>,
    /// `metadata.deletionTimestamp`
    pub deletion_timestamp: Option<Time>,
    /// `metadata.labels`
    pub labels: Option<BTreeMap<String, String>>,
    /// `metadata.annotations`
    pub annotations: Option<BTreeMap<String, String>>,
    /// `metadata.finalizers`
    pub finalizers: Option<Vec<String>>,
    /// Whether `metadata.ownerReferences` has an entry.
    #[serde(rename = "ownerReferences", deserialize_with = "is_not_empty")]
    pub has_owner_references: bool,
    /// What is kept of `metadata.managedFields`.
    #[serde(deserialize_with = "or_default")]
    pub managed_fields: Managed,
}

/// A field that is skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped;

/// An object of which only the metadata is decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(bound = "Managed: Default + Deserialize<'de>")]
pub struct MetadataOnly<Managed = Skipped> {
    /// Standard object metadata.
    #[serde(default)]
    pub metadata: Metadata<Managed>,
}

/// An object with a resourceVersion.
pub trait Versioned: DeserializeOwned {
    /// `metadata.resourceVersion`
    fn resource_version(&self) -> Option<&String>;
}

// === impl Metadata ===

impl<Managed> Metadata<Managed> {
    /// Namespace and name. `None` if one is missing; the API server stores no such namespaced object.
    #[must_use]
    pub fn namespaced_name(&self) -> Option<NamespacedName> {
        Some(NamespacedName::new(self.namespace.clone()?, self.name.clone()?))
    }

    /// Whether it is that of a stored object of this name.
    #[must_use]
    pub fn is_stored_as(&self, name: &str) -> bool {
        self.uid.is_some() && self.resource_version.is_some() && self.name.as_deref() == Some(name)
    }

    /// The value of the label `key`.
    #[must_use]
    pub fn label(&self, key: &str) -> Option<&str> {
        self.labels.as_ref()?.get(key).map(String::as_str)
    }

    /// The value of the annotation `key`.
    #[must_use]
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }
}

// === impl Skipped ===

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}

// === impl MetadataOnly ===

impl<Managed: Default + DeserializeOwned> Versioned for MetadataOnly<Managed> {
    fn resource_version(&self) -> Option<&String> {
        self.metadata.resource_version.as_ref()
    }
}

/// Whether a list has an entry; `null` has none.
fn is_not_empty<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
    let list = Option::<Vec<IgnoredAny>>::deserialize(deserializer)?;
    Ok(list.is_some_and(|list| !list.is_empty()))
}

/// The default for `null`.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_used_is_kept_and_the_rest_is_skipped() {
        let json = json!({
            "name": "a", "namespace": "b", "uid": "u", "resourceVersion": "7", "generation": 3,
            "creationTimestamp": "2026-01-02T03:04:05Z", "deletionTimestamp": null,
            "labels": {"l": "1"}, "annotations": {"n": "2"}, "finalizers": ["f"],
            "ownerReferences": [{"kind": "x", "name": "y", "uid": "z", "apiVersion": "v1"}],
            "managedFields": [{"manager": "m", "fieldsV1": {"f:data": {}}}],
            "later": {"of": ["another", "version"]},
        });
        let full: ObjectMeta = serde_json::from_value(json.clone()).unwrap();
        let kept: Metadata = serde_json::from_value(json).unwrap();
        assert_eq!(kept.namespaced_name(), Some(NamespacedName::new("b", "a")));
        assert_eq!((kept.uid.as_ref(), kept.generation), (full.uid.as_ref(), full.generation));
        assert_eq!(kept.creation_timestamp, full.creation_timestamp);
        assert_eq!((kept.label("l"), kept.annotation("n")), (Some("1"), Some("2")));
        assert_eq!(kept.finalizers, full.finalizers);
        assert!(kept.has_owner_references && kept.deletion_timestamp.is_none());
    }

    #[test]
    fn nulls_and_absent_fields_are_defaults() {
        let nulls = json!({"labels": null, "ownerReferences": null, "managedFields": null});
        assert_eq!(serde_json::from_value::<Metadata>(nulls).unwrap(), Metadata::default());
        assert_eq!(serde_json::from_value::<Metadata>(json!({})).unwrap(), Metadata::default());
        let object: MetadataOnly = serde_json::from_value(json!({"kind": "x"})).unwrap();
        assert_eq!(object, MetadataOnly::default());
    }
}
