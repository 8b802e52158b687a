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
pub struct Orphans {
    /// Each marked copy whose sync is not among the living, as far as is known.
    pub candidates: BTreeMap<NamespacedName, Candidate>,
    /// How many marked copies there are, orphans or not.
    pub marked_copies: usize,
    /// Who asks.
    pub patience: Patience,
}

/// How long orphans are waited for, and how many are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// The operator's: one whose sync was never seen alive waits so long, and under the brake.
    Grace(Duration),
    /// That of a person who looks at the list and answers for it: none.
    Person,
}

/// A marked copy whose sync is not among the living.
#[derive(Clone, Debug)]
pub struct Candidate {
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
    pub owner: Owner,
    /// What an earlier attempt met, while it is too early for another.
    pub held: Option<Failure>,
}

/// What a live look at the sync of an orphan, by the name in its markers, found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Nobody has looked.
    Unasked,
    /// The API server says that there is no such sync, and means the sync, not its kind.
    Gone,
    /// There is one with another uid.
    Another,
    /// It is alive.
    Alive,
    /// It could not be told: this is why.
    Unknown(String),
}

/// What becomes of all orphans.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// Too many orphans of syncs never seen alive: none of them is touched.
    pub brake: Option<Brake>,
    /// What becomes of each candidate.
    pub steps: BTreeMap<NamespacedName, Step>,
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
pub enum Step {
    /// It is too early.
    Wait {
        /// For so long.
        remaining: Duration,
    },
    /// It is due, once a live look has found its sync dead.
    Ask,
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
    Leave(Left),
}

/// Why a candidate is left alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Left {
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
    OwnerAlive,
    /// Whether its sync is alive could not be told.
    OwnerUnknown(String),
    /// The brake holds it.
    Held(Brake),
    /// An earlier attempt failed, and it is too early for another.
    Failed(Failure),
}

// === impl Step ===

impl Step {
    /// The write that this step asks for, if it does.
    #[must_use]
    pub fn action(&self) -> Option<Action> {
        match self {
            Self::Delete { seen } => Some(Action::Delete { seen: seen.clone() }),
            Self::Release { seen, stamp } => {
                Some(Action::Release { seen: seen.clone(), stamp: stamp.clone() })
            }
            Self::Wait { .. } | Self::Ask | Self::Leave(_) => None,
        }
    }
}

// === impl Verdict ===

impl Verdict {
    /// The places whose syncs have to be looked at before anything is done.
    pub fn asks(&self) -> impl Iterator<Item = &NamespacedName> {
        self.steps.iter().filter(|(_, step)| **step == Step::Ask).map(|(at, _)| at)
    }

    /// How long until the next orphan is due, if one waits.
    #[must_use]
    pub fn next_due(&self) -> Option<Duration> {
        let waits = self.steps.values().filter_map(|step| match step {
            Step::Wait { remaining } => Some(*remaining),
            _ => None,
        });
        waits.min()
    }
}

/// Tells what becomes of `orphans`.
///
/// Called twice: before anybody was asked it tells whom to ask, with [`Step::Ask`]; with the
/// answers it tells what to do. Asking settles a candidate: none is asked about twice.
#[must_use]
pub fn sweep(orphans: &Orphans) -> Verdict {
    let standings = || {
        orphans
            .candidates
            .iter()
            .map(|(at, candidate)| (at, candidate, standing(at, candidate, orphans.patience)))
    };
    let brake = brake(standings().map(|(_, _, standing)| standing), orphans.marked_copies);
    let steps = standings().map(|(at, candidate, standing)| {
        let step = match (standing, brake) {
            (Standing::Left(left), _) => Step::Leave(left),
            (Standing::Unseen { remaining: Some(remaining) }, _) => Step::Wait { remaining },
            (Standing::Unseen { remaining: None }, Some(brake)) => Step::Leave(Left::Held(brake)),
            (Standing::Due | Standing::Unseen { remaining: None }, _) => due(candidate),
        };
        (at.clone(), step)
    });
    Verdict { steps: steps.collect(), brake }
}

/// How a candidate stands, whatever the others are.
enum Standing {
    /// It is left alone.
    Left(Left),
    /// It is due.
    Due,
    /// Its sync was never seen alive: it is due once nothing remains, unless the brake holds it.
    Unseen { remaining: Option<Duration> },
}

fn standing(at: &NamespacedName, candidate: &Candidate, patience: Patience) -> Standing {
    match reason_to_leave(at, candidate) {
        Some(left) => Standing::Left(left),
        None => match patience {
            Patience::Person => Standing::Due,
            Patience::Grace(_) if candidate.seen_alive => Standing::Due,
            Patience::Grace(grace) => Standing::Unseen {
                remaining: grace
                    .checked_sub(candidate.known_for)
                    .filter(|remaining| !remaining.is_zero()),
            },
        },
    }
}

fn reason_to_leave(at: &NamespacedName, candidate: &Candidate) -> Option<Left> {
    if !is_orphan(at, &candidate.markers) {
        return Some(Left::NotOurs);
    }
    if candidate.deleting {
        return Some(Left::BeingDeleted);
    }
    match candidate.namespace {
        NamespaceState::Protected => return Some(Left::NamespaceProtected),
        NamespaceState::Terminating => return Some(Left::NamespaceTerminating),
        // A namespace that is not known yet has a ConfigMap in it: the write will tell.
        NamespaceState::Active | NamespaceState::Absent => {}
    }
    if candidate.adoptable {
        return Some(Left::Adoptable);
    }
    match &candidate.owner {
        Owner::Alive => Some(Left::OwnerAlive),
        Owner::Unknown(why) => Some(Left::OwnerUnknown(why.clone())),
        Owner::Unasked | Owner::Gone | Owner::Another => None,
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
fn brake(standings: impl Iterator<Item = Standing>, marked_copies: usize) -> Option<Brake> {
    let unseen: Vec<_> = standings
        .filter_map(|standing| match standing {
            Standing::Unseen { remaining } => Some(remaining),
            Standing::Left(_) | Standing::Due => None,
        })
        .collect();
    let limit = ALWAYS_SWEPT.max(marked_copies / ONE_IN);
    let one_is_due = unseen.iter().any(Option::is_none);
    (one_is_due && unseen.len() > limit).then_some(Brake { orphans: unseen.len(), limit })
}

fn due(candidate: &Candidate) -> Step {
    if let Some(failure) = &candidate.held {
        return Step::Leave(Left::Failed(failure.clone()));
    }
    if candidate.owner == Owner::Unasked {
        return Step::Ask;
    }
    let seen = candidate.version.clone();
    let markers = &candidate.markers;
    if markers.created && markers.asks_for_deletion() {
        Step::Delete { seen }
    } else {
        Step::Release {
            seen,
            stamp: Stamp::release(markers, candidate.managed_by == ManagedBy::Us),
        }
    }
}

#[cfg(test)]
mod tests;
