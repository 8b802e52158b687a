//! The uid of an object in 16 bytes instead of 36 characters, where many of them are in memory.

use std::fmt;

use serde::Deserialize;
use serde::Deserializer;
use serde::Serialize;
use serde::Serializer;

/// The lengths of the groups of a uid, in digits.
const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
/// The number of characters of a uid.
pub const LENGTH: usize = 36;

/// A uid as a key of large tables. Those that the API server generates take no allocation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Uid {
    /// One that is written as the API server writes uids.
    Bytes([u8; 16]),
    /// Any other text.
    Text(Box<str>),
}

/// The bytes of `uid`; `None` if it is not written as the API server writes uids.
#[must_use]
pub fn to_bytes(uid: &[u8]) -> Option<[u8; 16]> {
    let (mut bytes, mut next, mut rest) = ([0; 16], 0, uid);
    for (group, length) in GROUPS.into_iter().enumerate() {
        if group > 0 {
            rest = rest.strip_prefix(b"-")?;
        }
        let (digits, after) = rest.split_at_checked(length)?;
        for pair in digits.chunks_exact(2) {
            bytes[next] = value(pair[0])? << 4 | value(pair[1])?;
            next += 1;
        }
        rest = after;
    }
    rest.is_empty().then_some(bytes)
}

/// The uid with these bytes.
#[must_use]
pub fn to_text(bytes: [u8; 16]) -> String {
    let (mut text, mut rest) = (String::with_capacity(LENGTH), &bytes[..]);
    for (group, length) in GROUPS.into_iter().enumerate() {
        if group > 0 {
            text.push('-');
        }
        let (of_group, after) = rest.split_at(length / 2);
        text.extend(of_group.iter().flat_map(|byte| digits(*byte)).map(char::from));
        rest = after;
    }
    text
}

/// The value of a hexadecimal digit.
#[must_use]
pub const fn value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// The hexadecimal digits of `byte`.
#[must_use]
pub fn digits(byte: u8) -> [u8; 2] {
    [byte >> 4, byte & 15].map(|value| if value < 10 { b'0' + value } else { b'a' + value - 10 })
}

/// Serializes a uid: as text for people, as bytes in a binary format. For `#[serde(with)]`.
///
/// # Errors
/// The serializer fails.
pub fn serialize<S: Serializer>(uid: &str, serializer: S) -> Result<S::Ok, S::Error> {
    if serializer.is_human_readable() {
        return serializer.serialize_str(uid);
    }
    Uid::from(uid).serialize(serializer)
}

/// Deserializes what [`serialize`] wrote.
///
/// # Errors
/// It is something else.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    if deserializer.is_human_readable() {
        return String::deserialize(deserializer);
    }
    Uid::deserialize(deserializer).map(String::from)
}

// === impl Uid ===

impl From<&str> for Uid {
    fn from(uid: &str) -> Self {
        to_bytes(uid.as_bytes()).map_or_else(|| Self::Text(uid.into()), Self::Bytes)
    }
}

impl From<Uid> for String {
    fn from(uid: Uid) -> Self {
        match uid {
            Uid::Bytes(bytes) => to_text(bytes),
            Uid::Text(text) => text.into(),
        }
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => f.write_str(&to_text(*bytes)),
            Self::Text(text) => f.write_str(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const UID: &str = "6b7c7a0e-2f1d-4f0a-9c1e-0123456789ab";

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Object {
        #[serde(with = "super")]
        uid: String,
    }

    #[test]
    fn a_uid_takes_few_bytes_and_is_text_in_json() {
        let object = Object { uid: UID.to_owned() };
        assert_eq!(postcard::to_allocvec(&object).unwrap().len(), 17);
        assert_eq!(serde_json::to_string(&object).unwrap(), format!(r#"{{"uid":"{UID}"}}"#));
    }

    #[test]
    fn what_is_not_written_like_a_uid_has_no_bytes() {
        assert!(to_bytes(UID.as_bytes()).is_some());
        for other in
            [&UID.to_uppercase(), &UID[1..], &format!("{UID}0"), &UID.replace('-', "_"), ""]
        {
            assert_eq!(to_bytes(other.as_bytes()), None, "{other}");
        }
    }

    proptest! {
        #[test]
        fn every_text_comes_back(bytes in any::<[u8; 16]>(), other in ".{0,40}") {
            prop_assert_eq!(to_bytes(to_text(bytes).as_bytes()), Some(bytes));
            for uid in [to_text(bytes), other] {
                prop_assert_eq!(Uid::from(uid.as_str()).to_string(), uid.clone());
                let object = Object { uid };
                let packed = postcard::to_allocvec(&object).unwrap();
                prop_assert_eq!(&postcard::from_bytes::<Object>(&packed).unwrap(), &object);
                let json = serde_json::to_vec(&object).unwrap();
                prop_assert_eq!(serde_json::from_slice::<Object>(&json).unwrap(), object);
            }
        }
    }
}
