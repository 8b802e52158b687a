//! Whose is a `ConfigMap`? One function answers, on every path.

use crate::api::namespaced_name::NamespacedName;
use crate::decide::Markers;

/// Whose a `ConfigMap` is, as one `ConfigMapSync` sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// Its identity agrees, and it belongs to this sync.
    Ours,
    /// Its identity agrees, and it belongs to another living sync, named here.
    Sibling(NamespacedName),
    /// Its identity agrees, but the sync that it belonged to is dead.
    Orphan,
    /// All else: hands off.
    Foreign,
}

/// Tells whose the `ConfigMap` at `at` is.
///
/// * `markers`: the markers on it, if it carries any.
/// * `sync_uid`, `sync`: the sync that asks.
/// * `owner`: the living sync whose uid the markers carry, if there is one.
///
/// A mark is believed only as far as its identity agrees: it must name this very `ConfigMap`, and
/// the sync with the uid in its label must have the name in its annotation. A clone of a copy, or
/// a copy whose identity was edited, is therefore Foreign.
#[must_use]
pub fn ownership(
    at: &NamespacedName,
    markers: Option<&Markers>,
    sync_uid: &str,
    sync: &NamespacedName,
    owner: Option<&NamespacedName>,
) -> Ownership {
    let Some(markers) = markers else { return Ownership::Foreign };
    let (Some(marked_sync), Some(marked_copy)) = (&markers.sync, &markers.copy) else {
        return Ownership::Foreign;
    };
    if *marked_copy != at.to_string() {
        return Ownership::Foreign;
    }
    if markers.sync_uid == sync_uid {
        return if *marked_sync == sync.to_string() { Ownership::Ours } else { Ownership::Foreign };
    }
    match owner {
        Some(owner) if *marked_sync == owner.to_string() => Ownership::Sibling(owner.clone()),
        None if marked_sync.parse::<NamespacedName>().is_ok() => Ownership::Orphan,
        Some(_) | None => Ownership::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::api::DeletionPolicy;
    use crate::decide::ContentHash;

    const UID: &str = "11111111-aaaa";

    fn sync() -> NamespacedName {
        NamespacedName::new("team", "settings")
    }

    fn place() -> NamespacedName {
        NamespacedName::new("app", "shared")
    }

    fn markers() -> Markers {
        Markers::desired(
            UID,
            &sync(),
            &place(),
            &NamespacedName::new("central", "shared"),
            &ContentHash::from_text("v1:00"),
            DeletionPolicy::Delete,
        )
    }

    fn whose(markers: Option<&Markers>, owner: Option<&NamespacedName>) -> Ownership {
        ownership(&place(), markers, UID, &sync(), owner)
    }

    #[test]
    fn a_copy_with_our_identity_is_ours() {
        assert_eq!(whose(Some(&markers()), Some(&sync())), Ownership::Ours);
    }

    #[test]
    fn without_marks_it_is_foreign() {
        assert_eq!(whose(None, None), Ownership::Foreign);
    }

    #[test]
    fn a_copy_of_a_living_sync_is_its_sibling() {
        let other = NamespacedName::new("other", "sync");
        let markers = Markers { sync_uid: "2".into(), sync: Some(other.to_string()), ..markers() };
        assert_eq!(whose(Some(&markers), Some(&other)), Ownership::Sibling(other.clone()));
    }

    #[test]
    fn a_copy_of_a_dead_sync_is_an_orphan() {
        let markers = Markers { sync_uid: "2".into(), ..markers() };
        assert_eq!(whose(Some(&markers), None), Ownership::Orphan);
    }

    #[test]
    fn a_living_uid_under_another_name_is_foreign() {
        let markers = Markers { sync_uid: "2".into(), ..markers() };
        let owner = NamespacedName::new("other", "sync");
        assert_eq!(whose(Some(&markers), Some(&owner)), Ownership::Foreign);
    }

    proptest! {
        #[test]
        fn any_identity_mark_changed_is_not_ours(which in 0..3_usize, text in "[a-z0-9]{1,9}(/[a-z0-9]{1,9})?", gone: bool) {
            let mut changed = markers();
            let other = (!gone).then_some(text.clone());
            match which {
                0 => changed.sync_uid = text,
                1 => changed.sync = other,
                _ => changed.copy = other,
            }
            prop_assume!(changed != markers());
            prop_assert_ne!(whose(Some(&changed), None), Ownership::Ours);
            prop_assert_ne!(whose(Some(&changed), Some(&sync())), Ownership::Ours);
        }

        #[test]
        fn state_marks_play_no_part_in_ownership(source in proptest::option::of("[a-z]{1,5}"), created: bool) {
            let changed = Markers { source, created, content_hash: None, deletion_policy: None, ..markers() };
            prop_assert_eq!(whose(Some(&changed), Some(&sync())), Ownership::Ours);
        }
    }
}
