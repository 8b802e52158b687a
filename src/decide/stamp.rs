//! Changes of the labels and annotations of a copy: the ownership markers and
//! `spec.destinationMetadata`. Labels and annotations that other clients set are kept.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::hash::DefaultHasher;
use std::hash::Hash as _;
use std::hash::Hasher as _;

use serde::Deserialize;
use serde::Serialize;

use crate::api::DestinationMetadata;
use crate::decide::Markers;
use crate::names;

type Map = BTreeMap<String, String>;

/// Changes of labels and annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Changes of `metadata.labels`.
    pub labels: Changes,
    /// Changes of `metadata.annotations`.
    pub annotations: Changes,
}

/// Changes of one map of strings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// The object has no such map yet.
    pub map_is_missing: bool,
    /// Keys to add or replace.
    pub set: Map,
    /// Keys to remove, all of which exist: a JSON patch that removes a missing key fails.
    pub remove: BTreeSet<String>,
}

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
    pub keys: BTreeMap<String, ValueSummary>,
}

/// Summary of the value of a label or annotation. The value itself may be long and is not cached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValueSummary {
    hash: u64,
    /// Whether our field manager set it, according to `managedFields`.
    pub is_ours: bool,
}

// === impl Stamp ===

impl Stamp {
    /// The changes that turn the present markers (`was`) and metadata (`other`) of a copy into
    /// `desired` and `metadata`.
    ///
    /// The marker `created` is set only when a copy is created, so it is never changed here. Other
    /// keys are removed only if our field manager set them.
    #[must_use]
    pub fn to(
        was: Option<&Markers>,
        other: &OtherMetadata,
        desired: &Markers,
        metadata: &DestinationMetadata,
    ) -> Self {
        let was = was.cloned().map(without_created);
        let desired = without_created(desired.clone());
        let marked = |markers: fn(&Markers) -> Map| was.as_ref().map(markers).unwrap_or_default();
        Self {
            labels: changes(
                &marked(Markers::labels),
                &other.labels,
                desired.labels(),
                &metadata.labels,
            ),
            annotations: changes(
                &marked(Markers::annotations),
                &other.annotations,
                desired.annotations(),
                &metadata.annotations,
            ),
        }
    }

    /// As [`Stamp::to`], for a `ConfigMap` that is adopted. It also removes the marker `created`:
    /// on a foreign object, for example a clone of a copy, the operator did not set it.
    #[must_use]
    pub fn adopt(
        was: Option<&Markers>,
        other: &OtherMetadata,
        desired: &Markers,
        metadata: &DestinationMetadata,
    ) -> Self {
        let mut stamp = Self::to(was, other, desired, metadata);
        if was.is_some_and(|was| was.created) {
            stamp.annotations.remove.insert(names::ANNOTATION_CREATED.to_owned());
        }
        stamp
    }

    /// Removes all markers, and the label `app.kubernetes.io/managed-by` if `managed_by_us`.
    #[must_use]
    pub fn release(was: &Markers, managed_by_us: bool) -> Self {
        let label = managed_by_us.then(|| names::LABEL_MANAGED_BY.to_owned());
        let labels = was.labels().into_keys().chain(label).collect();
        let annotations = was.annotations().into_keys().collect();
        let remove = |remove| Changes { remove, ..Changes::default() };
        Self { labels: remove(labels), annotations: remove(annotations) }
    }

    /// Removes the recorded deletion policy, and nothing else.
    #[must_use]
    pub fn clear_deletion_policy(was: &Markers) -> Self {
        let key = || names::ANNOTATION_DELETION_POLICY.to_owned();
        let remove = was.deletion_policy.iter().map(|_| key()).collect();
        let annotations = Changes { remove, ..Changes::default() };
        Self { annotations, ..Self::default() }
    }

    /// Whether there are no changes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty()
    }
}

// === impl Changes ===

impl Changes {
    fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }
}

// === impl OtherKeys ===

impl OtherKeys {
    /// Summarizes `map`. `is_ours` decides whether our field manager set a key.
    #[must_use]
    pub fn of(map: Option<&Map>, is_ours: impl Fn(&str) -> bool) -> Self {
        let keys = map.into_iter().flatten().filter(|(key, _)| !is_marker(key));
        let known = |(key, value): (&String, &String)| {
            (key.clone(), ValueSummary { hash: hash(value), is_ours: is_ours(key) })
        };
        Self { map_is_missing: map.is_none(), keys: keys.map(known).collect() }
    }
}

/// Whether `key` is an ownership marker or `app.kubernetes.io/managed-by`.
fn is_marker(key: &str) -> bool {
    key == names::LABEL_SYNC_UID
        || key == names::LABEL_MANAGED_BY
        || Markers::ANNOTATIONS.contains(&key)
}

fn without_created(markers: Markers) -> Markers {
    Markers { created: false, ..markers }
}

fn changes(was: &Map, other: &OtherKeys, markers: Map, metadata: &Map) -> Changes {
    let stale_markers = was.keys().filter(|key| !markers.contains_key(*key));
    let stale_keys = other
        .keys
        .iter()
        .filter(|(key, value)| value.is_ours && !metadata.contains_key(*key))
        .map(|(key, _)| key);
    let remove = stale_markers.chain(stale_keys).cloned().collect();
    let missing_markers = markers.into_iter().filter(|(key, value)| was.get(key) != Some(value));
    let differs = |(key, value): &(&String, &String)| {
        other.keys.get(*key).is_none_or(|known| known.hash != hash(value))
    };
    let missing_keys =
        metadata.iter().filter(differs).map(|(key, value)| (key.clone(), value.clone()));
    Changes {
        map_is_missing: other.map_is_missing,
        set: missing_markers.chain(missing_keys).collect(),
        remove,
    }
}

/// Not stored outside the process, so it may differ between processes.
fn hash(value: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decide::markers::tests::any_markers;

    fn any_map() -> impl Strategy<Value = Map> {
        proptest::collection::btree_map("[a-d]", "[xyz]", 0..4)
    }

    /// Applies `changes` as a JSON patch would.
    fn apply(map: &mut Map, changes: &Changes) {
        for key in &changes.remove {
            assert!(map.remove(key).is_some(), "a patch that removes {key:?} would fail");
        }
        map.extend(changes.set.clone());
    }

    fn union(markers: Map, others: &Map) -> Map {
        markers.into_iter().chain(others.clone()).collect()
    }

    proptest! {
        #[test]
        fn stamping_sets_desired_keys_and_keeps_foreign_keys(
            was in any_markers(), desired in any_markers(),
            others in any_map(), ours in "[a-d]{0,2}", labels in any_map(),
        ) {
            let metadata = DestinationMetadata { labels: labels.clone(), ..DestinationMetadata::default() };
            let mut map = union(was.labels(), &others);
            let other = OtherMetadata {
                labels: OtherKeys::of(Some(&map), |key| ours.contains(key)),
                ..OtherMetadata::default()
            };
            let stamp = Stamp::to(Some(&was), &other, &desired, &metadata);
            apply(&mut map, &stamp.labels);
            let kept: Map = others.into_iter().filter(|(key, _)| !ours.contains(key.as_str())).collect();
            let expected = union(union(desired.labels(), &kept), &labels);
            prop_assert_eq!(&map, &expected);
            let other = OtherMetadata { labels: OtherKeys::of(Some(&map), |key| labels.contains_key(key)), ..other };
            prop_assert!(Stamp::to(Some(&desired), &other, &desired, &metadata).is_empty());
        }

        #[test]
        fn created_is_neither_set_nor_removed(was in any_markers(), desired in any_markers()) {
            let stamp = Stamp::to(
                Some(&was), &OtherMetadata::default(), &desired, &DestinationMetadata::default(),
            );
            prop_assert!(!stamp.annotations.set.contains_key(names::ANNOTATION_CREATED));
            prop_assert!(!stamp.annotations.remove.contains(names::ANNOTATION_CREATED));
        }

        #[test]
        fn adoption_removes_the_created_marker(was in any_markers(), desired in any_markers()) {
            let was = Markers { created: true, ..was };
            let mut annotations = was.annotations();
            let stamp = Stamp::adopt(
                Some(&was), &OtherMetadata::default(), &desired, &DestinationMetadata::default(),
            );
            apply(&mut annotations, &stamp.annotations);
            prop_assert_eq!(annotations, Markers { created: false, ..desired }.annotations());
        }

        #[test]
        fn a_released_copy_has_no_markers(was in any_markers(), others in any_map()) {
            let mut labels = union(was.labels(), &others);
            let mut annotations = union(was.annotations(), &others);
            let stamp = Stamp::release(&was, false);
            apply(&mut labels, &stamp.labels);
            apply(&mut annotations, &stamp.annotations);
            prop_assert_eq!(&labels, &others);
            prop_assert_eq!(&annotations, &others);
        }
    }
}
