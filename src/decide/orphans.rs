//! Decides what happens to orphans: copies whose `ConfigMapSync` no longer exists.
//!
//! An orphan is collected (deleted or released) only if the identity in its markers is consistent, a
//! live read confirmed that its `ConfigMapSync` no longer exists, and no other `ConfigMapSync` would
//! adopt it. [`retire`] decides between deletion and release.
//!
//! If the `ConfigMapSync` was seen in this term, its orphans are collected at once. Otherwise the
//! copies may have been restored from a backup shortly before their `ConfigMapSync`: they are kept
//! for a grace period, and if there are too many of them, the brake keeps them all.

mod candidate;
mod census;
mod collection_plan;
mod due_state;
mod explain;
mod observed_orphans;

use crate::decide::orphans::due_state::DueState;
use crate::decide::orphans::due_state::due_state;
use crate::decide::retire::RetireCause;
use crate::decide::retire::RetiredCopy;
use crate::decide::retire::retire;

pub use candidate::CollectionMode;
pub use candidate::OrphanCandidate;
pub use candidate::OwnerState;
pub use census::Census;
pub use collection_plan::Brake;
pub use collection_plan::CollectionPlan;
pub use collection_plan::KeepReason;
pub use collection_plan::OrphanStep;
pub use observed_orphans::ObservedOrphans;

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
    let states = orphans
        .candidates
        .iter()
        .map(|(at, candidate)| (at, candidate, due_state(at, candidate, orphans.mode)));
    let brake = orphans.census.brake(orphans.marked_copies);
    let steps = states.map(|(at, candidate, state)| {
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
