//! The contents of the source, of copies, and of what users write.

use configmapsync::decide::Content;

use crate::object::Map;
use crate::spec::Spec;

/// The number of contents that the source may have.
pub const CONTENTS: u8 = 3;

/// A content of the source. The last one lacks the key that `keys` may list.
pub fn source_content(content: u8) -> Content {
    let data = match content {
        0 => map(&[("a", "0"), ("b", "0")]),
        1 => map(&[("a", "1"), ("b", "0")]),
        _ => map(&[("b", "0")]),
    };
    Content { data, ..Content::default() }
}

/// What a copy should contain, by the documentation of the spec.
pub fn copied(content: u8, spec: Spec) -> Map {
    let mut data = source_content(content).data;
    if spec.lists_keys {
        data.retain(|key, _| key == "a");
    }
    data
}

/// The content of a `ConfigMap` of a user.
pub fn user_content() -> Map {
    map(&[("own", "1")])
}

fn map(entries: &[(&str, &str)]) -> Map {
    entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}
