//! Whether one orphan is due, regardless of the others.

use std::time::Duration;

use crate::api::dns_names::is_dns_label;
use crate::api::dns_names::is_dns_subdomain;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Markers;
use crate::decide::Ownership;
use crate::decide::observed::NamespaceState;
use crate::decide::orphans::candidate::CollectionMode;
use crate::decide::orphans::candidate::OrphanCandidate;
use crate::decide::orphans::candidate::OwnerState;
use crate::decide::orphans::collection_plan::KeepReason;
use crate::decide::ownership;

/// The state of one candidate, regardless of the brake.
pub enum DueState {
    /// It is kept.
    Kept(KeepReason),
    /// It is due.
    Due,
    /// Its `ConfigMapSync` was never seen in this term: it is due when no grace period remains,
    /// unless the brake applies.
    NeverSeen {
        /// The rest of the grace period.
        remaining: Option<Duration>,
    },
}

/// The state of the candidate at `at`.
pub fn due_state(
    at: &NamespacedName,
    candidate: &OrphanCandidate,
    mode: CollectionMode,
) -> DueState {
    match keep_reason(at, candidate) {
        Some(reason) => DueState::Kept(reason),
        None => match mode {
            CollectionMode::Requested => DueState::Due,
            CollectionMode::Automatic(_) if candidate.seen_alive => DueState::Due,
            CollectionMode::Automatic(grace) => DueState::NeverSeen {
                remaining: grace
                    .checked_sub(candidate.known_for)
                    .filter(|remaining| !remaining.is_zero()),
            },
        },
    }
}

fn keep_reason(at: &NamespacedName, candidate: &OrphanCandidate) -> Option<KeepReason> {
    if !is_orphan(at, &candidate.markers) {
        return Some(KeepReason::NotOurs);
    }
    if candidate.deleting {
        return Some(KeepReason::BeingDeleted);
    }
    match candidate.namespace {
        NamespaceState::Protected => return Some(KeepReason::NamespaceProtected),
        NamespaceState::Terminating => return Some(KeepReason::NamespaceTerminating),
        // Whether a selector matches it, so that its copy is adopted, is unknown, too.
        NamespaceState::Missing => return Some(KeepReason::NamespaceUnknown),
        NamespaceState::Active | NamespaceState::Refused | NamespaceState::Unclear => {}
    }
    if candidate.adoptable {
        return Some(KeepReason::Adoptable);
    }
    match &candidate.owner {
        OwnerState::Exists => Some(KeepReason::OwnerExists),
        OwnerState::Unknown(why) => Some(KeepReason::OwnerUnknown(why.clone())),
        OwnerState::Unchecked | OwnerState::Deleted | OwnerState::Replaced => None,
    }
}

/// Whether the identity is consistent and names a `ConfigMapSync` that can be read: an annotation
/// may contain any text, such as path segments.
fn is_orphan(at: &NamespacedName, markers: &Markers) -> bool {
    let sync = markers.sync.as_deref().and_then(|sync| sync.parse::<NamespacedName>().ok());
    let is_valid =
        sync.is_some_and(|sync| is_dns_label(&sync.namespace) && is_dns_subdomain(&sync.name));
    // Classified from the perspective of no ConfigMapSync, so never as "ours".
    let no_sync = NamespacedName::new("", "");
    is_valid && ownership(at, Some(markers), "", &no_sync, None) == Ownership::Orphan
}
