//! The labels and annotations of a `ConfigMap` that are not ownership markers, as far as decisions
//! depend on them.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::hash::DefaultHasher;
use std::hash::Hash as _;
use std::hash::Hasher as _;

use serde::Deserialize;
use serde::Serialize;

use crate::decide::Markers;
use crate::decide::stamped::StampedKeys;
use crate::names;

type Map = BTreeMap<String, String>;

/// The length of all keys of others up to which they are kept. Of more, none is: if the operator has to
/// stamp one of them, it stamps the key once although it may be there, and it is ours from then on.
const MAX_OTHERS: usize = 2 * 1024;

/// Labels and annotations of a `ConfigMap` that are not ownership markers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherMetadata {
    /// Labels, without `app.kubernetes.io/managed-by`.
    pub labels: OtherKeys,
    /// Annotations.
    pub annotations: OtherKeys,
}

/// Keys of one map of strings that are not ownership markers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherKeys {
    /// The object has no such map.
    pub map_is_missing: bool,
    /// Each key, and a summary of its value.
    keys: BTreeMap<String, ValueSummary>,
}

/// Summary of the value of a label or annotation. The value itself may be long and is not cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct ValueSummary {
    hash: u64,
    /// Whether the operator stamped it.
    is_ours: bool,
}

// === impl OtherMetadata ===

impl OtherMetadata {
    /// Summarizes the metadata of a copy. The record on the copy decides which keys the operator
    /// stamped. Without a valid record, it is those of `managed`: the keys of labels and annotations
    /// that it set according to `managedFields`.
    #[must_use]
    pub fn of(
        labels: Option<&Map>,
        annotations: Option<&Map>,
        managed: (&BTreeSet<String>, &BTreeSet<String>),
    ) -> Self {
        let record = annotations.and_then(|map| map.get(names::ANNOTATION_STAMPED));
        let record = record.and_then(|text| StampedKeys::parse(text));
        Self {
            labels: OtherKeys::of(labels, |key, value| match &record {
                Some(record) => record.has_label(key, value),
                None => managed.0.contains(key),
            }),
            annotations: OtherKeys::of(annotations, |key, value| match &record {
                Some(record) => record.has_annotation(key, value),
                None => managed.1.contains(key),
            }),
        }
    }

    /// Of a `ConfigMap` that is not a copy, only whether it has labels and annotations.
    #[must_use]
    pub fn without_keys(labels: Option<&Map>, annotations: Option<&Map>) -> Self {
        let keys =
            |map: Option<&Map>| OtherKeys { map_is_missing: map.is_none(), ..OtherKeys::default() };
        Self { labels: keys(labels), annotations: keys(annotations) }
    }
}

// === impl OtherKeys ===

impl OtherKeys {
    fn of(map: Option<&Map>, is_ours: impl Fn(&str, &str) -> bool) -> Self {
        let keys = || map.into_iter().flatten().filter(|(key, _)| !is_marker(key));
        let is_kept = keys().map(|(key, _)| key.len()).sum::<usize>() <= MAX_OTHERS;
        let summary = |(key, value): (&String, &String)| {
            let is_ours = is_ours(key, value);
            let summary = || (key.clone(), ValueSummary { hash: hash(value), is_ours });
            (is_ours || is_kept).then(summary)
        };
        Self { map_is_missing: map.is_none(), keys: keys().filter_map(summary).collect() }
    }

    /// Whether the operator stamped `key`, with the present value.
    #[must_use]
    pub fn is_ours(&self, key: &str) -> bool {
        self.keys.get(key).is_some_and(|value| value.is_ours)
    }

    /// The entries of `desired` that are missing or have another value.
    pub fn missing(&self, desired: &Map) -> impl Iterator<Item = (String, String)> {
        let differs = |(key, value): &(&String, &String)| {
            self.keys.get(*key).is_none_or(|known| known.hash != hash(value))
        };
        desired.iter().filter(differs).map(|(key, value)| (key.clone(), value.clone()))
    }

    /// The keys that the operator stamped and that are no longer `desired`.
    pub fn dropped(&self, desired: &Map) -> impl Iterator<Item = String> {
        let keys = self.keys.iter().filter(|(_, value)| value.is_ours).map(|(key, _)| key);
        keys.filter(|key| !desired.contains_key(*key)).cloned()
    }
}

/// Whether `key` is an ownership marker or `app.kubernetes.io/managed-by`.
fn is_marker(key: &str) -> bool {
    key == names::LABEL_SYNC_UID
        || key == names::LABEL_MANAGED_BY
        || Markers::ANNOTATIONS.contains(&key)
}

/// Not stored outside the process, so it may differ between processes.
fn hash(value: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_very_many_keys_only_ours_are_kept() {
        let keys = (0..10_000).map(|number| (format!("key-{number}"), String::new()));
        let mut labels: Map = keys.collect();
        labels.insert("ours".to_owned(), "a".to_owned());
        let ours = BTreeSet::from(["ours".to_owned()]);
        let other = OtherMetadata::of(Some(&labels), None, (&ours, &BTreeSet::new())).labels;
        assert_eq!(other.keys.len(), 1);
        let desired = Map::from(
            [("ours", "a"), ("key-7", "")].map(|(key, value)| (key.into(), value.into())),
        );
        assert_eq!(other.missing(&desired).map(|(key, _)| key).collect::<Vec<_>>(), ["key-7"]);
        assert_eq!(other.dropped(&Map::new()).collect::<Vec<_>>(), ["ours"]);
    }
}
