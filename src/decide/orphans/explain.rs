//! Explanations of the steps of orphan collection, for users.

use std::fmt;

use crate::decide::Action;
use crate::decide::orphans::candidate::OrphanCandidate;
use crate::decide::orphans::candidate::OwnerState;
use crate::decide::orphans::collection_plan::Brake;
use crate::decide::orphans::collection_plan::KeepReason;
use crate::decide::orphans::collection_plan::OrphanStep;

// === impl OrphanStep ===

impl OrphanStep {
    /// The name of the step in the output of `configmapsync sweep` and in metrics.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        match self {
            Self::Wait { .. } => "wait",
            Self::ConfirmOwner => "ask",
            Self::Retire(action) => action.verb(),
            Self::Keep(_) => "leave",
        }
    }

    /// Why this step was chosen for `candidate`.
    #[must_use]
    pub fn why(&self, candidate: &OrphanCandidate) -> String {
        let owner = owner_is_gone(&candidate.owner);
        match self {
            Self::Wait { remaining } => {
                format!("its ConfigMapSync may be restored: it is collected in {remaining:?}")
            }
            Self::ConfirmOwner => {
                "it is due, once a read confirms that its ConfigMapSync no longer exists".to_owned()
            }
            Self::Keep(reason) => reason.to_string(),
            Self::Retire(Action::Release { .. }) if candidate.markers.created => {
                format!("{owner}, and its deletion policy is not Delete")
            }
            Self::Retire(Action::Release { .. }) => {
                format!("{owner}, and the operator did not create it")
            }
            Self::Retire(_) => owner.to_owned(),
        }
    }
}

const fn owner_is_gone(owner: &OwnerState) -> &'static str {
    match owner {
        OwnerState::Replaced => "its ConfigMapSync was replaced by another of the same name",
        _ => "its ConfigMapSync no longer exists",
    }
}

// === impl KeepReason ===

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurs => f.write_str("its ownership markers are inconsistent: it is no copy"),
            Self::BeingDeleted => f.write_str("it is being deleted and waits for its finalizers"),
            Self::NamespaceProtected => f.write_str("its namespace is protected"),
            Self::NamespaceUnknown => f.write_str("its namespace is not in the list of namespaces"),
            Self::NamespaceTerminating => f.write_str("its namespace is being deleted"),
            Self::Adoptable => f.write_str("a ConfigMapSync of the same name adopts it"),
            Self::OwnerExists => f.write_str("its ConfigMapSync exists"),
            Self::OwnerUnknown(why) => {
                write!(f, "it is unknown whether its ConfigMapSync exists: {why}")
            }
            Self::Held(brake) => brake.fmt(f),
            Self::Failed(failure) => f.write_str(&failure.message),
        }
    }
}

// === impl Brake ===

impl fmt::Display for Brake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { orphans, limit } = self;
        write!(
            f,
            "{orphans} copies belong to ConfigMapSyncs that no longer exist and that this leader \
             has never seen; at most {limit} are collected automatically: restore their \
             ConfigMapSyncs, or review and collect the copies with `configmapsync sweep`"
        )
    }
}
