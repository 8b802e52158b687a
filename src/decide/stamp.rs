//! Changes of the labels and annotations of a copy: the ownership markers and
//! `spec.destinationMetadata`. Labels and annotations that other clients set are kept.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::api::DestinationMetadata;
use crate::decide::Markers;
use crate::decide::markers::MarkerKeys;
use crate::decide::other_metadata::OtherKeys;
use crate::decide::other_metadata::OtherMetadata;
use crate::decide::stamped::StampedKeys;
use crate::names;

type Map = BTreeMap<String, String>;

/// The labels and annotations of an existing `ConfigMap`.
#[derive(Clone, Copy, Debug)]
pub struct Present<'a> {
    /// Its ownership markers, if it has the uid label.
    pub markers: Option<&'a Markers>,
    /// The keys of its ownership markers, with or without the uid label.
    pub marker_keys: MarkerKeys,
    /// Its other labels and annotations.
    pub other: &'a OtherMetadata,
}

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

// === impl Stamp ===

impl Stamp {
    /// The changes that turn the markers and metadata of a copy into `desired` and `metadata`.
    ///
    /// The marker `created` is set only when a copy is created, so it is never changed here. Other
    /// keys are removed only if the operator stamped them. The record of stamped keys is updated,
    /// which is not a change of its own: see [`Stamp::is_empty`].
    #[must_use]
    pub fn to(present: Present<'_>, desired: &Markers, metadata: &DestinationMetadata) -> Self {
        let mut stamp =
            if present.markers.is_some_and(|markers| markers.equals_except_created(desired)) {
                Self::set_metadata(present, metadata)
            } else {
                Self::set_state(present, desired, metadata)
            };
        let OtherMetadata { labels, annotations } = present.other;
        stamp.labels.remove.extend(labels.dropped(&metadata.labels));
        stamp.annotations.remove.extend(annotations.dropped(&metadata.annotations));
        stamp.record(present, metadata);
        stamp
    }

    /// The changes that make a foreign `ConfigMap` a copy with `desired` and `metadata`.
    ///
    /// All markers that are not desired are removed, `created` above all: the operator did not
    /// create the object. Other labels and annotations are kept. Which of them had the desired value
    /// before is unknown, so no stamped key is recorded: until the next write, `managedFields`
    /// decide.
    #[must_use]
    pub fn adopt(present: Present<'_>, desired: &Markers, metadata: &DestinationMetadata) -> Self {
        Self::set(present, present.marker_keys.annotations(), desired, metadata)
    }

    /// Removes all markers, whatever their values, and the label `app.kubernetes.io/managed-by` if
    /// `managed_by_us`.
    #[must_use]
    pub fn release(marker_keys: MarkerKeys, managed_by_us: bool) -> Self {
        let label = managed_by_us.then_some(names::LABEL_MANAGED_BY);
        let labels = marker_keys.labels().chain(label).map(str::to_owned).collect();
        let annotations = marker_keys.annotations().map(str::to_owned).collect();
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

    /// Whether no write is required. A missing or outdated record of stamped keys alone requires
    /// none: it is written with the next change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels
            .keys()
            .chain(self.annotations.keys())
            .all(|key| key == names::ANNOTATION_STAMPED)
    }

    /// Sets the markers `desired`, except `created`, and `metadata`. Removes those of the present
    /// `annotations` that are not desired.
    fn set(
        present: Present<'_>,
        annotations: impl Iterator<Item = &'static str>,
        desired: &Markers,
        metadata: &DestinationMetadata,
    ) -> Self {
        let desired = Markers { created: false, ..desired.clone() };
        let was = |markers: fn(&Markers) -> Map| present.markers.map(markers).unwrap_or_default();
        let OtherMetadata { labels: other_labels, annotations: other_annotations } = present.other;
        Self {
            labels: changes(
                &was(Markers::labels),
                present.marker_keys.labels(),
                desired.labels(),
                other_labels,
                &metadata.labels,
            ),
            annotations: changes(
                &was(Markers::annotations),
                annotations,
                desired.annotations(),
                other_annotations,
                &metadata.annotations,
            ),
        }
    }

    /// As [`Stamp::set`], but keeps the markers that depend on the history of the copy.
    fn set_state(present: Present<'_>, desired: &Markers, metadata: &DestinationMetadata) -> Self {
        let of_history = [names::ANNOTATION_CREATED, names::ANNOTATION_STAMPED];
        let keys = present.marker_keys.annotations().filter(|key| !of_history.contains(key));
        Self::set(present, keys, desired, metadata)
    }

    /// Sets `metadata`, where the markers are as desired: most of the time, and without building them.
    fn set_metadata(present: Present<'_>, metadata: &DestinationMetadata) -> Self {
        let set = |other: &OtherKeys, metadata| Changes {
            map_is_missing: other.map_is_missing,
            set: other.missing(metadata).collect(),
            remove: BTreeSet::new(),
        };
        let OtherMetadata { labels, annotations } = present.other;
        Self {
            labels: set(labels, &metadata.labels),
            annotations: set(annotations, &metadata.annotations),
        }
    }

    /// Records which keys of `metadata` the operator has stamped: those that this change sets, and
    /// those that it set before.
    fn record(&mut self, present: Present<'_>, metadata: &DestinationMetadata) {
        let OtherMetadata { labels, annotations } = present.other;
        let record = StampedKeys::of(
            stamped(&metadata.labels, &self.labels, labels),
            stamped(&metadata.annotations, &self.annotations, annotations),
        );
        let key = names::ANNOTATION_STAMPED;
        if let Some(value) = record.annotation() {
            self.annotations.set.insert(key.to_owned(), value);
        } else if present.marker_keys.annotations().any(|present| present == key) {
            self.annotations.remove.insert(key.to_owned());
        }
    }
}

// === impl Changes ===

impl Changes {
    fn keys(&self) -> impl Iterator<Item = &String> {
        self.set.keys().chain(&self.remove)
    }
}

/// The changes of one map, with the markers `was`, of which the keys `present` may be removed.
fn changes(
    was: &Map,
    present: impl Iterator<Item = &'static str>,
    markers: Map,
    other: &OtherKeys,
    metadata: &Map,
) -> Changes {
    let stale = present.filter(|key| !markers.contains_key(*key));
    let remove = stale.map(str::to_owned).collect();
    let missing = markers.into_iter().filter(|(key, value)| was.get(key) != Some(value));
    let set = missing.chain(other.missing(metadata)).collect();
    Changes { map_is_missing: other.map_is_missing, set, remove }
}

/// The entries of `metadata` that the operator has stamped, once `changes` are made.
fn stamped<'a>(
    metadata: &'a Map,
    changes: &'a Changes,
    other: &'a OtherKeys,
) -> impl Iterator<Item = (&'a String, &'a String)> {
    metadata.iter().filter(|(key, _)| changes.set.contains_key(*key) || other.is_ours(key))
}

#[cfg(test)]
mod tests;
