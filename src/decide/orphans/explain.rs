//! Why a copy is swept, or not, for a person.

use std::fmt;

use crate::decide::orphans::Brake;
use crate::decide::orphans::KeepReason;
use crate::decide::orphans::OrphanCandidate;
use crate::decide::orphans::OrphanStep;
use crate::decide::orphans::OwnerState;

// === impl OrphanStep ===

impl OrphanStep {
    /// The step in one word, for people.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Wait { .. } => "wait",
            Self::ConfirmOwner => "ask",
            Self::Delete { .. } => "delete",
            Self::Release { .. } => "release",
            Self::Keep(_) => "leave",
        }
    }

    /// Why this becomes of `candidate`.
    #[must_use]
    pub fn why(&self, candidate: &OrphanCandidate) -> String {
        match self {
            Self::Wait { remaining } => {
                format!("its ConfigMapSync may yet come back: it is due in {remaining:?}")
            }
            Self::ConfirmOwner => "it is due, once its ConfigMapSync is confirmed dead".to_owned(),
            Self::Keep(left) => left.to_string(),
            Self::Delete { .. } => dead(&candidate.owner).to_owned(),
            Self::Release { .. } if candidate.markers.created => {
                format!("{}, and it was to be kept", dead(&candidate.owner))
            }
            Self::Release { .. } => {
                format!("{}, and we did not create it", dead(&candidate.owner))
            }
        }
    }
}

const fn dead(owner: &OwnerState) -> &'static str {
    match owner {
        OwnerState::Replaced => "its ConfigMapSync was replaced by another of the same name",
        _ => "its ConfigMapSync no longer exists",
    }
}

// === impl KeepReason ===

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurs => f.write_str("its markers do not agree: it is not ours"),
            Self::BeingDeleted => f.write_str("it is being deleted, and held by a finalizer"),
            Self::NamespaceProtected => f.write_str("its namespace is protected"),
            Self::NamespaceTerminating => f.write_str("its namespace is being deleted"),
            Self::Adoptable => f.write_str("a ConfigMapSync of the same name takes it over"),
            Self::OwnerExists => f.write_str("its ConfigMapSync is alive"),
            Self::OwnerUnknown(why) => write!(f, "nobody knows whether it is an orphan: {why}"),
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
            "{orphans} copies belong to ConfigMapSyncs that nobody has seen alive, and no more \
             than {limit} are swept without being asked: restore their ConfigMapSyncs, or look at \
             them and sweep them yourself by `configmapsync sweep`"
        )
    }
}
