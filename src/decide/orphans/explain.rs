//! Why a copy is swept, or not, for a person.

use std::fmt;

use crate::decide::orphans::Brake;
use crate::decide::orphans::Candidate;
use crate::decide::orphans::Left;
use crate::decide::orphans::Owner;
use crate::decide::orphans::Step;

// === impl Step ===

impl Step {
    /// The step in one word, for people.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Wait { .. } => "wait",
            Self::Ask => "ask",
            Self::Delete { .. } => "delete",
            Self::Release { .. } => "release",
            Self::Leave(_) => "leave",
        }
    }

    /// Why this becomes of `candidate`.
    #[must_use]
    pub fn why(&self, candidate: &Candidate) -> String {
        match self {
            Self::Wait { remaining } => {
                format!("its ConfigMapSync may yet come back: it is due in {remaining:?}")
            }
            Self::Ask => "it is due, once its ConfigMapSync is confirmed dead".to_owned(),
            Self::Leave(left) => left.to_string(),
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

const fn dead(owner: &Owner) -> &'static str {
    match owner {
        Owner::Another => "its ConfigMapSync was replaced by another of the same name",
        _ => "its ConfigMapSync no longer exists",
    }
}

// === impl Left ===

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOurs => f.write_str("its markers do not agree: it is not ours"),
            Self::BeingDeleted => f.write_str("it is being deleted, and held by a finalizer"),
            Self::NamespaceProtected => f.write_str("its namespace is protected"),
            Self::NamespaceTerminating => f.write_str("its namespace is being deleted"),
            Self::Adoptable => f.write_str("a ConfigMapSync of the same name takes it over"),
            Self::OwnerAlive => f.write_str("its ConfigMapSync is alive"),
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
