//! What becomes of copies whose `ConfigMapSync` is dead.
//!
//! An orphan is deleted only if every doubt is settled: its identity agrees, its sync is confirmed
//! dead by a live look, nobody would take it over, and two positive markers tell that we made it and
//! that it was to be deleted. Lacking one of those markers, it is released. All else waits, or stays.
//!
//! One whose sync was seen alive in this term is due at once. One whose sync nobody has seen may
//! have been restored a moment before its sync: it waits for a grace, and where there are too many
//! of them, something else is wrong, so the brake holds them all.

mod explain;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::Failure;
use crate::decide::Markers;
use crate::decide::Ownership;
use crate::decide::observed::ManagedBy;
use crate::decide::observed::NamespaceState;
use crate::decide::observed::Version;
use crate::decide::ownership;
use crate::decide::stamp::Stamp;
use crate::decide::validity::is_dns_label;
use crate::decide::validity::is_dns_subdomain;

/// So many orphans of syncs never seen alive are swept, however few marked copies there are.
const ALWAYS_SWEPT: usize = 10;
/// Of all marked copies, one in so many is swept.
const ONE_IN: usize = 5;

/// Everything that one sweep decides from.
#[derive(Clone, Debug)]
pub struct ObservedOrphans {
    /// Each marked copy whose sync is not among the living, as far as is known.
    pub candidates: BTreeMap<NamespacedName, OrphanCandidate>,
    /// How many marked copies there are, orphans or not.
    pub marked_copies: usize,
    /// Who asks.
    pub mode: CollectionMode,
}

/// How long orphans are waited for, and how many are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CollectionMode {
    /// The operator's: one whose sync was never seen alive waits so long, and under the brake.
    Automatic(Duration),
    /// That of a person who looks at the list and answers for it: none.
    Requested,
}

/// A marked copy whose sync is not among the living.
#[derive(Clone, Debug)]
pub struct OrphanCandidate {
    /// Its version.
    pub version: Version,
    /// Whether it is being deleted, and held by somebody's finalizer.
    pub deleting: bool,
    /// Our markers on it.
    pub markers: Markers,
    /// Who its label `app.kubernetes.io/managed-by` names.
    pub managed_by: ManagedBy,
    /// The state of its namespace.
    pub namespace: NamespaceState,
    /// A living sync that has the name in its markers asks for a copy at this place.
    pub adoptable: bool,
    /// Its sync was seen alive in this term, and left it behind.
    pub seen_alive: bool,
    /// Since when it is known to be an orphan, in this term.
    pub known_for: Duration,
    /// What a live look at its sync found.
    pub owner: OwnerState,
    /// What an earlier attempt met, while it is too early for another.
    pub pending_retry: Option<Failure>,
}

/// What a live look at the sync of an orphan, by the name in its markers, found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerState {
    /// Nobody has looked.
    Unchecked,
    /// The API server says that there is no such sync, and means the sync, not its kind.
    Deleted,
    /// There is one with another uid.
    Replaced,
    /// It is alive.
    Exists,
    /// It could not be told: this is why.
    Unknown(String),
}

/// What becomes of all orphans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CollectionPlan {
    /// Too many orphans of syncs never seen alive: none of them is touched.
    pub brake: Option<Brake>,
    /// What becomes of each candidate.
    pub steps: BTreeMap<NamespacedName, OrphanStep>,
}

/// Why the brake holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Brake {
    /// How many orphans of syncs never seen alive there are.
    pub orphans: usize,
    /// How many would be swept.
    pub limit: usize,
}

/// What becomes of one candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OrphanStep {
    /// It is too early.
    Wait {
        /// For so long.
        remaining: Duration,
    },
    /// It is due, once a live look has found its sync dead.
    ConfirmOwner,
    /// We made it, and it was to be deleted: DELETE, conditional on `seen`.
    Delete {
        /// Version that this was decided on.
        seen: Version,
    },
    /// Our markers go, the rest stays, conditional on `seen`.
    Release {
        /// Version that this was decided on.
        seen: Version,
        /// What has to change in labels and annotations.
        stamp: Stamp,
    },
    /// It is none of ours to sweep.
    Keep(KeepReason),
}

/// Why a candidate is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepReason {
    /// The identity in its markers does not agree: a clone, or not ours at all.
    NotOurs,
    /// It is being deleted already.
    BeingDeleted,
    /// Its namespace is protected.
    NamespaceProtected,
    /// Its namespace is being deleted, and takes it along.
    NamespaceTerminating,
    /// A living sync will take it over.
    Adoptable,
    /// Its sync is alive.
    OwnerExists,
    /// Whether its sync is alive could not be told.
    OwnerUnknown(String),
    /// The brake holds it.
    Held(Brake),
    /// An earlier attempt failed, and it is too early for another.
    Failed(Failure),
}

// === impl OrphanStep ===

impl OrphanStep {
    /// The write that this step asks for, if it does.
    #[must_use]
    pub fn action(&self) -> Option<Action> {
        match self {
            Self::Delete { seen } => Some(Action::Delete { seen: seen.clone() }),
            Self::Release { seen, stamp } => {
                Some(Action::Release { seen: seen.clone(), stamp: stamp.clone() })
            }
            Self::Wait { .. } | Self::ConfirmOwner | Self::Keep(_) => None,
        }
    }
}

// === impl CollectionPlan ===

impl CollectionPlan {
    /// The places whose syncs have to be looked at before anything is done.
    pub fn unconfirmed(&self) -> impl Iterator<Item = &NamespacedName> {
        self.steps.iter().filter(|(_, step)| **step == OrphanStep::ConfirmOwner).map(|(at, _)| at)
    }

    /// How long until the next orphan is due, if one waits.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        let waits = self.steps.values().filter_map(|step| match step {
            OrphanStep::Wait { remaining } => Some(*remaining),
            _ => None,
        });
        waits.min()
    }
}

/// Tells what becomes of `orphans`.
///
/// Called twice: before anybody was asked it tells whom to ask, with [`OrphanStep::ConfirmOwner`]; with the
/// answers it tells what to do. Asking settles a candidate: none is asked about twice.
#[must_use]
pub fn plan_collection(orphans: &ObservedOrphans) -> CollectionPlan {
    let states = || {
        orphans
            .candidates
            .iter()
            .map(|(at, candidate)| (at, candidate, due_state(at, candidate, orphans.mode)))
    };
    let brake = brake(states().map(|(_, _, due_state)| due_state), orphans.marked_copies);
    let steps = states().map(|(at, candidate, due_state)| {
        let step = match (due_state, brake) {
            (DueState::KeepReason(left), _) => OrphanStep::Keep(left),
            (DueState::Unseen { remaining: Some(remaining) }, _) => OrphanStep::Wait { remaining },
            (DueState::Unseen { remaining: None }, Some(brake)) => {
                OrphanStep::Keep(KeepReason::Held(brake))
            }
            (DueState::Due | DueState::Unseen { remaining: None }, _) => due(candidate),
        };
        (at.clone(), step)
    });
    CollectionPlan { steps: steps.collect(), brake }
}

/// How a candidate stands, whatever the others are.
enum DueState {
    /// It is left alone.
    KeepReason(KeepReason),
    /// It is due.
    Due,
    /// Its sync was never seen alive: it is due once nothing remains, unless the brake holds it.
    Unseen { remaining: Option<Duration> },
}

fn due_state(at: &NamespacedName, candidate: &OrphanCandidate, mode: CollectionMode) -> DueState {
    match reason_to_leave(at, candidate) {
        Some(left) => DueState::KeepReason(left),
        None => match mode {
            CollectionMode::Requested => DueState::Due,
            CollectionMode::Automatic(_) if candidate.seen_alive => DueState::Due,
            CollectionMode::Automatic(grace) => DueState::Unseen {
                remaining: grace
                    .checked_sub(candidate.known_for)
                    .filter(|remaining| !remaining.is_zero()),
            },
        },
    }
}

fn reason_to_leave(at: &NamespacedName, candidate: &OrphanCandidate) -> Option<KeepReason> {
    if !is_orphan(at, &candidate.markers) {
        return Some(KeepReason::NotOurs);
    }
    if candidate.deleting {
        return Some(KeepReason::BeingDeleted);
    }
    match candidate.namespace {
        NamespaceState::Protected => return Some(KeepReason::NamespaceProtected),
        NamespaceState::Terminating => return Some(KeepReason::NamespaceTerminating),
        // A namespace that is not known yet has a ConfigMap in it: the write will tell.
        NamespaceState::Active | NamespaceState::Missing => {}
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

/// Whether the identity agrees, and names a sync that can be looked for: an annotation may hold
/// anything.
fn is_orphan(at: &NamespacedName, markers: &Markers) -> bool {
    let sync = markers.sync.as_deref().and_then(|sync| sync.parse::<NamespacedName>().ok());
    let can_exist =
        sync.is_some_and(|sync| is_dns_label(&sync.namespace) && is_dns_subdomain(&sync.name));
    // Nobody asks on behalf of a sync here: no uid, and no name, is "ours".
    let nobody = NamespacedName::new("", "");
    can_exist && ownership(at, Some(markers), "", &nobody, None) == Ownership::Orphan
}

/// The brake counts those that still wait, too: many that come one after the other are as
/// suspicious as many at once. It holds as soon as one of them is due.
fn brake(states: impl Iterator<Item = DueState>, marked_copies: usize) -> Option<Brake> {
    let unseen: Vec<_> = states
        .filter_map(|due_state| match due_state {
            DueState::Unseen { remaining } => Some(remaining),
            DueState::KeepReason(_) | DueState::Due => None,
        })
        .collect();
    let limit = ALWAYS_SWEPT.max(marked_copies / ONE_IN);
    let one_is_due = unseen.iter().any(Option::is_none);
    (one_is_due && unseen.len() > limit).then_some(Brake { orphans: unseen.len(), limit })
}

fn due(candidate: &OrphanCandidate) -> OrphanStep {
    if let Some(failure) = &candidate.pending_retry {
        return OrphanStep::Keep(KeepReason::Failed(failure.clone()));
    }
    if candidate.owner == OwnerState::Unchecked {
        return OrphanStep::ConfirmOwner;
    }
    let seen = candidate.version.clone();
    let markers = &candidate.markers;
    if markers.created && markers.request_deletion() {
        OrphanStep::Delete { seen }
    } else {
        OrphanStep::Release {
            seen,
            stamp: Stamp::release(markers, candidate.managed_by == ManagedBy::Us),
        }
    }
}

#[cfg(test)]
mod tests;
