//! Things that there are many of, as bytes: a third of their size or less, in one piece of memory
//! instead of a dozen.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A `T`, packed. Unpacking one costs about a microsecond: whoever asks has a call to make that
/// takes a thousand times as long.
#[derive(Debug)]
pub(super) struct Packed<T> {
    bytes: Box<[u8]>,
    of: PhantomData<fn() -> T>,
}

// === impl Packed ===

impl<T: Serialize + DeserializeOwned> Packed<T> {
    /// Packs `value`. `None` if it cannot be packed, as nothing that consists of plain data.
    pub(super) fn of(value: &T) -> Option<Self> {
        let bytes = postcard::to_allocvec(value).ok()?;
        Some(Self { bytes: bytes.into(), of: PhantomData })
    }

    /// The value. `None` if it cannot be read back, as nothing that was packed here.
    pub(super) fn unpack(&self) -> Option<T> {
        postcard::from_bytes(&self.bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
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
                let metadata = ObjectMeta {
                    uid: Some("1b4e28ba-2fa1-11d2-883f-0016d3cca427".into()),
                    resource_version: Some("7".into()),
                    labels: Some(labels),
                    annotations: Some(annotations),
                    ..ObjectMeta::default()
                };
                let read = is_read.then(|| Content::default().digest());
                Entry { read, ..Entry::of(&metadata).unwrap() }
            },
        )
    }

    proptest! {
        #[test]
        fn an_entry_comes_out_as_it_went_in(entry in any_entry()) {
            prop_assert_eq!(Packed::of(&entry).unwrap().unpack(), Some(entry));
        }
    }
}
