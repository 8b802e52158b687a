//! Entries of the cache, without what their key contains, too.

use crate::cache::entry::Entry;
use crate::cache::key::Key;
use crate::cache::packed::Packed;

/// A packed entry.
#[derive(Debug)]
pub(super) struct PackedEntry {
    entry: Packed<Entry>,
    /// The marker `copy` is the name of the entry. It is left out.
    names_itself: bool,
}

// === impl PackedEntry ===

impl PackedEntry {
    /// Packs the entry `key`. `None` if it cannot be serialized, which does not happen for plain data.
    pub(super) fn of(key: &Key, entry: &Entry) -> Option<Self> {
        let named = entry.markers.as_ref().and_then(|markers| markers.copy.as_deref());
        let names_itself = named == Some(key.as_str());
        let entry = if names_itself { &with_copy(entry.clone(), None) } else { entry };
        Some(Self { entry: Packed::of(entry)?, names_itself })
    }

    /// The entry `key`, as it was packed.
    pub(super) fn unpack(&self, key: &Key) -> Option<Entry> {
        let entry = self.entry.unpack()?;
        let copy = self.names_itself.then(|| key.as_str().to_owned());
        Some(if copy.is_some() { with_copy(entry, copy) } else { entry })
    }
}

fn with_copy(mut entry: Entry, copy: Option<String>) -> Entry {
    if let Some(markers) = &mut entry.markers {
        markers.copy = copy;
    }
    entry
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::DeletionPolicy;
    use crate::api::namespaced_name::NamespacedName;
    use crate::decide::Content;
    use crate::decide::Markers;
    use crate::decide::drift::ConfigMapMetadata;

    fn at() -> NamespacedName {
        NamespacedName::new("app", "settings")
    }

    fn copy_of(sync: &str, copy: Option<&str>) -> Entry {
        let uid = "6b7c7a0e-2f1d-4f0a-9c1e-0123456789ab";
        let markers = Markers::desired(
            uid,
            &sync.parse().unwrap(),
            &at(),
            &NamespacedName::new("central", "settings"),
            &Content::default().hash(),
            DeletionPolicy::Delete,
        );
        let markers = Markers { copy: copy.map(str::to_owned), ..markers };
        let metadata = ConfigMapMetadata {
            uid: Some(uid.into()),
            resource_version: Some("1234567".into()),
            labels: Some(markers.labels()),
            annotations: Some(markers.annotations()),
            ..ConfigMapMetadata::default()
        };
        Entry::of(&metadata).unwrap()
    }

    #[test]
    fn an_unpacked_entry_equals_the_packed_one() {
        let key = Key::from(&at());
        for copy in [Some("app/settings"), Some("another/settings"), Some(""), None] {
            let entry = copy_of("team/settings", copy);
            assert_eq!(
                PackedEntry::of(&key, &entry).unwrap().unpack(&key),
                Some(entry),
                "{copy:?}"
            );
        }
    }

    #[test]
    fn a_typical_copy_takes_few_bytes() {
        let entry = copy_of("team/settings", Some("app/settings"));
        let packed = PackedEntry::of(&Key::from(&at()), &entry).unwrap();
        let bytes = packed.entry.length();
        assert!(bytes <= 136, "{bytes}");
    }
}
