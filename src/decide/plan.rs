//! What has to be done, so that what is becomes what should be.
//!
//! Garbage collection is a set difference: what is ours and not desired is retired. Every step
//! that changes or removes an object carries the [`Version`] that it was decided on.

mod steps;

use std::sync::Arc;

pub use steps::Action;
pub use steps::FinalizerStep;
pub use steps::NewCopy;
pub use steps::Plan;

use crate::api::ConflictPolicy;
use crate::api::DeletionPolicy;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Content;
use crate::decide::ContentHash;
use crate::decide::Desired;
use crate::decide::Failure;
use crate::decide::Markers;
use crate::decide::Observed;
use crate::decide::Ownership;
use crate::decide::desired::DesiredCopies;
use crate::decide::observed::CopyContent;
use crate::decide::observed::DestinationObject;
use crate::decide::observed::ExistingConfigMap;
use crate::decide::observed::ManagedBy;
use crate::decide::observed::NamespaceState;
use crate::decide::observed::ObservedDestination;
use crate::decide::ownership;
use crate::decide::reason::Reason;
use crate::decide::stamp::Stamp;

/// Plans what has to be done.
///
/// Guarantees: a destination is written only if it is vacant, ours, an orphan that names this sync and
/// this destination, or foreign where the spec says to adopt. The finalizer is added before any copy is
/// written and removed after the last is gone. An old copy is retired only when its replacement
/// is in order. `Hold` writes nothing.
#[must_use]
pub fn plan(observed: &Observed, desired: &Desired) -> Plan {
    let sync = &observed.sync;
    let owns_copies = owns_copies(observed);
    let may_write_copies = matches!(desired, Desired::Copies(_));
    if !sync.deleting && !sync.has_our_finalizer() && (may_write_copies || owns_copies) {
        return Plan { finalizer: FinalizerStep::Add, ..Plan::default() };
    }
    match desired {
        Desired::Copies(wanted) => plan_copies(observed, wanted),
        Desired::Nothing(_)
            if sync.deleting
                && sync.has_our_finalizer()
                && !owns_copies
                && !observed.writes_in_flight =>
        {
            Plan { finalizer: FinalizerStep::Remove, ..Plan::default() }
        }
        Desired::Nothing(None) => plan_retirement(observed, Retirement::ByPolicy),
        Desired::Nothing(Some(_)) => plan_retirement(observed, Retirement::Deletion),
        Desired::Hold(_) => Plan::default(),
    }
}

/// Whether any `ConfigMap` that was seen is ours.
#[must_use]
pub fn owns_copies(observed: &Observed) -> bool {
    ours(observed).next().is_some()
}

/// What becomes of copies that are no longer wanted.
#[derive(Clone, Copy)]
enum Retirement {
    /// `deletionPolicy` tells.
    ByPolicy,
    /// They go with their source, whatever the policy for the sync's own deletion.
    Deletion,
}

fn plan_retirement(observed: &Observed, retirement: Retirement) -> Plan {
    let steps = ours(observed)
        .map(|(at, destination, existing)| {
            let step = retire(observed, at, existing, retirement);
            (at.clone(), unless_held(destination, None, step))
        })
        .collect();
    Plan { steps, ..Plan::default() }
}

fn plan_copies(observed: &Observed, wanted: &DesiredCopies) -> Plan {
    let content_hash = Some(wanted.excerpt.hash.clone());
    let mut plan = Plan { content_hash, ..Plan::default() };
    let hash = Some(&wanted.excerpt.hash);
    for at in &wanted.destinations {
        let Some(destination) = observed.destinations.get(at) else { continue };
        let step = plan_destination(observed, wanted, at, destination);
        let needs_source_content = step.is_none();
        let step = unless_held(destination, hash, step.unwrap_or_else(|| awaits_a_read(at)));
        plan.needs_source_content |= needs_source_content && is_waiting(&step);
        plan.steps.insert(at.clone(), step);
    }
    for (at, destination, existing) in ours(observed) {
        // What the deletion of a namespace takes along is not ours to delete.
        if wanted.destinations.contains(at) || destination.namespace == NamespaceState::Terminating
        {
            continue;
        }
        let step = match unfinished_replacement(&plan, wanted, at) {
            Some(replacement) => Action::Leave(Failure::new(
                Reason::DeletionHeld,
                format!("{at} is kept until its replacement {replacement} is in order"),
            )),
            None => {
                unless_held(destination, None, retire(observed, at, existing, Retirement::ByPolicy))
            }
        };
        plan.steps.insert(at.clone(), step);
    }
    plan
}

/// `None` if the content of the source has to be known first.
fn plan_destination(
    observed: &Observed,
    wanted: &DesiredCopies,
    at: &NamespacedName,
    destination: &ObservedDestination,
) -> Option<Action> {
    if let Some(failure) = unusable_namespace(at, destination.namespace) {
        return Some(Action::Leave(failure));
    }
    let markers = Markers::desired(
        &observed.sync.version.uid,
        &observed.sync.name,
        at,
        &wanted.source,
        &wanted.excerpt.hash,
        wanted.deletion_policy,
    );
    match &destination.object {
        DestinationObject::Missing => new_copy(wanted, markers).map(Action::Create),
        DestinationObject::Existing(existing) => {
            plan_existing(observed, wanted, at, existing, markers)
        }
    }
}

fn plan_existing(
    observed: &Observed,
    wanted: &DesiredCopies,
    at: &NamespacedName,
    existing: &ExistingConfigMap,
    markers: Markers,
) -> Option<Action> {
    let claim = match claim(observed, wanted, at, existing) {
        Ok(claim) => claim,
        Err(failure) => return Some(Action::Leave(failure)),
    };
    if existing.deleting {
        return Some(Action::Leave(being_deleted(at)));
    }
    if existing.content == CopyContent::Suspect {
        return Some(awaits_a_read(at));
    }
    let seen = existing.version.clone();
    let was = existing.markers.as_ref();
    let stamp = match claim {
        Claim::Ours => Stamp::to,
        Claim::Adoption => Stamp::adopt,
    }(was, &existing.other_metadata, &markers, &wanted.metadata);
    match (content_agrees(existing, wanted), stamp.is_empty()) {
        (true, _) if claim == Claim::Adoption && existing.is_immutable() => {
            Some(Action::Leave(immutable(at)))
        }
        (true, true) => Some(Action::Keep),
        (true, false) => Some(Action::Restamp { seen, stamp }),
        (false, _) if !existing.is_immutable() => {
            let content = wanted.content.as_ref().map(Arc::clone)?;
            Some(Action::Update { seen, stamp, content })
        }
        (false, _) if claim == Claim::Ours && was.is_some_and(|was| was.created) => {
            new_copy(wanted, markers).map(|copy| Action::Replace { seen, copy })
        }
        (false, _) => Some(Action::Leave(immutable(at))),
    }
}

/// By what right something that stands at a destination may be written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Claim {
    /// It is ours, or was, and names this sync and this place.
    Ours,
    /// The spec says to take over what stands there.
    Adoption,
}

/// By what right this sync may write `existing`; otherwise, whose it is.
fn claim(
    observed: &Observed,
    wanted: &DesiredCopies,
    at: &NamespacedName,
    existing: &ExistingConfigMap,
) -> Result<Claim, Failure> {
    let conflict = |message: String| Err(Failure::new(Reason::Conflict, message));
    let marked_sync = existing.markers.as_ref().and_then(|markers| markers.sync.as_deref());
    match whose(observed, at, existing) {
        Ownership::Ours => Ok(Claim::Ours),
        Ownership::Orphan if marked_sync == Some(&observed.sync.name.to_string()) => {
            Ok(Claim::Ours)
        }
        Ownership::Orphan => conflict(format!(
            "{at} is a copy left by a ConfigMapSync that no longer exists: delete it, or wait"
        )),
        Ownership::Sibling(other) => {
            conflict(format!("{at} is already the copy of ConfigMapSync {other}"))
        }
        Ownership::Foreign => match wanted.conflict_policy {
            ConflictPolicy::Refuse => conflict(format!(
                "{at} exists and is not ours: delete it, or choose another destinationName"
            )),
            ConflictPolicy::Adopt if existing.has_owner_references => conflict(format!(
                "{at} exists and belongs to its owner references: choose another destinationName"
            )),
            ConflictPolicy::Adopt if existing.managed_by == ManagedBy::AnotherTool => {
                conflict(format!(
                    "{at} exists and its label app.kubernetes.io/managed-by names another tool: \
                     choose another destinationName"
                ))
            }
            ConflictPolicy::Adopt => Ok(Claim::Adoption),
        },
    }
}

fn immutable(at: &NamespacedName) -> Failure {
    Failure::new(
        Reason::Conflict,
        format!("{at} is immutable and was not created by us: delete it by hand"),
    )
}

/// Whether the content is what it should be: by its hash if it was read, otherwise by the hash
/// that we stamped when we wrote what nobody has touched since.
fn content_agrees(existing: &ExistingConfigMap, wanted: &DesiredCopies) -> bool {
    let excerpt = &wanted.excerpt;
    match &existing.content {
        CopyContent::Read(digest) => digest.hash.with(&wanted.metadata) == excerpt.hash,
        CopyContent::Untouched { keys, .. } => {
            let stamped =
                existing.markers.as_ref().and_then(|markers| markers.content_hash.as_ref());
            stamped == Some(&excerpt.hash) && *keys == excerpt.keys
        }
        CopyContent::Suspect => false,
    }
}

/// `None` if the content of the source has to be known first.
fn new_copy(wanted: &DesiredCopies, markers: Markers) -> Option<NewCopy> {
    let content: &Arc<Content> = wanted.content.as_ref()?;
    let (metadata, content) = (Arc::clone(&wanted.metadata), Arc::clone(content));
    Some(NewCopy { markers, metadata, content })
}

/// While it is too early for another attempt, the failure of the last one stands for it. What is
/// too large stays so until something else is to be written.
fn unless_held(
    destination: &ObservedDestination,
    hash: Option<&ContentHash>,
    action: Action,
) -> Action {
    let applies = |failure: &Failure, attempted: Option<&ContentHash>| {
        failure.reason != Reason::TooLarge || attempted == hash
    };
    match &destination.pending_retry {
        Some(held)
            if (is_waiting(&action) || action.is_write())
                && applies(&held.failure, held.content_hash.as_ref()) =>
        {
            Action::Leave(held.failure.clone())
        }
        _ => action,
    }
}

fn is_waiting(action: &Action) -> bool {
    matches!(action, Action::Leave(failure) if failure.reason == Reason::Progressing)
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
        NamespaceState::Missing => Some(Failure::new(
            Reason::DestinationNamespaceNotFound,
            format!("namespace {namespace} does not exist: create it; the copy follows by itself"),
        )),
    }
}

/// The destination that replaces the old copy at `at`, if it is not in order yet.
fn unfinished_replacement(
    plan: &Plan,
    wanted: &DesiredCopies,
    at: &NamespacedName,
) -> Option<NamespacedName> {
    let replacement = wanted.target.destination_in(&at.namespace);
    let is_unfinished = wanted.destinations.contains(&replacement)
        && plan.steps.get(&replacement) != Some(&Action::Keep);
    is_unfinished.then_some(replacement)
}

/// A copy that is no longer wanted is deleted if that is what should become of it and we made it;
/// otherwise it is released. Where the spec cannot be read, the mark on the copy tells the policy.
fn retire(
    observed: &Observed,
    at: &NamespacedName,
    existing: &ExistingConfigMap,
    retirement: Retirement,
) -> Action {
    let Some(was) = &existing.markers else { return Action::Keep };
    if existing.deleting {
        return Action::Leave(being_deleted(at));
    }
    let seen = existing.version.clone();
    let is_deletion = match (retirement, &observed.sync.spec) {
        (Retirement::Deletion, _) => true,
        (Retirement::ByPolicy, Ok(spec)) => spec.deletion_policy == DeletionPolicy::Delete,
        (Retirement::ByPolicy, Err(_)) => was.request_deletion(),
    };
    if is_deletion && was.created {
        Action::Delete { seen }
    } else {
        let managed_by_us = existing.managed_by == ManagedBy::Us;
        Action::Release { seen, stamp: Stamp::release(was, managed_by_us) }
    }
}

fn ours(
    observed: &Observed,
) -> impl Iterator<Item = (&NamespacedName, &ObservedDestination, &ExistingConfigMap)> {
    observed.destinations.iter().filter_map(|(at, destination)| match &destination.object {
        DestinationObject::Existing(existing)
            if whose(observed, at, existing) == Ownership::Ours =>
        {
            Some((at, destination, &**existing))
        }
        _ => None,
    })
}

fn whose(observed: &Observed, at: &NamespacedName, existing: &ExistingConfigMap) -> Ownership {
    ownership(
        at,
        existing.markers.as_ref(),
        &observed.sync.version.uid,
        &observed.sync.name,
        existing.owner.as_ref(),
    )
}
