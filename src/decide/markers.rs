//! The markers on a copy: what says whose it is, and in what state it should be.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;

use crate::api::DeletionPolicy;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::ContentHash;
use crate::names;

/// Our markers as they stand on a `ConfigMap` that carries the uid label.
///
/// `sync_uid`, `sync` and `copy` are *identity*: one of them missing or different, and the
/// `ConfigMap` is not ours. The others are *state*: missing or different, they are repaired like
/// data, [`created`](Self::created) excepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Markers {
    /// uid of the `ConfigMapSync`.
    pub sync_uid: String,
    /// `namespace/name` of the `ConfigMapSync`.
    pub sync: Option<String>,
    /// `namespace/name` of the copy that the markers were made for.
    pub copy: Option<String>,
    /// `namespace/name` of the source.
    pub source: Option<String>,
    /// Hash of what should be in the copy.
    pub content_hash: Option<ContentHash>,
    /// Whether our POST made the copy. Taken away by hand, it can only save a `ConfigMap`.
    pub created: bool,
    /// The value of the deletion policy mark.
    pub deletion_policy: Option<String>,
}

type Map = BTreeMap<String, String>;

// === impl Markers ===

impl Markers {
    /// The keys of the annotations among the markers.
    pub const ANNOTATIONS: [&str; 6] = [
        names::ANNOTATION_SYNC,
        names::ANNOTATION_COPY,
        names::ANNOTATION_SOURCE,
        names::ANNOTATION_CONTENT_HASH,
        names::ANNOTATION_CREATED,
        names::ANNOTATION_DELETION_POLICY,
    ];

    /// The markers that a copy at `copy` should carry.
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
                DeletionPolicy::Delete => Some("Delete".to_owned()),
                DeletionPolicy::Retain => None,
            },
        }
    }

    /// Reads the markers off an object's metadata; `None` where the uid label is missing, since
    /// then nothing connects the object with us.
    #[must_use]
    pub fn parse(labels: Option<&Map>, annotations: Option<&Map>) -> Option<Self> {
        let sync_uid = labels?.get(names::LABEL_SYNC_UID)?.clone();
        let annotation = |key| annotations.and_then(|map| map.get(key)).cloned();
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

    /// Whether they ask for the copy to be deleted once it is no longer wanted.
    #[must_use]
    pub fn request_deletion(&self) -> bool {
        self.deletion_policy.as_deref() == Some("Delete")
    }

    /// The labels that these markers are written as.
    #[must_use]
    pub fn labels(&self) -> Map {
        Map::from([(names::LABEL_SYNC_UID.to_owned(), self.sync_uid.clone())])
    }

    /// The annotations that these markers are written as.
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

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn any_marks() -> impl Strategy<Value = Markers> {
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

    proptest! {
        #[test]
        fn marks_read_back_as_they_were_rendered(markers in any_marks()) {
            let parsed = Markers::parse(Some(&markers.labels()), Some(&markers.annotations()));
            prop_assert_eq!(parsed, Some(markers));
        }

        #[test]
        fn without_the_uid_label_there_are_no_marks(markers in any_marks()) {
            prop_assert_eq!(Markers::parse(None, Some(&markers.annotations())), None);
            prop_assert_eq!(Markers::parse(Some(&Map::new()), Some(&markers.annotations())), None);
        }
    }
}
