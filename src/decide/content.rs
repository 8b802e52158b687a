//! The content of a `ConfigMap`, and a hash by which contents are compared.

use std::any::Any;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use serde::Deserialize;
use serde::Serialize;
use sha2::Digest as _;
use sha2::Sha256;

use crate::api::DestinationMetadata;

/// Prefix of a hash: the version of the algorithm.
const VERSION: &str = "v1:";

/// What is copied: everything in a `ConfigMap` except its metadata.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Content {
    /// `data`
    pub data: BTreeMap<String, String>,
    /// `binaryData`
    pub binary_data: BTreeMap<String, ByteString>,
    /// `immutable`; absent counts as `false`, as it does in Kubernetes.
    pub immutable: bool,
    /// The reserved memory that a large content occupies.
    pub memory: Memory,
}

/// Memory that is reserved as long as a clone of this exists. It is not part of what is compared.
#[derive(Clone, Default)]
pub struct Memory {
    reserved: Option<Arc<dyn Any + Send + Sync>>,
}

/// What an entry of a map takes in memory besides the bytes of its key and value.
const ENTRY_BYTES: usize = 112;

/// Hash of a [`Content`], written as `v1:` and the SHA-256 in hexadecimal. Equal contents have equal
/// hashes; the order of keys is irrelevant.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ContentHash(HashValue);

/// One hash is cached per `ConfigMap`; as bytes, it takes half the memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum HashValue {
    Sha256([u8; 32]),
    /// Text that is not a hash in our format.
    Text(Box<str>),
}

/// What is cached of a [`Content`] after a read: enough to detect a change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digest {
    /// Hash of the content.
    pub hash: ContentHash,
    /// The number of keys in `data` and `binaryData` together.
    pub keys: usize,
    /// Whether the `ConfigMap` is immutable.
    pub immutable: bool,
}

// === impl Content ===

impl Content {
    /// Extracts the content of a `ConfigMap`.
    #[must_use]
    pub fn of(config_map: ConfigMap) -> Self {
        Self {
            data: config_map.data.unwrap_or_default(),
            binary_data: config_map.binary_data.unwrap_or_default(),
            immutable: config_map.immutable.unwrap_or_default(),
            memory: Memory::default(),
        }
    }

    /// How many bytes of memory it takes, roughly.
    #[must_use]
    pub fn size_in_memory(&self) -> usize {
        self.bytes() + self.keys() * ENTRY_BYTES
    }

    /// The length of all keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let data = self.data.iter().map(|(key, value)| key.len() + value.len());
        let binary = self.binary_data.iter().map(|(key, value)| key.len() + value.0.len());
        data.chain(binary).sum()
    }

    /// The number of keys.
    #[must_use]
    pub fn keys(&self) -> usize {
        self.data.len() + self.binary_data.len()
    }

    /// Hash of this content. Lengths are hashed before bytes, so that different contents never
    /// result in the same input of the hash.
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

    /// This content, reduced to `keys`.
    #[must_use]
    pub fn only(&self, keys: &BTreeSet<&str>) -> Self {
        let data = self.data.iter().filter(|(key, _)| keys.contains(key.as_str()));
        let binary_data = self.binary_data.iter().filter(|(key, _)| keys.contains(key.as_str()));
        Self {
            data: data.map(|(key, value)| (key.clone(), value.clone())).collect(),
            binary_data: binary_data.map(|(key, value)| (key.clone(), value.clone())).collect(),
            immutable: self.immutable,
            memory: self.memory.clone(),
        }
    }

    /// Whether `data` or `binaryData` has `key`.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.data.contains_key(key) || self.binary_data.contains_key(key)
    }

    /// Whether `data` and `binaryData` equal those of `other`.
    #[must_use]
    pub fn has_same_data(&self, other: &Self) -> bool {
        self.data == other.data && self.binary_data == other.binary_data
    }

    /// Hash, number of keys and immutability of this content.
    #[must_use]
    pub fn digest(&self) -> Digest {
        Digest { hash: self.hash(), keys: self.keys(), immutable: self.immutable }
    }
}

/// Shows only counts: values of a `ConfigMap` must not appear in logs.
impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Content")
            .field("keys", &self.keys())
            .field("immutable", &self.immutable)
            .finish_non_exhaustive()
    }
}

// === impl Memory ===

impl Memory {
    /// Reserved until `reserved` is dropped, with the last clone of this.
    #[must_use]
    pub fn reserved(reserved: impl Any + Send + Sync) -> Self {
        Self { reserved: Some(Arc::new(reserved)) }
    }

    /// Whether some is reserved: the content is large.
    #[must_use]
    pub const fn is_reserved(&self) -> bool {
        self.reserved.is_some()
    }
}

impl PartialEq for Memory {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Memory {}

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
    /// Parses a hash from an annotation or status. Never fails: text that is not a hash equals no
    /// hash of a content.
    pub fn from_text(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        let bytes = text.strip_prefix(VERSION).and_then(bytes_of);
        Self(bytes.map_or_else(|| HashValue::Text(text.into()), HashValue::Sha256))
    }

    fn of(hasher: Sha256) -> Self {
        Self(HashValue::Sha256(hasher.finalize().into()))
    }

    /// Hash of a copy: of its content, which has this hash, and of `metadata`, which is stamped on
    /// it. Without metadata, the hash of the content.
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
            HashValue::Text(text) => f.write_str(text),
            HashValue::Sha256(bytes) => {
                f.write_str(VERSION)?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }
    }
}

/// Decodes 64 lower-case hexadecimal digits.
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
            memory: Memory::default(),
        }
    }

    #[test]
    fn a_key_moved_to_binary_data_changes_the_hash() {
        assert_ne!(content(&[("a", "1")], &[]).hash(), content(&[], &[("a", b"1")]).hash(),);
    }

    #[test]
    fn bytes_moved_from_key_to_value_change_the_hash() {
        assert_ne!(content(&[("ab", "c")], &[]).hash(), content(&[("a", "bc")], &[]).hash());
    }

    #[test]
    fn immutability_is_part_of_the_hash() {
        let mutable = content(&[("a", "1")], &[]);
        let immutable = Content { immutable: true, ..mutable.clone() };
        assert_ne!(mutable.hash(), immutable.hash());
    }

    #[test]
    fn the_hash_of_empty_content_is_stable_across_versions() {
        assert_eq!(
            Content::default().hash().to_string(),
            "v1:5ee3bda2f4bfadf82d56bc528e2698b88a7b243e30247c802f956262a66a3e3a",
        );
    }

    #[test]
    fn a_hash_round_trips_through_text() {
        let hash = Content::default().hash();
        assert_eq!(ContentHash::from_text(hash.to_string()), hash);
        for text in ["", "v1:00", &hash.to_string().to_uppercase(), &format!("{hash}0")] {
            let read = ContentHash::from_text(text);
            assert_eq!(read.to_string(), text);
            assert_ne!(read, hash);
        }
    }

    #[test]
    fn labels_and_annotations_change_the_hash_differently() {
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
    fn debug_output_shows_no_value() {
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
