//! The metadata of a namespace, reduced to what is kept while it is decoded.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Deserialize;
use serde::Deserializer;
use serde::de::MapAccess;
use serde::de::Visitor;
use sha2::Digest as _;
use sha2::Sha256;

use crate::api::metadata::Versioned;

/// The memory of the labels that are kept of a namespace.
const MAX_LABELS: usize = 4 * 1024;
/// What a label takes in memory besides the bytes of its key and value.
const ENTRY_BYTES: usize = 64;

/// A namespace, of which only the metadata is decoded.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct StoredNamespace {
    /// Standard object metadata.
    #[serde(default)]
    pub metadata: NamespaceMetadata,
}

/// The metadata of a namespace.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespaceMetadata {
    /// `metadata.name`
    pub name: Option<String>,
    /// `metadata.uid`
    pub uid: Option<String>,
    /// `metadata.resourceVersion`
    pub resource_version: Option<String>,
    /// `metadata.deletionTimestamp`
    pub deletion_timestamp: Option<Time>,
    /// `metadata.labels`
    pub labels: Option<NamespaceLabels>,
    /// `metadata.annotations`
    pub annotations: Option<BTreeMap<String, String>>,
}

/// The labels of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NamespaceLabels {
    /// All of them.
    Whole(BTreeMap<String, String>),
    /// They would take more than 4 KiB of memory: a hash of all of them.
    Large(ShortHash),
}

/// A part of a SHA-256. Different inputs have different hashes, also if a tenant has chosen them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShortHash([u8; 16]);

/// Labels, one after the other.
#[derive(Default)]
struct Labels {
    kept: Vec<(String, String)>,
    bytes: usize,
    hasher: Sha256,
}

/// Decodes labels.
struct LabelsVisitor;

// === impl StoredNamespace ===

impl Versioned for StoredNamespace {
    fn resource_version(&self) -> Option<&String> {
        self.metadata.resource_version.as_ref()
    }
}

// === impl NamespaceLabels ===

impl NamespaceLabels {
    /// What is kept of `labels`, which are sorted by key, as in a response of the API server.
    pub fn of<'a>(labels: impl IntoIterator<Item = (&'a String, &'a String)>) -> Self {
        let mut all = Labels::default();
        for (key, value) in labels {
            all.add(key, value);
        }
        all.into_kept()
    }

    /// Whether all of them are kept.
    #[must_use]
    pub const fn are_kept(&self) -> bool {
        matches!(self, Self::Whole(_))
    }
}

impl Default for NamespaceLabels {
    fn default() -> Self {
        Self::Whole(BTreeMap::new())
    }
}

impl<'de> Deserialize<'de> for NamespaceLabels {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(LabelsVisitor)
    }
}

// === impl ShortHash ===

impl ShortHash {
    /// The hash of the bytes that `hasher` has received.
    #[must_use]
    pub fn of(hasher: Sha256) -> Self {
        let mut short = [0; 16];
        short.iter_mut().zip(hasher.finalize()).for_each(|(short, byte)| *short = byte);
        Self(short)
    }
}

// === impl Labels ===

impl Labels {
    fn add(&mut self, key: &str, value: &str) {
        for text in [key, value] {
            self.hasher.update(text.len().to_be_bytes());
            self.hasher.update(text);
        }
        self.bytes += key.len() + value.len() + ENTRY_BYTES;
        if self.bytes <= MAX_LABELS {
            self.kept.push((key.to_owned(), value.to_owned()));
        }
    }

    fn into_kept(self) -> NamespaceLabels {
        if self.bytes <= MAX_LABELS {
            NamespaceLabels::Whole(self.kept.into_iter().collect())
        } else {
            NamespaceLabels::Large(ShortHash::of(self.hasher))
        }
    }
}

// === impl LabelsVisitor ===

impl<'de> Visitor<'de> for LabelsVisitor {
    type Value = NamespaceLabels;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("labels")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<NamespaceLabels, A::Error> {
        let mut all = Labels::default();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            all.add(&key, &value);
        }
        Ok(all.into_kept())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(count: usize) -> BTreeMap<String, String> {
        (0..count).map(|number| (format!("key-{number:03}"), "v".repeat(63))).collect()
    }

    fn decoded(labels: &BTreeMap<String, String>) -> NamespaceLabels {
        let object = json!({"metadata": {"name": "a", "labels": labels, "managedFields": [{}]}});
        let text = object.to_string();
        let namespace: StoredNamespace = serde_json::from_str(&text).unwrap();
        namespace.metadata.labels.unwrap()
    }

    #[test]
    fn labels_are_kept_whole_up_to_4_kib() {
        let most = MAX_LABELS / ("key-000".len() + 63 + ENTRY_BYTES);
        assert_eq!(decoded(&labels(most)), NamespaceLabels::Whole(labels(most)));
        assert!(matches!(decoded(&labels(most + 1)), NamespaceLabels::Large(_)));
    }

    #[test]
    fn decoded_labels_have_the_hash_of_the_same_labels_in_a_map() {
        let all = labels(500);
        assert_eq!(decoded(&all), NamespaceLabels::of(&all));
        let mut other = all.clone();
        other.insert("key-499".to_owned(), "w".to_owned());
        assert_ne!(decoded(&all), NamespaceLabels::of(&other));
    }

    #[test]
    fn absent_labels_are_none() {
        for labels in [json!({"metadata": {}}), json!({"metadata": {"labels": null}})] {
            let namespace: StoredNamespace = serde_json::from_value(labels).unwrap();
            assert_eq!(namespace.metadata.labels, None);
        }
    }
}
