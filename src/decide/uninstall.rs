//! What becomes of copies when the operator itself is removed.
//!
//! Whatever an operator that comes back would take for a copy is dealt with, and nothing else: the
//! identity in the markers must agree, as everywhere.

use crate::api::DeletionPolicy;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::Markers;
use crate::decide::Ownership;
use crate::decide::observed::ManagedBy;
use crate::decide::observed::Version;
use crate::decide::ownership;
use crate::decide::stamp::Stamp;

/// What a person wants done with the copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CopyHandling {
    /// They stay as they are, and ours; only what asks for their deletion is taken off, so that no
    /// later sweep deletes them.
    Keep,
    /// Those that we made go, except where their sync says to retain them; the others are released.
    Delete,
}

/// A `ConfigMap` that carries our uid label.
#[derive(Clone, Debug)]
pub struct MarkedCopy {
    /// Its version.
    pub version: Version,
    /// Whether it is being deleted, and held by somebody's finalizer.
    pub deleting: bool,
    /// Our markers on it.
    pub markers: Markers,
    /// Who its label `app.kubernetes.io/managed-by` names.
    pub managed_by: ManagedBy,
    /// The sync that has the uid in its markers, if there is one and somebody has looked.
    pub owner: Option<CopyOwner>,
}

/// A sync whose uid is in the markers of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyOwner {
    /// Namespace and name.
    pub name: NamespacedName,
    /// What its spec says of copies that are no longer wanted, if it can be read.
    pub policy: Option<DeletionPolicy>,
}

/// What has to be done to the `ConfigMap` at `at`, if anything. Done once, it is not asked for
/// again.
#[must_use]
pub fn uninstall_action(
    at: &NamespacedName,
    copy: &MarkedCopy,
    copies: CopyHandling,
) -> Option<Action> {
    let MarkedCopy { version, deleting, markers, managed_by, owner } = copy;
    // Nobody asks on behalf of a sync here: no uid, and no name, is "ours".
    let nobody = NamespacedName::new("", "");
    let owner_name = owner.as_ref().map(|owner| &owner.name);
    if *deleting || ownership(at, Some(markers), "", &nobody, owner_name) == Ownership::Foreign {
        return None;
    }
    let seen = version.clone();
    match copies {
        CopyHandling::Keep => {
            let stamp = Stamp::spare(markers);
            (!stamp.is_empty()).then_some(Action::Restamp { seen, stamp })
        }
        CopyHandling::Delete if markers.created && is_to_be_deleted(markers, owner.as_ref()) => {
            Some(Action::Delete { seen })
        }
        CopyHandling::Delete => {
            let stamp = Stamp::release(markers, *managed_by == ManagedBy::Us);
            Some(Action::Release { seen, stamp })
        }
    }
}

/// The spec says so, since the mark may have been taken off by an earlier removal that kept the
/// copies. Where there is no sync, or none that can be read, the mark is all there is.
fn is_to_be_deleted(markers: &Markers, owner: Option<&CopyOwner>) -> bool {
    match owner.and_then(|owner| owner.policy) {
        Some(policy) => policy == DeletionPolicy::Delete,
        None => markers.request_deletion(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decide::ContentHash;
    use crate::decide::markers::tests::any_marks;
    use crate::decide::stamp::Changes;
    use crate::names;

    fn place() -> NamespacedName {
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
                &place(),
                &NamespacedName::new("central", "shared"),
                &ContentHash::from_text("v1:00"),
                DeletionPolicy::Delete,
            ),
            managed_by: ManagedBy::Us,
            owner: Some(CopyOwner { name: sync(), policy: Some(DeletionPolicy::Delete) }),
        }
    }

    fn marked(change: impl FnOnce(&mut Markers)) -> MarkedCopy {
        let mut copy = copy();
        change(&mut copy.markers);
        copy
    }

    fn owned(owner: Option<CopyOwner>) -> MarkedCopy {
        MarkedCopy { owner, ..copy() }
    }

    fn verb(copy: &MarkedCopy, copies: CopyHandling) -> Option<&'static str> {
        uninstall_action(&place(), copy, copies).map(|action| action.verb())
    }

    #[test]
    fn a_kept_copy_loses_what_asks_for_its_deletion_and_nothing_else() {
        let Some(Action::Restamp { seen, stamp }) =
            uninstall_action(&place(), &copy(), CopyHandling::Keep)
        else {
            panic!("it asks for its deletion")
        };
        assert_eq!(seen, copy().version);
        assert_eq!(stamp.annotations.remove, [names::ANNOTATION_DELETION_POLICY.into()].into());
        assert!(stamp.annotations.set.is_empty() && stamp.labels == Changes::default());
        let spared = marked(|markers| markers.deletion_policy = None);
        assert_eq!(verb(&spared, CopyHandling::Keep), None, "once is enough");
    }

    #[test]
    fn what_we_made_is_deleted_where_that_is_wanted() {
        assert_eq!(verb(&copy(), CopyHandling::Delete), Some("delete"));
        let adopted = marked(|markers| markers.created = false);
        assert_eq!(verb(&adopted, CopyHandling::Delete), Some("release"));
        let spared = marked(|markers| markers.deletion_policy = None);
        assert_eq!(
            verb(&spared, CopyHandling::Delete),
            Some("delete"),
            "kept once, wanted gone now"
        );
    }

    #[test]
    fn what_its_sync_says_to_retain_is_released() {
        let retained = Some(CopyOwner { name: sync(), policy: Some(DeletionPolicy::Retain) });
        assert_eq!(verb(&owned(retained), CopyHandling::Delete), Some("release"));
    }

    #[test]
    fn where_no_spec_can_be_read_the_mark_tells() {
        for owner in [None, Some(CopyOwner { name: sync(), policy: None })] {
            assert_eq!(verb(&owned(owner.clone()), CopyHandling::Delete), Some("delete"));
            let mut retained = owned(owner);
            retained.markers.deletion_policy = None;
            assert_eq!(verb(&retained, CopyHandling::Delete), Some("release"));
        }
    }

    #[test]
    fn what_is_not_ours_or_going_already_is_left_alone() {
        let another = Some(CopyOwner { name: NamespacedName::new("a", "b"), policy: None });
        let left = [
            marked(|markers| markers.copy = Some("app/other".into())),
            marked(|markers| markers.sync = None),
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
        fn nothing_is_deleted_that_we_did_not_create(markers in any_marks(), deletes: bool) {
            let copy = MarkedCopy { markers, owner: None, ..copy() };
            let at = copy.markers.copy.as_ref().and_then(|copy| copy.parse().ok());
            let at = at.unwrap_or_else(place);
            let copies = if deletes { CopyHandling::Delete } else { CopyHandling::Keep };
            if let Some(Action::Delete { .. }) = uninstall_action(&at, &copy, copies) {
                prop_assert!(deletes && copy.markers.created && copy.markers.request_deletion());
            }
        }
    }
}
