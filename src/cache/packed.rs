//! Serialized values: for the many entries of the cache, at most a third of the size in memory, in
//! one allocation instead of a dozen.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A serialized `T`. Unpacking costs about a microsecond, a thousandth of the API call that usually
/// follows.
#[derive(Debug)]
pub(super) struct Packed<T> {
    bytes: Box<[u8]>,
    of: PhantomData<fn() -> T>,
}

// === impl Packed ===

impl<T: Serialize + DeserializeOwned> Packed<T> {
    /// Packs `value`. `None` if it cannot be serialized, which does not happen for plain data.
    pub(super) fn of(value: &T) -> Option<Self> {
        let bytes = postcard::to_allocvec(value).ok()?;
        Some(Self { bytes: bytes.into(), of: PhantomData })
    }

    /// The number of bytes.
    #[cfg(test)]
    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// The value. `None` if it cannot be deserialized, which does not happen for a packed value.
    pub(super) fn unpack(&self) -> Option<T> {
        postcard::from_bytes(&self.bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use crate::decide::drift::ConfigMapMetadata;
    use proptest::prelude::*;

    use super::*;
    use crate::cache::Entry;
    use crate::decide::Content;
    use crate::decide::markers::tests::any_markers;

    fn any_map() -> impl Strategy<Value = BTreeMap<String, String>> {
        proptest::collection::btree_map("[a-z/.]{1,4}", "[a-z]{0,4}", 0..3)
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let markers = proptest::option::of(any_markers());
        (markers, any_map(), any_map(), any::<bool>()).prop_map(
            |(markers, labels, notes, is_read)| {
                let (mut labels, mut annotations) = (labels, notes);
                if let Some(markers) = markers {
                    labels.extend(markers.labels());
                    annotations.extend(markers.annotations());
                }
                let metadata = ConfigMapMetadata {
                    uid: Some("1b4e28ba-2fa1-11d2-883f-0016d3cca427".into()),
                    resource_version: Some("7".into()),
                    labels: Some(labels),
                    annotations: Some(annotations),
                    ..ConfigMapMetadata::default()
                };
                let read = is_read.then(|| Content::default().digest());
                Entry { read, ..Entry::of(&metadata).unwrap() }
            },
        )
    }

    proptest! {
        #[test]
        fn an_unpacked_entry_equals_the_packed_one(entry in any_entry()) {
            prop_assert_eq!(Packed::of(&entry).unwrap().unpack(), Some(entry));
        }
    }
}
