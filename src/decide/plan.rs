//! Plans the writes that make the cluster match the desired copies.
//!
//! Garbage collection is a set difference: copies that are ours and not desired are retired. Every
//! action that changes or deletes an object carries the [`Version`](crate::decide::observed::Version)
//! that it was decided on.

mod actions;
mod destination;

pub use actions::Action;
pub use actions::FinalizerStep;
pub use actions::NewCopy;
pub use actions::Plan;

use crate::api::namespaced_name::NamespacedName;
use crate::decide::ContentHash;
use crate::decide::Desired;
use crate::decide::Failure;
use crate::decide::Observed;
use crate::decide::Ownership;
use crate::decide::consent::verbs_needed;
use crate::decide::desired::DesiredCopies;
use crate::decide::observed::Attempted;
use crate::decide::observed::DestinationObject;
use crate::decide::observed::ExistingConfigMap;
use crate::decide::observed::NamespaceState;
use crate::decide::observed::ObservedDestination;
use crate::decide::plan::destination::being_deleted;
use crate::decide::plan::destination::owner_of;
use crate::decide::plan::destination::plan_destination;
use crate::decide::plan::destination::waits_for_read;
use crate::decide::plan::destination::waits_for_review;
use crate::decide::reason::Reason;
use crate::decide::retire::RetireCause;
use crate::decide::retire::RetiredCopy;
use crate::decide::retire::retire;
use crate::names;

/// Plans the writes of one pass.
///
/// # Guarantees
/// * An object is written only if it is missing, ours, an orphan whose markers name this
///   `ConfigMapSync` and this destination, or foreign under `conflictPolicy: Adopt`.
/// * The finalizer is added before the first copy is written, and removed after the last copy is
///   gone and no write is in flight.
/// * An old copy is retired only when its replacement equals the source.
/// * [`Desired::Hold`] results in no write of a copy.
/// * A copy in a namespace that forbids copies is retired, even where one is desired.
/// * A copy in a namespace that is unknown, terminating or protected is not written, and does not keep
///   the finalizer.
/// * With a ServiceAccount, no copy is written, and nothing that is found at a destination reported,
///   without its permission. Clean-up needs none.
#[must_use]
pub fn plan(observed: &Observed, desired: &Desired) -> Plan {
    let sync = &observed.sync;
    let owns_copies = owns_copies(observed);
    let may_write_copies = matches!(desired, Desired::Copies(_));
    if !sync.deleting && !sync.has_our_finalizer() && (may_write_copies || owns_copies) {
        return patch_finalizer(observed, FinalizerStep::Add);
    }
    match desired {
        Desired::Copies(copies) => plan_copies(observed, copies),
        Desired::Nothing(_)
            if sync.deleting
                && sync.has_our_finalizer()
                && !owns_copies
                && !observed.writes_in_flight =>
        {
            patch_finalizer(observed, FinalizerStep::Remove)
        }
        Desired::Nothing(None) => retire_all(observed, not_desired(observed)),
        Desired::Nothing(Some(_)) => retire_all(observed, RetireCause::SourceGone),
        Desired::Hold(_) => Plan::default(),
    }
}

/// Whether any observed `ConfigMap` belongs to this `ConfigMapSync`, and would have to be cleaned up.
#[must_use]
pub fn owns_copies(observed: &Observed) -> bool {
    our_copies(observed).next().is_some()
}

/// Patches the finalizer, unless the backoff of the previous attempt lasts. Another client that keeps
/// removing the finalizer does not delay its removal by us.
fn patch_finalizer(observed: &Observed, step: FinalizerStep) -> Plan {
    let is_contended = |failure: &&Failure| failure.reason == Reason::Contended;
    let failure = observed.finalizer_failure.as_ref();
    let finalizer = match failure.filter(|it| step == FinalizerStep::Add || !is_contended(it)) {
        Some(failure) => FinalizerStep::Wait(finalizer_failure(&step, failure)),
        None => step,
    };
    Plan { finalizer, ..Plan::default() }
}

fn finalizer_failure(step: &FinalizerStep, failure: &Failure) -> Failure {
    let (name, cause) = (names::FINALIZER, &failure.message);
    let message = match step {
        FinalizerStep::Remove => format!("finalizer {name} is not removed yet: {cause}"),
        _ => format!("no copy is written before finalizer {name} is set: {cause}"),
    };
    Failure::new(failure.reason, message)
}

fn not_desired(observed: &Observed) -> RetireCause {
    RetireCause::NotDesired(observed.sync.spec.as_ref().ok().map(|spec| spec.deletion_policy))
}

fn retire_all(observed: &Observed, cause: RetireCause) -> Plan {
    let steps = our_copies(observed)
        .map(|(at, destination, existing)| {
            let step = retire_copy(at, existing, cause);
            (at.clone(), unless_retry_pending(destination, None, step))
        })
        .collect();
    Plan { steps, ..Plan::default() }
}

fn plan_copies(observed: &Observed, desired: &DesiredCopies) -> Plan {
    let hash = &desired.excerpt.hash;
    let wanted = Some((hash, observed.sync.generation));
    let mut plan = Plan { content_hash: Some(hash.clone()), ..Plan::default() };
    for at in &desired.destinations {
        let Some(destination) = observed.destinations.get(at) else { continue };
        let step = plan_destination(observed, desired, at, destination);
        let needed = verbs_needed(step.as_ref(), is_ours(observed, at, destination));
        let lacking = destination.consent.lacks(needed);
        let needs_source_content = step.is_none() && lacking.is_empty();
        let step = if lacking.is_empty() {
            step.unwrap_or_else(|| waits_for_read(at))
        } else {
            waits_for_review(at)
        };
        let step = unless_retry_pending(destination, wanted, step);
        plan.needs_source_content |= needs_source_content && is_waiting(&step);
        if !lacking.is_empty() && step == waits_for_review(at) {
            plan.needs_consent.insert(at.clone(), lacking);
        }
        plan.steps.insert(at.clone(), step);
    }
    for (at, destination, existing) in our_copies(observed) {
        let is_refused = destination.namespace == NamespaceState::Refused;
        if desired.destinations.contains(at) && !is_refused {
            continue;
        }
        let replacement = unfinished_replacement(&plan, desired, at).filter(|_| !is_refused);
        let step = if let Some(replacement) = replacement {
            Action::Leave(deletion_held(at, &replacement))
        } else {
            let step = retire_copy(at, existing, not_desired(observed));
            unless_retry_pending(destination, None, step)
        };
        plan.steps.insert(at.clone(), step);
    }
    plan
}

fn retire_copy(at: &NamespacedName, existing: &ExistingConfigMap, cause: RetireCause) -> Action {
    let ExistingConfigMap { version, marker_keys, managed_by, .. } = existing;
    let Some(markers) = &existing.markers else { return Action::Keep };
    if existing.deleting {
        return Action::Leave(being_deleted(at));
    }
    let (marker_keys, managed_by) = (*marker_keys, *managed_by);
    retire(RetiredCopy { version, markers, marker_keys, managed_by }, cause)
}

/// Replaces a write by the failure of the previous attempt while its backoff lasts. `TooLarge`
/// applies only to the hash and the generation that were attempted, which are compared with `wanted`,
/// and only until the labels and annotations of the copy have become shorter; `NotPermitted` only to
/// the generation. A failure to write the content, or to be permitted to, does not delay the deletion
/// or the release of the copy, for which nothing is `wanted`.
fn unless_retry_pending(
    destination: &ObservedDestination,
    wanted: Option<(&ContentHash, Option<i64>)>,
    action: Action,
) -> Action {
    let Some(pending) = &destination.pending_retry else { return action };
    let Attempted { content_hash, generation, metadata_bytes, is_review } = &pending.attempted;
    let attempted = content_hash.as_ref().map(|hash| (hash, *generation));
    let is_retirement = wanted.is_none();
    if is_retirement && (attempted.is_some() || *is_review) {
        return action;
    }
    let is_as_large = attempted == wanted && destination.metadata_bytes() >= *metadata_bytes;
    let applies = match pending.failure.reason {
        Reason::TooLarge => is_as_large,
        // With another spec, the permissions of another account may count.
        Reason::NotPermitted => wanted.is_some_and(|(_, wanted)| wanted == *generation),
        _ => true,
    };
    if applies && (is_waiting(&action) || action.is_write()) {
        Action::Leave(pending.failure.clone())
    } else {
        action
    }
}

fn is_waiting(action: &Action) -> bool {
    matches!(action, Action::Leave(failure) if failure.reason == Reason::Progressing)
}

fn is_ours(observed: &Observed, at: &NamespacedName, destination: &ObservedDestination) -> bool {
    matches!(&destination.object, DestinationObject::Existing(existing)
        if owner_of(observed, at, existing) == Ownership::Ours)
}

/// The destination that replaces the old copy at `at`, unless that already equals the source.
fn unfinished_replacement(
    plan: &Plan,
    desired: &DesiredCopies,
    at: &NamespacedName,
) -> Option<NamespacedName> {
    let replacement = desired.target.destination_in(&at.namespace);
    let is_unfinished = desired.destinations.contains(&replacement)
        && plan.steps.get(&replacement) != Some(&Action::Keep);
    is_unfinished.then_some(replacement)
}

fn deletion_held(at: &NamespacedName, replacement: &NamespacedName) -> Failure {
    Failure::new(
        Reason::DeletionHeld,
        format!("the old copy {at} is kept until its replacement {replacement} equals the source"),
    )
}

/// The copies of this `ConfigMapSync`, except those that are left alone: see
/// [`NamespaceState::leaves_copies`](crate::decide::observed::NamespaceState::leaves_copies).
fn our_copies(
    observed: &Observed,
) -> impl Iterator<Item = (&NamespacedName, &ObservedDestination, &ExistingConfigMap)> {
    observed.destinations.iter().filter_map(|(at, destination)| match &destination.object {
        DestinationObject::Existing(existing)
            if !destination.namespace.leaves_copies()
                && owner_of(observed, at, existing) == Ownership::Ours =>
        {
            Some((at, destination, &**existing))
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::decide::observed::PendingRetry;
    use crate::decide::observed::Version;
    use crate::decide::verb::WriteConsent;

    #[test]
    fn a_failure_delays_only_the_writes_that_it_concerns() {
        let seen = Version { uid: "u".to_owned(), resource_version: "1".to_owned() };
        let hashes = ["a", "b"].map(ContentHash::from_text);
        let first = Some((&hashes[0], Some(1)));
        let new_content = Some((&hashes[1], Some(1)));
        let new_spec = Some((&hashes[0], Some(2)));
        let rows = [
            (Reason::Forbidden, first, first, true),
            (Reason::Forbidden, first, new_content, true),
            (Reason::Forbidden, first, new_spec, true),
            (Reason::Forbidden, first, None, false),
            (Reason::Forbidden, None, None, true),
            (Reason::Forbidden, None, first, true),
            (Reason::Contended, first, None, false),
            (Reason::Contended, None, None, true),
            (Reason::TooLarge, first, first, true),
            (Reason::TooLarge, first, new_content, false),
            (Reason::TooLarge, first, new_spec, false),
            (Reason::TooLarge, first, None, false),
            (Reason::TooLarge, None, None, true),
        ];
        for (reason, attempted, wanted, waits) in rows {
            let content_hash = attempted.map(|(hash, _)| hash.clone());
            let generation = attempted.and_then(|(_, generation)| generation);
            let attempt = Attempted { content_hash, generation, ..Attempted::default() };
            let failure = Failure::new(reason, "no");
            let destination = ObservedDestination {
                namespace: NamespaceState::Active,
                object: DestinationObject::Missing,
                pending_retry: Some(PendingRetry { failure, attempted: attempt }),
                consent: WriteConsent::NotRequired,
            };
            let write = Action::Delete { seen: seen.clone() };
            let planned = unless_retry_pending(&destination, wanted, write);
            let found = matches!(planned, Action::Leave(_));
            assert_eq!(found, waits, "{reason}: attempted {attempted:?}, wanted {wanted:?}");
        }
    }

    #[test]
    fn a_denied_write_concerns_one_generation_and_no_clean_up() {
        let seen = Version { uid: "u".to_owned(), resource_version: "1".to_owned() };
        let hash = ContentHash::from_text("a");
        let rows = [
            (Reason::NotPermitted, Some((&hash, Some(1))), true),
            (Reason::NotPermitted, Some((&hash, Some(2))), false),
            (Reason::NotPermitted, None, false),
            (Reason::ApiError, Some((&hash, Some(2))), true),
            (Reason::ApiError, None, false),
        ];
        for (reason, wanted, waits) in rows {
            let generation = Some(1);
            let attempted = Attempted { generation, is_review: true, ..Attempted::default() };
            let destination = ObservedDestination {
                namespace: NamespaceState::Active,
                object: DestinationObject::Missing,
                pending_retry: Some(PendingRetry {
                    failure: Failure::new(reason, "no"),
                    attempted,
                }),
                consent: WriteConsent::Granted(BTreeSet::new()),
            };
            let write = Action::Delete { seen: seen.clone() };
            let planned = unless_retry_pending(&destination, wanted, write);
            assert_eq!(matches!(planned, Action::Leave(_)), waits, "{reason}: wanted {wanted:?}");
        }
    }
}
