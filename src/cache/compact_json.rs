//! JSON of a `ConfigMapSync` in half its length.
//!
//! Names of fields, uids and hashes are most of that JSON. They are replaced by bytes that no JSON
//! text contains: control characters are escaped there, and some bytes are never part of UTF-8.

use crate::api::uid;

/// Compacted JSON.
#[derive(Debug)]
pub(super) struct CompactJson(Box<[u8]>);

/// What is replaced by its index, which is a control character. An index is in memory only: entries may
/// be added and changed.
const WORDS: [&[u8]; 32] = [
    br#"{"name":{"namespace":""#,
    br#"","name":""#,
    br#""},"version":{"uid":""#,
    br#"","resource_version":""#,
    br#""},"generation":"#,
    br#","deleting":false,"finalizers":["apps.nishaf.info/cleanup"],"spec":{"Ok":{"#,
    br#"}},"status":{"#,
    br#""sourceNamespace":""#,
    br#""destinationNamespace":""#,
    br#""destinationNamespaceSelector":{"#,
    br#""destinationName":""#,
    br#""configMapName":""#,
    br#""matchLabels":{""#,
    br#""conditions":[{"#,
    br#""lastTransitionTime":""#,
    br#""message":""#,
    br#""observedGeneration":"#,
    br#""reason":""#,
    br#""status":""#,
    br#""type":""#,
    br#""contentHash":"v1:"#,
    br#""copies":{"desired":"#,
    br#","ready":"#,
    br#","failed":"#,
    br#""lastSyncTime":""#,
    br#""lastTraceID":""#,
    br#""source":{"uid":""#,
    br#"","resourceVersion":""#,
    br#""deletionPolicy":""#,
    br#""sourceDeletionPolicy":""#,
    br#""conflictPolicy":""#,
    br#""suspend":false"#,
];
/// Not part of UTF-8. Followed by the 16 bytes of a uid.
const UID: u8 = 0xfe;
/// Not part of UTF-8. Followed by a length, and as many bytes of hexadecimal digits.
const HEX: u8 = 0xff;
/// Fewer digits are not worth their length.
const FEWEST_DIGITS: usize = 8;

// === impl CompactJson ===

impl CompactJson {
    /// Compacts JSON text.
    pub(super) fn of(json: &[u8]) -> Self {
        let mut compact = Vec::with_capacity(json.len());
        let mut rest = json;
        while let Some(first) = rest.first() {
            let length = if let Some((index, word)) = word(rest) {
                compact.push(index);
                word.len()
            } else if let Some(uid) = rest.get(..uid::LENGTH).and_then(uid::to_bytes) {
                compact.push(UID);
                compact.extend(uid);
                uid::LENGTH
            } else {
                let digits = digits(rest);
                if digits.len() < FEWEST_DIGITS {
                    compact.push(*first);
                    1
                } else {
                    compact.push(HEX);
                    compact.push(u8::try_from(digits.len() / 2).unwrap_or(u8::MAX));
                    compact.extend(bytes(digits));
                    digits.len()
                }
            };
            rest = &rest[length..];
        }
        Self(compact.into())
    }

    /// The text.
    pub(super) fn json(&self) -> Vec<u8> {
        let mut json = Vec::with_capacity(self.0.len() * 3);
        let mut rest = self.0.iter();
        while let Some(&byte) = rest.next() {
            if let Some(word) = WORDS.get(usize::from(byte)) {
                json.extend_from_slice(word);
            } else if byte == UID {
                let mut uid = [0; 16];
                uid.iter_mut().zip(rest.by_ref()).for_each(|(byte, compact)| *byte = *compact);
                json.extend(uid::to_text(uid).into_bytes());
            } else if byte == HEX {
                let length = rest.next().copied().unwrap_or_default();
                let digits = rest.by_ref().take(length.into());
                json.extend(digits.flat_map(|it| uid::digits(*it)));
            } else {
                json.push(byte);
            }
        }
        json
    }
}

/// The longest word at the beginning of `json`, and its index.
fn word(json: &[u8]) -> Option<(u8, &'static [u8])> {
    let words = (0..).zip(WORDS).filter(|(_, word)| json.starts_with(word));
    words.max_by_key(|(_, word)| word.len())
}

/// The hexadecimal digits at the beginning of `json`: an even number, at most two for each byte that a
/// length counts.
fn digits(json: &[u8]) -> &[u8] {
    let longest = json.iter().take(2 * usize::from(u8::MAX));
    let count = longest.take_while(|digit| uid::value(**digit).is_some()).count();
    &json[..count / 2 * 2]
}

fn bytes(digits: &[u8]) -> impl Iterator<Item = u8> {
    let value = |digit: u8| uid::value(digit).unwrap_or_default();
    digits.chunks_exact(2).map(move |pair| value(pair[0]) << 4 | value(pair[1]))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::json;

    use super::*;
    use crate::api::StoredConfigMapSync;
    use crate::decide::observed::ObservedSync;

    const EXAMPLE_UID: &str = "6b7c7a0e-2f1d-4f0a-9c1e-0123456789ab";
    const HASH: &str = "4e07408562bedb8b60ce05c1decfe3ad16b72230967de01f640b7e4729b49fce";

    /// A synced `ConfigMapSync` as the cache keeps it.
    fn typical() -> Vec<u8> {
        let condition = json!({
            "type": "Ready", "status": "True", "reason": "Synced", "message": "1 copy is in sync",
            "lastTransitionTime": "2026-01-02T03:04:05Z", "observedGeneration": 1,
        });
        let stored: StoredConfigMapSync = serde_json::from_value(json!({
            "metadata": {
                "namespace": "team-a", "name": "settings", "uid": EXAMPLE_UID,
                "resourceVersion": "123456", "generation": 1,
                "finalizers": ["apps.nishaf.info/cleanup"],
            },
            "spec": {
                "sourceNamespace": "central", "configMapName": "settings",
                "destinationNamespace": "app",
            },
            "status": {
                "observedGeneration": 1, "conditions": [condition],
                "source": {"uid": EXAMPLE_UID, "resourceVersion": "123450"},
                "contentHash": format!("v1:{HASH}"), "keys": 3,
                "copies": {"desired": 1, "ready": 1, "failed": 0},
                "lastSyncTime": "2026-01-02T03:04:05Z",
            },
        }))
        .unwrap();
        serde_json::to_vec(&ObservedSync::of(&stored).unwrap()).unwrap()
    }

    #[test]
    fn a_typical_sync_takes_less_than_half() {
        let json = typical();
        let compact = CompactJson::of(&json);
        assert_eq!(compact.json(), json);
        let (length, text) = (compact.0.len(), String::from_utf8_lossy(&json));
        assert!(length * 2 < json.len(), "{length} of {}: {text}", json.len());
    }

    #[test]
    fn every_word_is_used_and_comes_back() {
        for word in WORDS {
            let compact = CompactJson::of(word);
            assert_eq!((compact.0.len(), compact.json()), (1, word.to_vec()));
        }
    }

    #[test]
    fn no_json_text_contains_a_replacement() {
        let all: String = (0..=0x7ff).filter_map(char::from_u32).collect();
        let json = serde_json::to_vec(&all).unwrap();
        let is_replacement = |byte: &u8| usize::from(*byte) < WORDS.len() || *byte >= UID;
        assert!(!json.iter().any(is_replacement));
    }

    fn any_text() -> impl Strategy<Value = String> {
        let known = prop::sample::select(vec![
            EXAMPLE_UID.to_owned(),
            HASH.to_owned(),
            HASH.repeat(20),
            r#"","name":""#.to_owned(),
            "6b7c7a0e-2f1d-4f0a-9c1e-0123456789".to_owned(),
        ]);
        prop::collection::vec(prop_oneof![known, "[0-9a-f]{0,20}", ".{0,6}"], 0..4)
            .prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn any_json_comes_back(texts in prop::collection::vec(any_text(), 0..6)) {
            let pairs = texts.iter().map(|text| (text.clone(), Value::from(text.as_str())));
            let json = serde_json::to_vec(&Value::Object(pairs.collect())).unwrap();
            prop_assert_eq!(CompactJson::of(&json).json(), json);
        }
    }
}
