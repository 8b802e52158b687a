//! Decides what happens to copies when the operator is uninstalled.
//!
//! Only objects whose identity is consistent are changed: those that an operator installed later
//! would recognize as copies.

use crate::api::DeletionPolicy;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::Markers;
use crate::decide::Ownership;
use crate::decide::markers::MarkerKeys;
use crate::decide::observed::ManagedBy;
use crate::decide::observed::Version;
use crate::decide::ownership;
use crate::decide::retire::RetireCause;
use crate::decide::retire::RetiredCopy;
use crate::decide::retire::retire;

/// What the user chose for the copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyHandling {
    /// They keep their markers, except the recorded deletion policy, so that a later orphan
    /// collection does not delete them.
    Keep,
    /// Those that the operator created are deleted, unless their `deletionPolicy` is `Retain`. The
    /// others are released.
    Delete,
}

/// A `ConfigMap` with the uid label.
#[derive(Clone, Debug)]
pub struct MarkedCopy {
    /// Its version.
    pub version: Version,
    /// Whether it is being deleted and waits for its finalizers.
    pub deleting: bool,
    /// Its ownership markers.
    pub markers: Markers,
    /// The keys of its ownership markers, some of which may have unknown values.
    pub marker_keys: MarkerKeys,
    /// Its label `app.kubernetes.io/managed-by`.
    pub managed_by: ManagedBy,
    /// The `ConfigMapSync` with the uid in its markers, if it exists and was read.
    pub owner: Option<CopyOwner>,
}

/// The `ConfigMapSync` that a copy belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOwner {
    /// Namespace and name.
    pub name: NamespacedName,
    /// Its `deletionPolicy`, unless its spec cannot be parsed.
    pub policy: Option<DeletionPolicy>,
}

/// The write that the `ConfigMap` at `at` requires, if any. After that write, no further one is
/// required.
#[must_use]
pub fn uninstall_action(
    at: &NamespacedName,
    copy: &MarkedCopy,
    handling: CopyHandling,
) -> Option<Action> {
    let MarkedCopy { version, deleting, markers, marker_keys, managed_by, owner } = copy;
    // Classified from the perspective of no ConfigMapSync, so never as "ours".
    let no_sync = NamespacedName::new("", "");
    let owner_name = owner.as_ref().map(|owner| &owner.name);
    if *deleting || ownership(at, Some(markers), "", &no_sync, owner_name) == Ownership::Foreign {
        return None;
    }
    let cause = match handling {
        CopyHandling::Keep => RetireCause::UninstallKeep,
        CopyHandling::Delete => {
            RetireCause::UninstallDelete(owner.as_ref().and_then(|owner| owner.policy))
        }
    };
    let (marker_keys, managed_by) = (*marker_keys, *managed_by);
    let action = retire(RetiredCopy { version, markers, marker_keys, managed_by }, cause);
    action.is_write().then_some(action)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decide::ContentHash;
    use crate::decide::markers::tests::any_markers;
    use crate::decide::stamp::Changes;
    use crate::names;

    fn copy_name() -> NamespacedName {
        NamespacedName::new("app", "shared")
    }

    fn sync() -> NamespacedName {
        NamespacedName::new("team", "settings")
    }

    fn copy() -> MarkedCopy {
        MarkedCopy {
            version: Version { uid: "copy".into(), resource_version: "7".into() },
            deleting: false,
            markers: Markers::desired(
                "uid",
                &sync(),
                &copy_name(),
                &NamespacedName::new("central", "shared"),
                &ContentHash::from_text("v1:00"),
                DeletionPolicy::Delete,
            ),
            marker_keys: MarkerKeys::default(),
            managed_by: ManagedBy::Us,
            owner: Some(CopyOwner { name: sync(), policy: Some(DeletionPolicy::Delete) }),
        }
    }

    fn with_markers(change: impl FnOnce(&mut Markers)) -> MarkedCopy {
        let mut copy = copy();
        change(&mut copy.markers);
        copy
    }

    fn owned(owner: Option<CopyOwner>) -> MarkedCopy {
        MarkedCopy { owner, ..copy() }
    }

    fn verb(copy: &MarkedCopy, handling: CopyHandling) -> Option<&'static str> {
        uninstall_action(&copy_name(), copy, handling).map(|action| action.verb())
    }

    #[test]
    fn a_kept_copy_loses_only_its_deletion_policy() {
        let Some(Action::Restamp { seen, stamp }) =
            uninstall_action(&copy_name(), &copy(), CopyHandling::Keep)
        else {
            panic!("no deletion policy was removed")
        };
        assert_eq!(seen, copy().version);
        assert_eq!(stamp.annotations.remove, [names::ANNOTATION_DELETION_POLICY.into()].into());
        assert!(stamp.annotations.set.is_empty() && stamp.labels == Changes::default());
        let kept = with_markers(|markers| markers.deletion_policy = None);
        assert_eq!(verb(&kept, CopyHandling::Keep), None, "a second run changes nothing");
    }

    #[test]
    fn a_created_copy_is_deleted_on_request() {
        assert_eq!(verb(&copy(), CopyHandling::Delete), Some("delete"));
        let adopted = with_markers(|markers| markers.created = false);
        assert_eq!(verb(&adopted, CopyHandling::Delete), Some("release"));
        let kept = with_markers(|markers| markers.deletion_policy = None);
        assert_eq!(
            verb(&kept, CopyHandling::Delete),
            Some("delete"),
            "the spec decides, not the marker"
        );
    }

    #[test]
    fn a_copy_of_a_retaining_sync_is_released() {
        let retained = Some(CopyOwner { name: sync(), policy: Some(DeletionPolicy::Retain) });
        assert_eq!(verb(&owned(retained), CopyHandling::Delete), Some("release"));
    }

    #[test]
    fn without_a_spec_the_marker_decides() {
        for owner in [None, Some(CopyOwner { name: sync(), policy: None })] {
            assert_eq!(verb(&owned(owner.clone()), CopyHandling::Delete), Some("delete"));
            let mut retained = owned(owner);
            retained.markers.deletion_policy = None;
            assert_eq!(verb(&retained, CopyHandling::Delete), Some("release"));
        }
    }

    #[test]
    fn foreign_and_terminating_objects_are_left_alone() {
        let another = Some(CopyOwner { name: NamespacedName::new("a", "b"), policy: None });
        let left = [
            with_markers(|markers| markers.copy = Some("app/other".into())),
            with_markers(|markers| markers.sync = None),
            owned(another),
            MarkedCopy { deleting: true, ..copy() },
        ];
        for copy in left {
            assert_eq!(verb(&copy, CopyHandling::Keep), None, "{copy:?}");
            assert_eq!(verb(&copy, CopyHandling::Delete), None, "{copy:?}");
        }
    }

    proptest! {
        #[test]
        fn uninstalling_deletes_only_created_copies(markers in any_markers(), deletes: bool) {
            let copy = MarkedCopy { markers, owner: None, ..copy() };
            let at = copy.markers.copy.as_ref().and_then(|copy| copy.parse().ok());
            let at = at.unwrap_or_else(copy_name);
            let handling = if deletes { CopyHandling::Delete } else { CopyHandling::Keep };
            if let Some(Action::Delete { .. }) = uninstall_action(&at, &copy, handling) {
                prop_assert!(deletes && copy.markers.created && copy.markers.records_delete_policy());
            }
        }
    }
}
