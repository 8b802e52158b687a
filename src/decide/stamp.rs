//! What has to change in the labels and annotations of a copy: our markers, and what the spec wants
//! stamped besides. Other people's labels and annotations are left alone.

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

/// What has to change in labels and annotations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// What has to change in `metadata.labels`.
    pub labels: Changes,
    /// What has to change in `metadata.annotations`.
    pub annotations: Changes,
}

/// What has to change in one map of strings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// There is no such map yet.
    pub map_is_missing: bool,
    /// Keys to add or replace.
    pub set: Map,
    /// Keys to remove; each of them is there.
    pub remove: BTreeSet<String>,
}

/// Labels and annotations of a `ConfigMap` that are not our markers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherMetadata {
    /// Labels, without `app.kubernetes.io/managed-by`.
    pub labels: OtherKeys,
    /// Annotations.
    pub annotations: OtherKeys,
}

/// Keys of one map of strings that are not our markers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OtherKeys {
    /// There is no such map.
    pub map_is_missing: bool,
    /// Each key, and what is known of its value.
    pub keys: BTreeMap<String, Value>,
}

/// What is known of the value of a label or annotation. The value itself, which may be long, is
/// not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    hash: u64,
    /// Whether our manager set it, by `managedFields`.
    pub is_ours: bool,
}

// === impl Stamp ===

impl Stamp {
    /// Turns what stands on a copy (`was`, `other`) into the markers and metadata that are wanted.
    ///
    /// The mark `created` is stamped when a copy is made and never later, so it is left as it is.
    /// Of other keys only those that we set ourselves are removed.
    #[must_use]
    pub fn to(
        was: Option<&Markers>,
        other: &OtherMetadata,
        wanted: &Markers,
        metadata: &DestinationMetadata,
    ) -> Self {
        let was = was.cloned().map(without_created);
        let wanted = without_created(wanted.clone());
        let marked = |markers: fn(&Markers) -> Map| was.as_ref().map(markers).unwrap_or_default();
        Self {
            labels: changes(
                &marked(Markers::labels),
                &other.labels,
                wanted.labels(),
                &metadata.labels,
            ),
            annotations: changes(
                &marked(Markers::annotations),
                &other.annotations,
                wanted.annotations(),
                &metadata.annotations,
            ),
        }
    }

    /// As [`Stamp::to`], for a `ConfigMap` that is taken over: a mark `created` on it was not set
    /// by us on this object, as on a clone of a copy, and goes.
    #[must_use]
    pub fn adopt(
        was: Option<&Markers>,
        other: &OtherMetadata,
        wanted: &Markers,
        metadata: &DestinationMetadata,
    ) -> Self {
        let mut stamp = Self::to(was, other, wanted, metadata);
        if was.is_some_and(|was| was.created) {
            stamp.annotations.remove.insert(names::ANNOTATION_CREATED.to_owned());
        }
        stamp
    }

    /// Takes our markers off, and the label `app.kubernetes.io/managed-by` where it names us.
    #[must_use]
    pub fn release(was: &Markers, managed_by_us: bool) -> Self {
        let label = managed_by_us.then(|| names::LABEL_MANAGED_BY.to_owned());
        let labels = was.labels().into_keys().chain(label).collect();
        let annotations = was.annotations().into_keys().collect();
        let remove = |remove| Changes { remove, ..Changes::default() };
        Self { labels: remove(labels), annotations: remove(annotations) }
    }

    /// Takes the mark off that asks for deletion, and nothing else.
    #[must_use]
    pub fn spare(was: &Markers) -> Self {
        let mark = || names::ANNOTATION_DELETION_POLICY.to_owned();
        let remove = was.deletion_policy.iter().map(|_| mark()).collect();
        let annotations = Changes { remove, ..Changes::default() };
        Self { annotations, ..Self::default() }
    }

    /// Whether nothing has to change.
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
    /// The keys of `map`, of which our manager set those that `is_ours` tells.
    #[must_use]
    pub fn of(map: Option<&Map>, is_ours: impl Fn(&str) -> bool) -> Self {
        let keys = map.into_iter().flatten().filter(|(key, _)| !is_mark(key));
        let known = |(key, value): (&String, &String)| {
            (key.clone(), Value { hash: hash(value), is_ours: is_ours(key) })
        };
        Self { map_is_missing: map.is_none(), keys: keys.map(known).collect() }
    }
}

/// Whether a label or annotation is one of our markers, or, for people, says who manages an object.
fn is_mark(key: &str) -> bool {
    key == names::LABEL_SYNC_UID
        || key == names::LABEL_MANAGED_BY
        || Markers::ANNOTATIONS.contains(&key)
}

fn without_created(markers: Markers) -> Markers {
    Markers { created: false, ..markers }
}

fn changes(was: &Map, other: &OtherKeys, markers: Map, metadata: &Map) -> Changes {
    let stale_marks = was.keys().filter(|key| !markers.contains_key(*key));
    let stale_keys = other
        .keys
        .iter()
        .filter(|(key, value)| value.is_ours && !metadata.contains_key(*key))
        .map(|(key, _)| key);
    let remove = stale_marks.chain(stale_keys).cloned().collect();
    let missing_marks = markers.into_iter().filter(|(key, value)| was.get(key) != Some(value));
    let differs = |(key, value): &(&String, &String)| {
        other.keys.get(*key).is_none_or(|known| known.hash != hash(value))
    };
    let missing_keys =
        metadata.iter().filter(differs).map(|(key, value)| (key.clone(), value.clone()));
    Changes {
        map_is_missing: other.map_is_missing,
        set: missing_marks.chain(missing_keys).collect(),
        remove,
    }
}

/// Never leaves the process, so it need not be the same in the next.
fn hash(value: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decide::markers::tests::any_marks;

    fn any_map() -> impl Strategy<Value = Map> {
        proptest::collection::btree_map("[a-d]", "[xyz]", 0..4)
    }

    /// Does to `map` what a patch would.
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
        fn a_stamped_copy_has_what_is_wanted_and_keeps_what_is_not_ours(
            was in any_marks(), wanted in any_marks(),
            others in any_map(), ours in "[a-d]{0,2}", labels in any_map(),
        ) {
            let metadata = DestinationMetadata { labels: labels.clone(), ..DestinationMetadata::default() };
            let mut map = union(was.labels(), &others);
            let other = OtherMetadata {
                labels: OtherKeys::of(Some(&map), |key| ours.contains(key)),
                ..OtherMetadata::default()
            };
            let stamp = Stamp::to(Some(&was), &other, &wanted, &metadata);
            apply(&mut map, &stamp.labels);
            let kept: Map = others.into_iter().filter(|(key, _)| !ours.contains(key.as_str())).collect();
            let expected = union(union(wanted.labels(), &kept), &labels);
            prop_assert_eq!(&map, &expected);
            let other = OtherMetadata { labels: OtherKeys::of(Some(&map), |key| labels.contains_key(key)), ..other };
            prop_assert!(Stamp::to(Some(&wanted), &other, &wanted, &metadata).is_empty());
        }

        #[test]
        fn created_is_neither_set_nor_removed(was in any_marks(), wanted in any_marks()) {
            let stamp = Stamp::to(
                Some(&was), &OtherMetadata::default(), &wanted, &DestinationMetadata::default(),
            );
            prop_assert!(!stamp.annotations.set.contains_key(names::ANNOTATION_CREATED));
            prop_assert!(!stamp.annotations.remove.contains(names::ANNOTATION_CREATED));
        }

        #[test]
        fn an_adopted_clone_does_not_count_as_created(was in any_marks(), wanted in any_marks()) {
            let was = Markers { created: true, ..was };
            let mut annotations = was.annotations();
            let stamp = Stamp::adopt(
                Some(&was), &OtherMetadata::default(), &wanted, &DestinationMetadata::default(),
            );
            apply(&mut annotations, &stamp.annotations);
            prop_assert_eq!(annotations, Markers { created: false, ..wanted }.annotations());
        }

        #[test]
        fn a_released_copy_has_no_mark(was in any_marks(), others in any_map()) {
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
