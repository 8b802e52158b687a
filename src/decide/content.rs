//! What a `ConfigMap` holds, and the hash that tells whether two of them hold the same.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use serde::Deserialize;
use serde::Serialize;
use sha2::Digest as _;
use sha2::Sha256;

use crate::api::DestinationMetadata;

/// How a hash begins; another way to compute it would begin with another number.
const VERSION: &str = "v1:";

/// What is copied: everything of a `ConfigMap` but its metadata.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// `data`
    pub data: BTreeMap<String, String>,
    /// `binaryData`
    pub binary_data: BTreeMap<String, ByteString>,
    /// `immutable`; absent counts as `false`, as it does in Kubernetes.
    pub immutable: bool,
}

/// `v1:` and the SHA-256, in hexadecimal, of a [`Content`]. Equal if and only if the contents
/// are; the order of keys plays no part.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContentHash(Spelling);

/// As many hashes are kept as there are ConfigMaps: as bytes, they take half the room.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Spelling {
    Sha256([u8; 32]),
    /// What is no hash of ours.
    Text(Box<str>),
}

/// What remains of a [`Content`] once it was read: enough to tell whether it has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Hash of the content.
    pub hash: ContentHash,
    /// How many keys `data` and `binaryData` have together.
    pub keys: usize,
    /// Whether the content can no longer be changed.
    pub immutable: bool,
}

// === impl Content ===

impl Content {
    /// Takes the content out of a `ConfigMap`.
    #[must_use]
    pub fn of(config_map: ConfigMap) -> Self {
        Self {
            data: config_map.data.unwrap_or_default(),
            binary_data: config_map.binary_data.unwrap_or_default(),
            immutable: config_map.immutable.unwrap_or_default(),
        }
    }

    /// How many keys there are.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.data.len() + self.binary_data.len()
    }

    /// Hash of this content. Lengths go in before bytes, so that no two contents run together.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        let mut hasher = Sha256::new();
        section(&mut hasher, b'd', self.data.iter().map(|(key, value)| (key, value.as_bytes())));
        section(
            &mut hasher,
            b'b',
            self.binary_data.iter().map(|(key, value)| (key, value.0.as_slice())),
        );
        hasher.update([b'i', u8::from(self.immutable)]);
        ContentHash::of(hasher)
    }

    /// This content without the keys that are not among `keys`.
    #[must_use]
    pub fn only(&self, keys: &BTreeSet<&str>) -> Self {
        let data = self.data.iter().filter(|(key, _)| keys.contains(key.as_str()));
        let binary_data = self.binary_data.iter().filter(|(key, _)| keys.contains(key.as_str()));
        Self {
            data: data.map(|(key, value)| (key.clone(), value.clone())).collect(),
            binary_data: binary_data.map(|(key, value)| (key.clone(), value.clone())).collect(),
            immutable: self.immutable,
        }
    }

    /// Whether there is such a key.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.data.contains_key(key) || self.binary_data.contains_key(key)
    }

    /// Hash and measure of this content.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest { hash: self.hash(), keys: self.keys(), immutable: self.immutable }
    }
}

/// Values of a `ConfigMap` are nobody's business but their owner's: only counts are shown.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("keys", &self.keys())
            .field("immutable", &self.immutable)
            .finish_non_exhaustive()
    }
}

fn section<'a>(
    hasher: &mut Sha256,
    tag: u8,
    entries: impl ExactSizeIterator<Item = (&'a String, &'a [u8])>,
) {
    hasher.update([tag]);
    hasher.update(entries.len().to_be_bytes());
    for (key, value) in entries {
        hasher.update(key.len().to_be_bytes());
        hasher.update(key);
        hasher.update(value.len().to_be_bytes());
        hasher.update(value);
    }
}

// === impl ContentHash ===

impl ContentHash {
    /// A hash as an annotation or a status spells it. Any text will do: one that is no hash
    /// equals none.
    pub fn from_text(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        let bytes = text.strip_prefix(VERSION).and_then(bytes_of);
        Self(bytes.map_or_else(|| Spelling::Text(text.into()), Spelling::Sha256))
    }

    fn of(hasher: Sha256) -> Self {
        Self(Spelling::Sha256(hasher.finalize().into()))
    }

    /// Hash of a copy as a whole: a content of this hash, and the `metadata` stamped on it.
    /// Without any metadata it is the hash of the content.
    #[must_use]
    pub fn with(&self, metadata: &DestinationMetadata) -> Self {
        if *metadata == DestinationMetadata::default() {
            return self.clone();
        }
        let mut hasher = Sha256::new();
        hasher.update(self.to_string());
        let bytes = |(key, value)| (key, String::as_bytes(value));
        section(&mut hasher, b'l', metadata.labels.iter().map(bytes));
        section(&mut hasher, b'a', metadata.annotations.iter().map(bytes));
        Self::of(hasher)
    }
}

impl fmt::Display for ContentHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Spelling::Text(text) => f.write_str(text),
            Spelling::Sha256(bytes) => {
                f.write_str(VERSION)?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// The bytes that `text` spells in lower-case hexadecimal digits, as we spell them.
fn bytes_of(text: &str) -> Option<[u8; 32]> {
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; 32];
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != bytes.len() || !rest.is_empty() {
        return None;
    }
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn content(data: &[(&str, &str)], binary: &[(&str, &[u8])]) -> Content {
        Content {
            data: data.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect(),
            binary_data: binary
                .iter()
                .map(|(k, v)| ((*k).to_owned(), ByteString(v.to_vec())))
                .collect(),
            immutable: false,
        }
    }

    #[test]
    fn a_key_that_moves_between_data_and_binary_data_changes_the_hash() {
        assert_ne!(content(&[("a", "1")], &[]).hash(), content(&[], &[("a", b"1")]).hash(),);
    }

    #[test]
    fn bytes_that_move_between_key_and_value_change_the_hash() {
        assert_ne!(content(&[("ab", "c")], &[]).hash(), content(&[("a", "bc")], &[]).hash());
    }

    #[test]
    fn immutability_is_part_of_the_hash() {
        let mutable = content(&[("a", "1")], &[]);
        let immutable = Content { immutable: true, ..mutable.clone() };
        assert_ne!(mutable.hash(), immutable.hash());
    }

    #[test]
    fn the_hash_of_the_empty_content_never_changes_between_versions() {
        assert_eq!(
            Content::default().hash().to_string(),
            "v1:5ee3bda2f4bfadf82d56bc528e2698b88a7b243e30247c802f956262a66a3e3a",
        );
    }

    #[test]
    fn a_hash_reads_back_as_it_was_spelled() {
        let hash = Content::default().hash();
        assert_eq!(ContentHash::from_text(hash.to_string()), hash);
        for text in ["", "v1:00", &hash.to_string().to_uppercase(), &format!("{hash}0")] {
            let read = ContentHash::from_text(text);
            assert_eq!(read.to_string(), text);
            assert_ne!(read, hash);
        }
    }

    #[test]
    fn a_label_is_told_from_an_annotation_and_from_none() {
        let hash = Content::default().hash();
        let map = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        let none = DestinationMetadata::default();
        let label = DestinationMetadata { labels: map.clone(), ..none.clone() };
        let annotation = DestinationMetadata { annotations: map, ..none.clone() };
        assert_eq!(hash.with(&none), hash);
        assert_ne!(hash.with(&label), hash);
        assert_ne!(hash.with(&label), hash.with(&annotation));
    }

    #[test]
    fn a_debug_print_shows_no_value() {
        let printed = format!("{:?}", content(&[("password", "hunter2")], &[]));
        assert!(!printed.contains("hunter2"), "{printed}");
    }

    proptest! {
        #[test]
        fn equal_hashes_mean_equal_contents(
            a in proptest::collection::btree_map("[a-c]{1,2}", "[a-c]{0,2}", 0..3),
            b in proptest::collection::btree_map("[a-c]{1,2}", "[a-c]{0,2}", 0..3),
        ) {
            let left = Content { data: a, ..Content::default() };
            let right = Content { data: b, ..Content::default() };
            prop_assert_eq!(left == right, left.hash() == right.hash());
        }
    }
}
