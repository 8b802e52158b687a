//! Decides what happens to orphans: copies whose `ConfigMapSync` no longer exists.
//!
//! An orphan is collected (deleted or released) only if the identity in its markers is consistent, a
//! live read confirmed that its `ConfigMapSync` no longer exists, and no other `ConfigMapSync` would
//! adopt it. [`retire`] decides between deletion and release.
//!
//! If the `ConfigMapSync` was seen in this term, its orphans are collected at once. Otherwise the
//! copies may have been restored from a backup shortly before their `ConfigMapSync`: they are kept
//! for a grace period, and if there are too many of them, the brake keeps them all.

mod collection_plan;
mod explain;
mod observed_orphans;

use std::time::Duration;

use crate::api::dns_names::is_dns_label;
use crate::api::dns_names::is_dns_subdomain;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Markers;
use crate::decide::Ownership;
use crate::decide::observed::NamespaceState;
use crate::decide::ownership;
use crate::decide::retire::RetireCause;
use crate::decide::retire::RetiredCopy;
use crate::decide::retire::retire;

pub use collection_plan::Brake;
pub use collection_plan::CollectionPlan;
pub use collection_plan::KeepReason;
pub use collection_plan::OrphanStep;
pub use observed_orphans::CollectionMode;
pub use observed_orphans::ObservedOrphans;
pub use observed_orphans::OrphanCandidate;
pub use observed_orphans::OwnerState;

/// The brake never applies to this many orphans or fewer.
const MIN_BRAKE_LIMIT: usize = 10;
/// The brake applies to more orphans than this fraction of all copies: one in five.
const BRAKE_FRACTION: usize = 5;

/// Decides what happens to `orphans`.
///
/// To be called twice: the first plan lists the candidates to read with
/// [`OrphanStep::ConfirmOwner`]; with the results in [`OrphanCandidate::owner`], the second plan
/// lists the writes.
///
/// # Guarantees
/// * A candidate is deleted or released only if its owner is [`OwnerState::Deleted`] or
///   [`OwnerState::Replaced`].
/// * The second plan requires no more reads.
#[must_use]
pub fn plan_collection(orphans: &ObservedOrphans) -> CollectionPlan {
    let states = || {
        orphans
            .candidates
            .iter()
            .map(|(at, candidate)| (at, candidate, due_state(at, candidate, orphans.mode)))
    };
    let brake = brake(states().map(|(_, _, state)| state), orphans.marked_copies);
    let steps = states().map(|(at, candidate, state)| {
        let step = match (state, brake) {
            (DueState::Kept(reason), _) => OrphanStep::Keep(reason),
            (DueState::NeverSeen { remaining: Some(remaining) }, _) => {
                OrphanStep::Wait { remaining }
            }
            (DueState::NeverSeen { remaining: None }, Some(brake)) => {
                OrphanStep::Keep(KeepReason::Held(brake))
            }
            (DueState::Due | DueState::NeverSeen { remaining: None }, _) => due_step(candidate),
        };
        (at.clone(), step)
    });
    CollectionPlan { steps: steps.collect(), brake }
}

/// The state of one candidate, regardless of the brake.
enum DueState {
    Kept(KeepReason),
    Due,
    /// Its `ConfigMapSync` was never seen in this term: it is due when no grace period remains,
    /// unless the brake applies.
    NeverSeen {
        remaining: Option<Duration>,
    },
}

fn due_state(at: &NamespacedName, candidate: &OrphanCandidate, mode: CollectionMode) -> DueState {
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

/// The brake applies as soon as one orphan is due. It also counts those whose grace period has not
/// elapsed: many that appear one after the other are as suspicious as many at once.
fn brake(states: impl Iterator<Item = DueState>, marked_copies: usize) -> Option<Brake> {
    let never_seen: Vec<_> = states
        .filter_map(|state| match state {
            DueState::NeverSeen { remaining } => Some(remaining),
            DueState::Kept(_) | DueState::Due => None,
        })
        .collect();
    let limit = MIN_BRAKE_LIMIT.max(marked_copies / BRAKE_FRACTION);
    let one_is_due = never_seen.iter().any(Option::is_none);
    (one_is_due && never_seen.len() > limit).then_some(Brake { orphans: never_seen.len(), limit })
}

fn due_step(candidate: &OrphanCandidate) -> OrphanStep {
    let OrphanCandidate { version, markers, marker_keys, managed_by, .. } = candidate;
    if let Some(failure) = &candidate.pending_retry {
        return OrphanStep::Keep(KeepReason::Failed(failure.clone()));
    }
    if candidate.owner == OwnerState::Unchecked {
        return OrphanStep::ConfirmOwner;
    }
    let (marker_keys, managed_by) = (*marker_keys, *managed_by);
    let copy = RetiredCopy { version, markers, marker_keys, managed_by };
    OrphanStep::Retire(retire(copy, RetireCause::Orphaned))
}

#[cfg(test)]
mod tests;
