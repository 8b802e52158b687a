//! What orphan collection decides: a step for each candidate.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::Failure;

/// What happens to the candidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionPlan {
    /// Set if there are too many orphans whose `ConfigMapSync` was never seen: all of those are kept.
    pub brake: Option<Brake>,
    /// What happens to each candidate.
    pub steps: BTreeMap<NamespacedName, OrphanStep>,
}

/// Why the brake applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brake {
    /// The number of orphans whose `ConfigMapSync` was never seen in this term.
    pub orphans: usize,
    /// The maximum number that is collected automatically.
    pub limit: usize,
}

/// What happens to one candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrphanStep {
    /// Its grace period has not elapsed.
    Wait {
        /// The rest of the grace period.
        remaining: Duration,
    },
    /// It is due, once a live read confirms that its `ConfigMapSync` no longer exists.
    ConfirmOwner,
    /// It is deleted or released.
    Retire(Action),
    /// It is kept.
    Keep(KeepReason),
}

/// Why a candidate is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepReason {
    /// The identity in its markers is inconsistent, as on a clone of a copy.
    NotOurs,
    /// It is already being deleted.
    BeingDeleted,
    /// Its namespace is protected.
    NamespaceProtected,
    /// Its namespace is not known: a list was incomplete, or lags behind.
    NamespaceUnknown,
    /// Its namespace is being deleted, and it with it.
    NamespaceTerminating,
    /// An existing `ConfigMapSync` will adopt it.
    Adoptable,
    /// Its `ConfigMapSync` exists.
    OwnerExists,
    /// Whether its `ConfigMapSync` exists is unknown.
    OwnerUnknown(String),
    /// The brake applies.
    Held(Brake),
    /// The previous write failed, and its backoff has not elapsed.
    Failed(Failure),
}

// === impl OrphanStep ===

impl OrphanStep {
    /// The write of this step, if any.
    #[must_use]
    pub fn action(&self) -> Option<Action> {
        match self {
            Self::Retire(action) => Some(action.clone()),
            Self::Wait { .. } | Self::ConfirmOwner | Self::Keep(_) => None,
        }
    }
}

// === impl CollectionPlan ===

impl CollectionPlan {
    /// The candidates whose `ConfigMapSync` has to be read.
    pub fn unconfirmed(&self) -> impl Iterator<Item = &NamespacedName> {
        let is_unconfirmed = |step: &OrphanStep| *step == OrphanStep::ConfirmOwner;
        self.steps.iter().filter(move |(_, step)| is_unconfirmed(step)).map(|(at, _)| at)
    }
}
