//! The ownership markers of a copy: labels and annotations that record to which `ConfigMapSync` it
//! belongs and in which state it should be.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use crate::api::DeletionPolicy;
use crate::api::namespaced_name::NamespacedName;
use crate::api::uid;
use crate::decide::ContentHash;
use crate::names;

/// The ownership markers on a `ConfigMap` that has the uid label.
///
/// `sync_uid`, `sync` and `copy` are the *identity*: if one is missing or different, the `ConfigMap`
/// is not ours. The others are *state*: they are repaired like data, except
/// [`created`](Self::created). The record of stamped keys, [`names::ANNOTATION_STAMPED`], depends on
/// the history of the copy and is not part of this: see [`StampedKeys`](crate::decide::stamped).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Markers {
    /// uid of the `ConfigMapSync`.
    #[serde(with = "uid")]
    pub sync_uid: String,
    /// `namespace/name` of the `ConfigMapSync`.
    pub sync: Option<String>,
    /// `namespace/name` of the copy itself.
    pub copy: Option<String>,
    /// `namespace/name` of the source.
    pub source: Option<String>,
    /// Hash of the desired content and metadata.
    pub content_hash: Option<ContentHash>,
    /// Whether the operator created the object. The marker is set by the request that creates the
    /// object, and never later. If a user removes it, the object is never deleted.
    pub created: bool,
    /// The recorded deletion policy: `Delete`, or missing. An edited copy may have any value.
    pub deletion_policy: Option<String>,
}

/// Which ownership markers an object has, whatever their values. Known without the uid label, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarkerKeys {
    label: bool,
    /// Bit n is set if the object has the n-th of [`Markers::ANNOTATIONS`].
    annotations: u8,
}

type Map = BTreeMap<String, String>;

/// More characters than the operator writes in a marker: a namespace of 63, `/`, and a name of 253.
const MAX_VALUE: usize = 320;

// === impl Markers ===

impl Markers {
    /// The keys of the markers that are annotations.
    pub const ANNOTATIONS: [&str; 7] = [
        names::ANNOTATION_SYNC,
        names::ANNOTATION_COPY,
        names::ANNOTATION_SOURCE,
        names::ANNOTATION_CONTENT_HASH,
        names::ANNOTATION_CREATED,
        names::ANNOTATION_DELETION_POLICY,
        names::ANNOTATION_STAMPED,
    ];

    /// The markers that the copy at `copy` should have.
    #[must_use]
    pub fn desired(
        sync_uid: &str,
        sync: &NamespacedName,
        copy: &NamespacedName,
        source: &NamespacedName,
        content_hash: &ContentHash,
        deletion_policy: DeletionPolicy,
    ) -> Self {
        Self {
            sync_uid: sync_uid.to_owned(),
            sync: Some(sync.to_string()),
            copy: Some(copy.to_string()),
            source: Some(source.to_string()),
            content_hash: Some(content_hash.clone()),
            created: true,
            deletion_policy: match deletion_policy {
                DeletionPolicy::Delete => Some(deletion_policy.to_string()),
                DeletionPolicy::Retain => None,
            },
        }
    }

    /// Parses the markers of an object; `None` if the uid label is missing, because the operator
    /// lists and watches copies by that label.
    #[must_use]
    pub fn parse(labels: Option<&Map>, annotations: Option<&Map>) -> Option<Self> {
        let sync_uid = labels?.get(names::LABEL_SYNC_UID)?.clone();
        let annotation = |key| annotations?.get(key).map(|value| bounded(value));
        Some(Self {
            sync_uid,
            sync: annotation(names::ANNOTATION_SYNC),
            copy: annotation(names::ANNOTATION_COPY),
            source: annotation(names::ANNOTATION_SOURCE),
            content_hash: annotation(names::ANNOTATION_CONTENT_HASH).map(ContentHash::from_text),
            created: annotation(names::ANNOTATION_CREATED).as_deref() == Some("true"),
            deletion_policy: annotation(names::ANNOTATION_DELETION_POLICY),
        })
    }

    /// Whether these are the same markers as `other`, except `created`.
    #[must_use]
    pub fn equals_except_created(&self, other: &Self) -> bool {
        let Self { sync_uid, sync, copy, source, content_hash, created: _, deletion_policy } = self;
        (sync_uid, sync, copy) == (&other.sync_uid, &other.sync, &other.copy)
            && (source, content_hash) == (&other.source, &other.content_hash)
            && *deletion_policy == other.deletion_policy
    }

    /// Whether the recorded deletion policy is `Delete`.
    #[must_use]
    pub fn records_delete_policy(&self) -> bool {
        self.deletion_policy.as_deref() == Some(DeletionPolicy::Delete.into())
    }

    /// The markers that are labels.
    #[must_use]
    pub fn labels(&self) -> Map {
        Map::from([(names::LABEL_SYNC_UID.to_owned(), self.sync_uid.clone())])
    }

    /// The markers that are annotations, without the record of stamped keys.
    #[must_use]
    pub fn annotations(&self) -> Map {
        let created = self.created.then(|| "true".to_owned());
        let hash = self.content_hash.as_ref().map(ToString::to_string);
        [
            (names::ANNOTATION_SYNC, self.sync.clone()),
            (names::ANNOTATION_COPY, self.copy.clone()),
            (names::ANNOTATION_SOURCE, self.source.clone()),
            (names::ANNOTATION_CONTENT_HASH, hash),
            (names::ANNOTATION_CREATED, created),
            (names::ANNOTATION_DELETION_POLICY, self.deletion_policy.clone()),
        ]
        .into_iter()
        .filter_map(|(key, value)| value.map(|value| (key.to_owned(), value)))
        .collect()
    }
}

/// The beginning of a value that is longer than what the operator writes, and therefore differs from it.
fn bounded(value: &str) -> String {
    value.chars().take(MAX_VALUE).collect()
}

// === impl MarkerKeys ===

impl MarkerKeys {
    /// The markers among these labels and annotations.
    #[must_use]
    pub fn of(labels: Option<&Map>, annotations: Option<&Map>) -> Self {
        let has = |map: Option<&Map>, key| map.is_some_and(|map| map.contains_key(key));
        let bits = Markers::ANNOTATIONS
            .iter()
            .enumerate()
            .map(|(bit, key)| u8::from(has(annotations, *key)) << bit);
        Self { label: has(labels, names::LABEL_SYNC_UID), annotations: bits.sum() }
    }

    /// The keys of those that are labels.
    pub fn labels(self) -> impl Iterator<Item = &'static str> {
        self.label.then_some(names::LABEL_SYNC_UID).into_iter()
    }

    /// The keys of those that are annotations.
    pub fn annotations(self) -> impl Iterator<Item = &'static str> {
        let keys = Markers::ANNOTATIONS.into_iter().enumerate();
        keys.filter(move |(bit, _)| self.annotations >> bit & 1 == 1).map(|(_, key)| key)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    pub(crate) fn any_markers() -> impl Strategy<Value = Markers> {
        let text = || proptest::option::of("[a-z]{1,8}/[a-z]{1,8}");
        ("[a-f0-9]{8}", text(), text(), text(), text(), any::<bool>(), text()).prop_map(
            |(sync_uid, sync, copy, source, hash, created, deletion_policy)| Markers {
                sync_uid,
                sync,
                copy,
                source,
                content_hash: hash.map(ContentHash::from_text),
                created,
                deletion_policy,
            },
        )
    }

    pub(crate) fn keys_of(markers: &Markers) -> MarkerKeys {
        MarkerKeys::of(Some(&markers.labels()), Some(&markers.annotations()))
    }

    proptest! {
        #[test]
        fn markers_round_trip_through_metadata(markers in any_markers()) {
            let parsed = Markers::parse(Some(&markers.labels()), Some(&markers.annotations()));
            prop_assert_eq!(parsed, Some(markers));
        }

        #[test]
        fn marker_keys_are_the_keys_of_the_markers(markers in any_markers()) {
            let (labels, annotations) = (markers.labels(), markers.annotations());
            let keys = MarkerKeys::of(Some(&labels), Some(&annotations));
            prop_assert!(keys.labels().eq(labels.keys()));
            prop_assert_eq!(keys.annotations().collect::<BTreeSet<_>>(), annotations.keys().map(String::as_str).collect());
            let unlabelled = MarkerKeys::of(None, Some(&annotations));
            prop_assert!(unlabelled.labels().next().is_none());
            prop_assert!(unlabelled.annotations().eq(keys.annotations()));
        }

        #[test]
        fn without_the_uid_label_there_are_no_markers(markers in any_markers()) {
            prop_assert_eq!(Markers::parse(None, Some(&markers.annotations())), None);
            prop_assert_eq!(Markers::parse(Some(&Map::new()), Some(&markers.annotations())), None);
        }
    }
}
