//! What has to be done, so that what is becomes what should be.
//!
//! Garbage collection is a set difference: what is ours and not desired is retired. Every step
//! that changes or removes an object carries the [`Version`] that it was decided on.

mod steps;

use std::sync::Arc;

pub use steps::Action;
pub use steps::FinalizerStep;
pub use steps::Plan;

use crate::api::DeletionPolicy;
use crate::decide::Content;
use crate::decide::Desired;
use crate::decide::Failure;
use crate::decide::Marks;
use crate::decide::Observed;
use crate::decide::Ownership;
use crate::decide::desired::Wanted;
use crate::decide::observed::CopySeen;
use crate::decide::observed::NamespaceState;
use crate::decide::observed::Occupant;
use crate::decide::observed::Place;
use crate::decide::observed::Standing;
use crate::decide::ownership;
use crate::names::NamespacedName;
use crate::names::Reason;

/// Plans what has to be done.
///
/// Guarantees: a place is written only if it is vacant, ours, or an orphan that names this sync
/// and this place. The finalizer is added before any copy is written and removed after the last
/// is gone. An old copy is retired only when its replacement is in order. `Hold` writes nothing.
#[must_use]
pub fn plan(observed: &Observed, desired: &Desired) -> Plan {
    let owns_copies = observed
        .places
        .iter()
        .any(|(at, place)| matches!(ownership_at(observed, at, place), Some(Ownership::Ours)));
    let may_write_copies = matches!(desired, Desired::Copies(_));
    if !observed.sync.deleting
        && !observed.sync.has_our_finalizer()
        && (may_write_copies || owns_copies)
    {
        return Plan { finalizer: FinalizerStep::Add, ..Plan::default() };
    }
    match desired {
        Desired::Copies(wanted) => plan_copies(observed, wanted),
        Desired::Nothing if observed.sync.has_our_finalizer() && !owns_copies => {
            Plan { finalizer: FinalizerStep::Remove, ..Plan::default() }
        }
        Desired::Nothing => plan_retirement(observed),
        Desired::Hold(_) => Plan::default(),
    }
}

fn plan_retirement(observed: &Observed) -> Plan {
    let steps = ours(observed)
        .map(|(at, place, occupant)| {
            (at.clone(), unless_held(place, retire(observed, at, occupant)))
        })
        .collect();
    Plan { steps, ..Plan::default() }
}

fn plan_copies(observed: &Observed, wanted: &Wanted) -> Plan {
    let mut plan = Plan::default();
    for at in &wanted.destinations {
        let Some(place) = observed.places.get(at) else { continue };
        let step = plan_destination(observed, wanted, at, place);
        plan.needs_source |= step.is_none() && place.held.is_none();
        let step = step.unwrap_or_else(|| awaits_a_read(at));
        plan.steps.insert(at.clone(), unless_held(place, step));
    }
    for (at, place, occupant) in ours(observed) {
        if !wanted.destinations.contains(at) {
            let step = match unfinished_replacement(&plan, wanted, observed, at) {
                Some(replacement) => Action::Leave(Failure::new(
                    Reason::DeletionHeld,
                    format!("{at} is kept until its replacement {replacement} is in order"),
                )),
                None => unless_held(place, retire(observed, at, occupant)),
            };
            plan.steps.insert(at.clone(), step);
        }
    }
    plan
}

/// `None` if the content of the source has to be known first.
fn plan_destination(
    observed: &Observed,
    wanted: &Wanted,
    at: &NamespacedName,
    place: &Place,
) -> Option<Action> {
    if let Some(failure) = unusable_namespace(at, place.namespace) {
        return Some(Action::Leave(failure));
    }
    let marks = Marks::wanted(
        &observed.sync.version.uid,
        &observed.sync.name,
        at,
        &wanted.source,
        &wanted.hash,
        wanted.deletion_policy,
    );
    match &place.standing {
        Standing::Vacant => with_content(wanted, |content| Action::Create { marks, content }),
        Standing::Occupied(occupant) => plan_occupied(observed, wanted, at, occupant, marks),
    }
}

fn plan_occupied(
    observed: &Observed,
    wanted: &Wanted,
    at: &NamespacedName,
    occupant: &Occupant,
    marks: Marks,
) -> Option<Action> {
    let was = match may_write(observed, at, occupant) {
        Ok(was) => was.clone(),
        Err(failure) => return Some(Action::Leave(failure)),
    };
    if occupant.deleting {
        return Some(Action::Leave(being_deleted(at)));
    }
    if occupant.content == CopySeen::Suspect {
        return Some(awaits_a_read(at));
    }
    let seen = occupant.version.clone();
    let stamped = was.sync_uid == marks.sync_uid && was.state_agrees_with(&marks);
    match (content_agrees(occupant, &was, wanted), stamped) {
        (true, true) => Some(Action::Keep),
        (true, false) => Some(Action::Restamp { seen, was, marks }),
        (false, _) if !occupant.is_immutable() => {
            with_content(wanted, |content| Action::Update { seen, was, marks, content })
        }
        (false, _) if was.created => {
            with_content(wanted, |content| Action::Replace { seen, marks, content })
        }
        (false, _) => Some(Action::Leave(Failure::new(
            Reason::Conflict,
            format!("{at} is immutable and was not created by us: delete it by hand"),
        ))),
    }
}

/// The marks on an occupant that this sync may write; otherwise, whose it is.
fn may_write<'a>(
    observed: &Observed,
    at: &NamespacedName,
    occupant: &'a Occupant,
) -> Result<&'a Marks, Failure> {
    let conflict = |message: String| Failure::new(Reason::Conflict, message);
    let Some(marks) = &occupant.marks else { return Err(conflict(foreign(at))) };
    match whose(observed, at, occupant) {
        Ownership::Ours => Ok(marks),
        Ownership::Orphan if marks.sync.as_deref() == Some(&observed.sync.name.to_string()) => {
            Ok(marks)
        }
        Ownership::Orphan => Err(conflict(format!(
            "{at} is a copy left by a ConfigMapSync that no longer exists: delete it, or wait"
        ))),
        Ownership::Sibling(other) => {
            Err(conflict(format!("{at} is already the copy of ConfigMapSync {other}")))
        }
        Ownership::Foreign => Err(conflict(foreign(at))),
    }
}

fn foreign(at: &NamespacedName) -> String {
    format!("{at} exists and is not ours: delete it, or choose another destinationName")
}

/// Whether the content is what it should be: by its hash if it was read, otherwise by the hash
/// that we stamped when we wrote what nobody has touched since.
fn content_agrees(occupant: &Occupant, was: &Marks, wanted: &Wanted) -> bool {
    match &occupant.content {
        CopySeen::Read(digest) => digest.hash == wanted.hash,
        CopySeen::Untouched { keys, .. } => {
            was.content_hash.as_ref() == Some(&wanted.hash) && *keys == wanted.keys
        }
        CopySeen::Suspect => false,
    }
}

fn with_content(wanted: &Wanted, action: impl FnOnce(Arc<Content>) -> Action) -> Option<Action> {
    wanted.content.as_ref().map(|content| action(Arc::clone(content)))
}

/// While it is too early for another attempt, the failure of the last one stands for it.
fn unless_held(place: &Place, action: Action) -> Action {
    let waits = matches!(&action, Action::Leave(failure) if failure.reason == Reason::Progressing);
    match &place.held {
        Some(failure) if waits || action.is_write() => Action::Leave(failure.clone()),
        _ => action,
    }
}

fn awaits_a_read(at: &NamespacedName) -> Action {
    Action::Leave(Failure::new(Reason::Progressing, format!("{at} waits for a read")))
}

fn being_deleted(at: &NamespacedName) -> Failure {
    Failure::new(
        Reason::Progressing,
        format!("{at} is being deleted and held by a finalizer that is not ours"),
    )
}

fn unusable_namespace(at: &NamespacedName, state: NamespaceState) -> Option<Failure> {
    let namespace = &at.namespace;
    match state {
        NamespaceState::Active => None,
        NamespaceState::Protected => Some(Failure::new(
            Reason::DestinationProtected,
            format!("namespace {namespace} is protected: choose another destinationNamespace"),
        )),
        NamespaceState::Terminating => Some(Failure::new(
            Reason::NamespaceTerminating,
            format!("namespace {namespace} is being deleted"),
        )),
        NamespaceState::Absent => Some(Failure::new(
            Reason::DestinationNamespaceNotFound,
            format!("namespace {namespace} does not exist: create it; the copy follows by itself"),
        )),
    }
}

/// The destination that replaces the old copy at `at`, if it is not in order yet.
fn unfinished_replacement<'a>(
    plan: &Plan,
    wanted: &'a Wanted,
    observed: &Observed,
    at: &NamespacedName,
) -> Option<&'a NamespacedName> {
    let one_destination =
        observed.sync.spec.as_ref().is_ok_and(|spec| spec.destination_namespace.is_some());
    let replacement = wanted
        .destinations
        .iter()
        .find(|destination| one_destination || destination.namespace == at.namespace)?;
    (plan.steps.get(replacement) != Some(&Action::Keep)).then_some(replacement)
}

/// A copy that is no longer wanted is deleted if the policy says so and we made it; otherwise it
/// is released. Where the spec cannot be read, the mark on the copy tells the policy.
fn retire(observed: &Observed, at: &NamespacedName, occupant: &Occupant) -> Action {
    let Some(was) = occupant.marks.clone() else { return Action::Keep };
    if occupant.deleting {
        return Action::Leave(being_deleted(at));
    }
    let seen = occupant.version.clone();
    let policy_is_delete = match &observed.sync.spec {
        Ok(spec) => spec.deletion_policy == DeletionPolicy::Delete,
        Err(_) => was.asks_for_deletion(),
    };
    if policy_is_delete && was.created {
        Action::Delete { seen }
    } else {
        Action::Release { seen, was, managed_by_us: occupant.managed_by_us }
    }
}

fn ours(observed: &Observed) -> impl Iterator<Item = (&NamespacedName, &Place, &Occupant)> {
    observed.places.iter().filter_map(|(at, place)| match &place.standing {
        Standing::Occupied(occupant) if whose(observed, at, occupant) == Ownership::Ours => {
            Some((at, place, &**occupant))
        }
        _ => None,
    })
}

fn ownership_at(observed: &Observed, at: &NamespacedName, place: &Place) -> Option<Ownership> {
    match &place.standing {
        Standing::Occupied(occupant) => Some(whose(observed, at, occupant)),
        Standing::Vacant => None,
    }
}

fn whose(observed: &Observed, at: &NamespacedName, occupant: &Occupant) -> Ownership {
    ownership(
        at,
        occupant.marks.as_ref(),
        &observed.sync.version.uid,
        &observed.sync.name,
        occupant.owner.as_ref(),
    )
}
