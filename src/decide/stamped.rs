//! The record of which labels and annotations `spec.destinationMetadata` put on a copy, kept in an
//! annotation of the copy.
//!
//! `managedFields` do not suffice for that: above ten field managers the API server merges the oldest
//! entries, and a restore from a backup changes the managers.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::Serialize;
use sha2::Digest as _;
use sha2::Sha256;

use crate::api::DestinationMetadata;
use crate::names;

/// The maximum number of labels, and of annotations: the limit of `spec.destinationMetadata`.
const MAX_ENTRIES: usize = 64;
/// A record with the maximum number of entries and the longest keys is shorter.
const MAX_BYTES: usize = 64 * 1024;
/// How many bytes of the SHA-256 of a value are recorded.
const HASH_BYTES: usize = 8;

type Map = BTreeMap<String, String>;

/// The keys that the operator stamped, each with a hash of the value that it stamped.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StampedKeys {
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    labels: Map,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    annotations: Map,
}

// === impl StampedKeys ===

impl StampedKeys {
    /// The record for these labels and annotations. It is empty if there are more than fit: then
    /// `managedFields` decide.
    #[must_use]
    pub fn of<'a>(
        labels: impl Iterator<Item = (&'a String, &'a String)>,
        annotations: impl Iterator<Item = (&'a String, &'a String)>,
    ) -> Self {
        let record = Self { labels: hashes(labels), annotations: hashes(annotations) };
        if record.fits() { record } else { Self::default() }
    }

    /// The record for a copy that has just been created with `metadata`.
    #[must_use]
    pub fn all(metadata: &DestinationMetadata) -> Self {
        Self::of(metadata.labels.iter(), metadata.annotations.iter())
    }

    /// Parses the annotation. `None` if it is empty, malformed or too large: it does not count then.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_short = text.len() <= MAX_BYTES;
        let record: Self = is_short.then(|| serde_json::from_str(text).ok())??;
        (record.fits() && !record.is_empty()).then_some(record)
    }

    /// The value of the annotation; `None` if nothing is recorded.
    #[must_use]
    pub fn annotation(&self) -> Option<String> {
        // A map of strings can always be serialized.
        if self.is_empty() { None } else { serde_json::to_string(self).ok() }
    }

    /// Whether the operator stamped the label `key` with this value.
    #[must_use]
    pub fn has_label(&self, key: &str, value: &str) -> bool {
        has(&self.labels, key, value)
    }

    /// Whether the operator stamped the annotation `key` with this value.
    #[must_use]
    pub fn has_annotation(&self, key: &str, value: &str) -> bool {
        has(&self.annotations, key, value)
    }

    fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.annotations.is_empty()
    }

    fn fits(&self) -> bool {
        self.labels.len() <= MAX_ENTRIES && self.annotations.len() <= MAX_ENTRIES
    }
}

/// Keys that are reserved for the operator are never stamped, whatever a record says.
fn has(recorded: &Map, key: &str, value: &str) -> bool {
    let is_reserved = key.starts_with(names::PREFIX) || key == names::LABEL_MANAGED_BY;
    !is_reserved && recorded.get(key).is_some_and(|recorded| *recorded == hash(value))
}

fn hashes<'a>(entries: impl Iterator<Item = (&'a String, &'a String)>) -> Map {
    entries.map(|(key, value)| (key.clone(), hash(value))).collect()
}

fn hash(value: &str) -> String {
    let digest = Sha256::digest(value);
    let start = digest.iter().take(HASH_BYTES);
    let number = start.fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    format!("{number:016x}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn map(entries: &[(&str, &str)]) -> Map {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn metadata(labels: &[(&str, &str)], annotations: &[(&str, &str)]) -> DestinationMetadata {
        DestinationMetadata { labels: map(labels), annotations: map(annotations) }
    }

    fn numbered(count: usize) -> DestinationMetadata {
        let labels = (0..count).map(|number| (format!("key-{number}"), String::new()));
        DestinationMetadata { labels: labels.collect(), ..DestinationMetadata::default() }
    }

    /// The format must not change: copies of earlier versions carry it.
    #[test]
    fn the_format_is_stable_across_versions() {
        let record = StampedKeys::all(&metadata(&[("team", "a")], &[("example.com/note", "")]));
        assert_eq!(
            record.annotation().unwrap(),
            r#"{"labels":{"team":"ca978112ca1bbdca"},"annotations":{"example.com/note":"e3b0c44298fc1c14"}}"#,
        );
    }

    #[test]
    fn an_empty_record_has_no_annotation() {
        assert_eq!(StampedKeys::all(&DestinationMetadata::default()).annotation(), None);
    }

    #[test]
    fn a_changed_value_is_not_the_stamped_one() {
        let record = StampedKeys::all(&metadata(&[("team", "a")], &[]));
        assert!(record.has_label("team", "a"));
        assert!(!record.has_label("team", "b"));
        assert!(!record.has_label("tier", "a"));
        assert!(!record.has_annotation("team", "a"));
    }

    #[test]
    fn reserved_keys_in_a_record_do_not_count() {
        let keys = [names::ANNOTATION_NO_COPY, names::ANNOTATION_CREATED, names::LABEL_MANAGED_BY];
        let forged = StampedKeys::all(&metadata(&keys.map(|key| (key, "true")), &[]));
        for key in keys {
            assert!(!forged.has_label(key, "true"), "{key}");
        }
    }

    #[test]
    fn malformed_and_large_records_are_ignored() {
        let deep = "[".repeat(10_000);
        let long = format!(r#"{{"labels":{{"team":"{}"}}}}"#, "a".repeat(MAX_BYTES));
        for text in
            ["", "x", "{}", "[]", "null", r#"{"labels":[]}"#, r#"{"labels":{"a":1}}"#, &deep, &long]
        {
            assert_eq!(StampedKeys::parse(text), None, "{text:.30}");
        }
        let many =
            StampedKeys { labels: numbered(MAX_ENTRIES + 1).labels, ..StampedKeys::default() };
        assert_eq!(StampedKeys::parse(&many.annotation().unwrap()), None);
    }

    #[test]
    fn a_record_holds_at_most_64_labels_and_annotations() {
        assert!(StampedKeys::all(&numbered(MAX_ENTRIES)).annotation().is_some());
        assert_eq!(StampedKeys::all(&numbered(MAX_ENTRIES + 1)), StampedKeys::default());
    }

    #[test]
    fn the_largest_record_can_be_parsed() {
        let keys = (0..MAX_ENTRIES).map(|number| format!("{}/{number:063}", "a".repeat(253)));
        let largest: Map = keys.map(|key| (key, "x".to_owned())).collect();
        let metadata = DestinationMetadata { labels: largest.clone(), annotations: largest };
        let text = StampedKeys::all(&metadata).annotation().unwrap();
        assert!(StampedKeys::parse(&text).is_some(), "{} bytes", text.len());
    }

    proptest! {
        #[test]
        fn a_record_round_trips_through_its_annotation(
            labels in proptest::collection::btree_map("[a-z/]{1,5}", "[a-z]{0,3}", 1..4),
            annotations in proptest::collection::btree_map("[a-z/]{1,5}", ".{0,5}", 0..4),
        ) {
            let record = StampedKeys::all(&DestinationMetadata { labels, annotations });
            prop_assert_eq!(StampedKeys::parse(&record.annotation().unwrap()), Some(record));
        }

        #[test]
        fn any_text_is_parsed_or_ignored(text in ".{0,80}") {
            let _ = StampedKeys::parse(&text);
        }
    }
}
