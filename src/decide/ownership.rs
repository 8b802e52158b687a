//! Classifies to which `ConfigMapSync` a `ConfigMap` belongs. All decisions use this one function.

use crate::api::namespaced_name::NamespacedName;
use crate::decide::Markers;

/// To which `ConfigMapSync` a `ConfigMap` belongs, from the perspective of one of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// The identity in its markers is consistent and names this `ConfigMapSync`.
    Ours,
    /// The identity is consistent and names another existing `ConfigMapSync`.
    Sibling(NamespacedName),
    /// The identity is consistent, but its `ConfigMapSync` no longer exists.
    Orphan,
    /// Anything else: it is not a copy, and must not be changed.
    Foreign,
}

/// Classifies the `ConfigMap` at `at` from the perspective of the `ConfigMapSync` `sync`.
///
/// * `markers`: its ownership markers, if any.
/// * `sync_uid`, `sync`: uid and name of the `ConfigMapSync`.
/// * `owner`: the existing `ConfigMapSync` whose uid the markers carry, if any.
///
/// The identity is consistent if the markers name the `ConfigMap` itself, and the `ConfigMapSync`
/// with the uid in the label has the name in the annotation. A clone of a copy, or a copy with an
/// edited identity, is therefore [`Ownership::Foreign`].
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

    fn copy() -> NamespacedName {
        NamespacedName::new("app", "shared")
    }

    fn markers() -> Markers {
        Markers::desired(
            UID,
            &sync(),
            &copy(),
            &NamespacedName::new("central", "shared"),
            &ContentHash::from_text("v1:00"),
            DeletionPolicy::Delete,
        )
    }

    fn classify(markers: Option<&Markers>, owner: Option<&NamespacedName>) -> Ownership {
        ownership(&copy(), markers, UID, &sync(), owner)
    }

    #[test]
    fn a_copy_with_consistent_identity_is_ours() {
        assert_eq!(classify(Some(&markers()), Some(&sync())), Ownership::Ours);
    }

    #[test]
    fn an_object_without_markers_is_foreign() {
        assert_eq!(classify(None, None), Ownership::Foreign);
    }

    #[test]
    fn a_copy_of_another_existing_sync_is_a_sibling() {
        let other = NamespacedName::new("other", "sync");
        let markers = Markers { sync_uid: "2".into(), sync: Some(other.to_string()), ..markers() };
        assert_eq!(classify(Some(&markers), Some(&other)), Ownership::Sibling(other.clone()));
    }

    #[test]
    fn a_copy_of_a_deleted_sync_is_an_orphan() {
        let markers = Markers { sync_uid: "2".into(), ..markers() };
        assert_eq!(classify(Some(&markers), None), Ownership::Orphan);
    }

    #[test]
    fn an_existing_uid_under_another_name_is_foreign() {
        let markers = Markers { sync_uid: "2".into(), ..markers() };
        let owner = NamespacedName::new("other", "sync");
        assert_eq!(classify(Some(&markers), Some(&owner)), Ownership::Foreign);
    }

    proptest! {
        #[test]
        fn a_changed_identity_marker_is_not_ours(which in 0..3_usize, text in "[a-z0-9]{1,9}(/[a-z0-9]{1,9})?", gone: bool) {
            let mut changed = markers();
            let other = (!gone).then_some(text.clone());
            match which {
                0 => changed.sync_uid = text,
                1 => changed.sync = other,
                _ => changed.copy = other,
            }
            prop_assume!(changed != markers());
            prop_assert_ne!(classify(Some(&changed), None), Ownership::Ours);
            prop_assert_ne!(classify(Some(&changed), Some(&sync())), Ownership::Ours);
        }

        #[test]
        fn state_markers_do_not_affect_ownership(source in proptest::option::of("[a-z]{1,5}"), created: bool) {
            let changed = Markers { source, created, content_hash: None, deletion_policy: None, ..markers() };
            prop_assert_eq!(classify(Some(&changed), Some(&sync())), Ownership::Ours);
        }
    }
}
