//! Decides whether a copy that is no longer desired is deleted, released or kept.
//!
//! The plan of a reconcile, orphan collection and uninstallation all call [`retire`], so that one
//! function guards the promise that an object which the operator did not create is never deleted.

use crate::api::DeletionPolicy;
use crate::decide::Action;
use crate::decide::Markers;
use crate::decide::markers::MarkerKeys;
use crate::decide::observed::ManagedBy;
use crate::decide::observed::Version;
use crate::decide::stamp::Stamp;

/// Why a copy is no longer desired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetireCause {
    /// Its `ConfigMapSync` is being deleted, or no longer selects this destination. Carries the
    /// `deletionPolicy`, unless the spec cannot be parsed.
    NotDesired(Option<DeletionPolicy>),
    /// The source is gone, or must not be copied, and `sourceDeletionPolicy` is `Delete`.
    SourceGone,
    /// Its `ConfigMapSync` no longer exists.
    Orphaned,
    /// The operator is uninstalled, and copies are kept.
    UninstallKeep,
    /// The operator is uninstalled, and copies are deleted. Carries the `deletionPolicy` of the
    /// `ConfigMapSync`, if that exists and its spec can be parsed.
    UninstallDelete(Option<DeletionPolicy>),
}

/// A copy that is no longer desired.
#[derive(Clone, Copy, Debug)]
pub struct RetiredCopy<'a> {
    /// Its version, which the write is conditional on.
    pub version: &'a Version,
    /// Its ownership markers.
    pub markers: &'a Markers,
    /// The keys of its ownership markers, some of which may have unknown values.
    pub marker_keys: MarkerKeys,
    /// Its label `app.kubernetes.io/managed-by`.
    pub managed_by: ManagedBy,
}

/// Decides what happens to `copy`.
///
/// # Guarantees
/// * [`Action::Delete`] only if the markers record that the operator created the copy.
/// * [`Action::Delete`] of an orphan only if the markers also record `deletionPolicy: Delete`.
/// * Otherwise the copy is released: its markers are removed and everything else is kept.
/// * With [`RetireCause::UninstallKeep`] the copy keeps its other markers and loses only the
///   recorded deletion policy, so that a later orphan collection does not delete it.
#[must_use]
pub fn retire(copy: RetiredCopy<'_>, cause: RetireCause) -> Action {
    let RetiredCopy { version, markers, marker_keys, managed_by } = copy;
    let seen = version.clone();
    let deletes = match cause {
        RetireCause::UninstallKeep => return clear_deletion_policy(seen, markers),
        RetireCause::SourceGone => true,
        RetireCause::Orphaned => markers.records_delete_policy(),
        // The marker may lag behind the spec: an earlier uninstallation may have removed it.
        RetireCause::NotDesired(policy) | RetireCause::UninstallDelete(policy) => policy
            .map_or_else(
                || markers.records_delete_policy(),
                |policy| policy == DeletionPolicy::Delete,
            ),
    };
    if deletes && markers.created {
        Action::Delete { seen }
    } else {
        Action::Release { seen, stamp: Stamp::release(marker_keys, managed_by == ManagedBy::Us) }
    }
}

fn clear_deletion_policy(seen: Version, markers: &Markers) -> Action {
    let stamp = Stamp::clear_deletion_policy(markers);
    if stamp.is_empty() { Action::Keep } else { Action::Restamp { seen, stamp } }
}

#[cfg(test)]
mod tests;
