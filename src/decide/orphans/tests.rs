use std::collections::BTreeMap;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::ContentHash;
use crate::decide::Failure;
use crate::decide::Markers;
use crate::decide::markers::MarkerKeys;
use crate::decide::observed::ManagedBy;
use crate::decide::observed::NamespaceState;
use crate::decide::observed::Version;
use crate::decide::orphans::census::BRAKE_FRACTION;
use crate::decide::orphans::census::MIN_BRAKE_LIMIT;
use crate::decide::reason::Reason;

const GRACE: Duration = Duration::from_mins(10);

fn markers(at: &NamespacedName) -> Markers {
    Markers {
        sync_uid: "dead".into(),
        sync: Some("team/sync".into()),
        copy: Some(at.to_string()),
        source: Some("central/s".into()),
        content_hash: Some(ContentHash::from_text("v1:00")),
        created: true,
        deletion_policy: Some("Delete".into()),
    }
}

fn copy(number: usize) -> NamespacedName {
    NamespacedName::new("app", format!("copy-{number}"))
}

/// An orphan that is due, with a confirmed owner.
fn orphan(at: &NamespacedName) -> OrphanCandidate {
    OrphanCandidate {
        version: Version { uid: format!("uid of {at}"), resource_version: "7".into() },
        deleting: false,
        markers: markers(at),
        marker_keys: MarkerKeys::default(),
        managed_by: ManagedBy::Us,
        namespace: NamespaceState::Active,
        adoptable: false,
        seen_alive: false,
        known_for: GRACE,
        owner: OwnerState::Deleted,
        pending_retry: None,
    }
}

fn orphans(
    candidates: impl IntoIterator<Item = (NamespacedName, OrphanCandidate)>,
) -> ObservedOrphans {
    let candidates: BTreeMap<_, _> = candidates.into_iter().collect();
    let marked_copies = candidates.len();
    ObservedOrphans::all(candidates, marked_copies, CollectionMode::Automatic(GRACE))
}

/// The step of a single orphan, changed by `change`.
fn step_of(change: impl FnOnce(&mut OrphanCandidate)) -> OrphanStep {
    let at = copy(0);
    let mut candidate = orphan(&at);
    change(&mut candidate);
    plan_collection(&orphans([(at.clone(), candidate)])).steps[&at].clone()
}

fn many(count: usize, change: impl Fn(usize, &mut OrphanCandidate)) -> ObservedOrphans {
    orphans((0..count).map(|number| {
        let at = copy(number);
        let mut candidate = orphan(&at);
        change(number, &mut candidate);
        (at, candidate)
    }))
}

#[test]
fn a_due_orphan_is_deleted_at_the_observed_version() {
    let seen = orphan(&copy(0)).version;
    assert_eq!(step_of(|_| {}), OrphanStep::Retire(Action::Delete { seen }));
}

#[test]
fn the_syncs_of_due_orphans_are_named_once() {
    let names = ["team/b", "team/a", "team/b", "team/c"];
    let observed = many(4, |number, it| it.markers.sync = Some(names[number].to_owned()));
    let due: Vec<_> = (0..3).map(copy).collect();
    assert_eq!(observed.sync_names(due.iter()), "team/a, team/b");

    let observed = many(1_000, |number, it| it.markers.sync = Some(format!("team/{number}")));
    assert!(observed.sync_names(observed.candidates.keys()).len() < 1_100);
}

#[test]
fn an_orphan_without_both_markers_is_released() {
    assert_eq!(step_of(|it| it.markers.created = false).verb(), "release");
    assert_eq!(step_of(|it| it.markers.deletion_policy = None).verb(), "release");
    assert_eq!(step_of(|it| it.markers.deletion_policy = Some("delete".into())).verb(), "release");
}

#[test]
fn an_orphan_of_an_unseen_sync_waits_for_the_grace_period() {
    let second = Duration::from_secs(1);
    let step = step_of(|it| it.known_for = GRACE.saturating_sub(second));
    assert_eq!(step, OrphanStep::Wait { remaining: second });
}

#[test]
fn an_orphan_of_a_seen_sync_is_due_at_once() {
    let fresh = |it: &mut OrphanCandidate| {
        it.known_for = Duration::ZERO;
        it.seen_alive = true;
    };
    assert_eq!(step_of(fresh).verb(), "delete");
}

#[test]
fn an_orphan_is_kept_until_its_owner_was_read() {
    assert_eq!(step_of(|it| it.owner = OwnerState::Unchecked), OrphanStep::ConfirmOwner);
    assert_eq!(
        step_of(|it| it.owner = OwnerState::Exists),
        OrphanStep::Keep(KeepReason::OwnerExists)
    );
    assert_eq!(step_of(|it| it.owner = OwnerState::Replaced).verb(), "delete");
    let unknown = OwnerState::Unknown("no answer".into());
    assert_eq!(step_of(|it| it.owner = unknown).verb(), "leave");
}

#[test]
fn an_adoptable_orphan_is_kept() {
    assert_eq!(step_of(|it| it.adoptable = true), OrphanStep::Keep(KeepReason::Adoptable));
}

#[test]
fn orphans_in_unusable_namespaces_are_kept() {
    let step = |state| step_of(|it| it.namespace = state);
    assert_eq!(step(NamespaceState::Protected), OrphanStep::Keep(KeepReason::NamespaceProtected));
    assert_eq!(step(NamespaceState::Missing), OrphanStep::Keep(KeepReason::NamespaceUnknown));
    assert_eq!(
        step(NamespaceState::Terminating),
        OrphanStep::Keep(KeepReason::NamespaceTerminating)
    );
}

#[test]
fn an_invalid_owner_name_is_not_read() {
    for name in ["", "sync", "../sync", "team/..", "team/sync?x", "Team/sync", "team/a/b"] {
        let step = step_of(|it| it.markers.sync = Some(name.to_owned()));
        assert_eq!(step, OrphanStep::Keep(KeepReason::NotOurs), "{name:?}");
    }
}

#[test]
fn a_failed_orphan_is_kept_during_its_backoff() {
    let failure = Failure::new(Reason::Forbidden, "no");
    let step = step_of(|it| it.pending_retry = Some(failure.clone()));
    assert_eq!(step, OrphanStep::Keep(KeepReason::Failed(failure)));
}

#[test]
fn ten_orphans_are_collected_and_eleven_are_held() {
    assert_eq!(plan_collection(&many(10, |_, _| {})).brake, None);
    let plan = plan_collection(&many(11, |_, _| {}));
    let brake = Brake { orphans: 11, limit: 10 };
    assert_eq!(plan.brake, Some(brake));
    assert!(plan.steps.values().all(|step| *step == OrphanStep::Keep(KeepReason::Held(brake))));
}

#[test]
fn up_to_a_fifth_of_all_copies_is_collected() {
    let mut orphans = many(40, |_, _| {});
    orphans.marked_copies = 200;
    assert_eq!(plan_collection(&orphans).brake, None);
    orphans.marked_copies = 199;
    assert_eq!(plan_collection(&orphans).brake, Some(Brake { orphans: 40, limit: 39 }));
}

#[test]
fn waiting_orphans_count_but_do_not_apply_the_brake() {
    let waiting = |number, it: &mut OrphanCandidate| {
        if number > 0 {
            it.known_for = Duration::ZERO;
        }
    };
    assert_eq!(plan_collection(&many(11, waiting)).brake, Some(Brake { orphans: 11, limit: 10 }));
    let all_wait = many(11, |_, it| it.known_for = Duration::ZERO);
    assert_eq!((all_wait.census.due, all_wait.census.next_due), (0, Some(GRACE)));
    assert_eq!(plan_collection(&all_wait).brake, None);
}

#[test]
fn a_requested_collection_has_no_grace_or_brake() {
    let ObservedOrphans { candidates, .. } = many(50, |_, it| it.known_for = Duration::ZERO);
    let orphans = ObservedOrphans::all(candidates, 50, CollectionMode::Requested);
    let plan = plan_collection(&orphans);
    assert_eq!(plan.brake, None);
    assert!(plan.steps.values().all(|step| step.verb() == "delete"));
}

fn any_owner() -> impl Strategy<Value = OwnerState> {
    prop_oneof![
        4 => Just(OwnerState::Unchecked),
        6 => Just(OwnerState::Deleted),
        2 => Just(OwnerState::Replaced),
        1 => Just(OwnerState::Exists),
        1 => Just(OwnerState::Unknown("why".into())),
    ]
}

fn any_candidate(number: usize) -> impl Strategy<Value = (NamespacedName, OrphanCandidate)> {
    let state = prop_oneof![
        5 => Just(NamespaceState::Active),
        1 => Just(NamespaceState::Missing),
        1 => Just(NamespaceState::Protected),
        1 => Just(NamespaceState::Terminating),
    ];
    let named = prop_oneof![5 => Just(copy(number)), 1 => Just(copy(number + 1))];
    let policy = proptest::option::weighted(0.8, "Delete|Retain");
    let likely = || proptest::bool::weighted(0.9);
    let seldom = || proptest::bool::weighted(0.1);
    let minutes = prop_oneof![Just(0), Just(9), Just(10), Just(60)];
    (
        any_owner(),
        state,
        named,
        policy,
        (likely(), seldom(), seldom(), any::<bool>(), seldom()),
        minutes,
    )
        .prop_map(move |(owner, namespace, named, policy, flags, minutes)| {
            let (created, deleting, adoptable, seen_alive, failed) = flags;
            let at = copy(number);
            let usual = orphan(&at);
            let candidate = OrphanCandidate {
                markers: Markers { created, deletion_policy: policy, ..markers(&named) },
                owner,
                namespace,
                deleting,
                adoptable,
                seen_alive,
                known_for: Duration::from_mins(minutes),
                pending_retry: failed.then(|| Failure::new(Reason::ApiError, "no")),
                ..usual
            };
            (at, candidate)
        })
}

fn any_orphans() -> impl Strategy<Value = ObservedOrphans> {
    let candidates =
        (0..25_usize).prop_flat_map(|count| (0..count).map(any_candidate).collect::<Vec<_>>());
    (candidates, 0..60_usize).prop_map(|(candidates, others)| {
        let mut orphans = orphans(candidates);
        orphans.marked_copies += others;
        orphans
    })
}

fn is_write(step: &OrphanStep) -> bool {
    step.action().is_some()
}

proptest! {
    #[test]
    fn every_candidate_has_a_step(orphans in any_orphans()) {
        let plan = plan_collection(&orphans);
        prop_assert!(plan.steps.keys().eq(orphans.candidates.keys()));
    }

    #[test]
    fn a_write_requires_every_condition(orphans in any_orphans()) {
        for (at, step) in plan_collection(&orphans).steps {
            let it = &orphans.candidates[&at];
            if is_write(&step) {
                prop_assert!(matches!(it.owner, OwnerState::Deleted | OwnerState::Replaced));
                prop_assert!(it.markers.copy == Some(at.to_string()));
                prop_assert!(!it.deleting && !it.adoptable && it.pending_retry.is_none());
                prop_assert!(it.seen_alive || it.known_for >= GRACE);
                prop_assert_eq!(it.namespace, NamespaceState::Active);
            }
            if let OrphanStep::Retire(Action::Delete { seen }) = &step {
                prop_assert!(it.markers.created);
                prop_assert_eq!(it.markers.deletion_policy.as_deref(), Some("Delete"));
                prop_assert_eq!(seen, &it.version);
            }
        }
    }

    #[test]
    fn the_brake_holds_exactly_orphans_of_unseen_syncs(orphans in any_orphans()) {
        let plan = plan_collection(&orphans);
        let limit = MIN_BRAKE_LIMIT.max(orphans.marked_copies / BRAKE_FRACTION);
        let unseen = plan
            .steps
            .iter()
            .filter(|(at, step)| is_write(step) && !orphans.candidates[*at].seen_alive)
            .count();
        prop_assert!(unseen <= limit);
        prop_assert!(plan.brake.is_none() || unseen == 0);
        for (at, step) in &plan.steps {
            if let OrphanStep::Keep(KeepReason::Held(brake)) = step {
                prop_assert!(!orphans.candidates[at].seen_alive);
                prop_assert_eq!(Some(*brake), plan.brake);
                prop_assert!(brake.orphans > brake.limit);
            }
        }
    }

    #[test]
    fn the_brake_does_not_affect_orphans_of_seen_syncs(orphans in any_orphans()) {
        let plan = plan_collection(&orphans);
        for (at, candidate) in orphans.candidates.iter().filter(|(_, it)| it.seen_alive) {
            let alone = ObservedOrphans {
                candidates: BTreeMap::from([(at.clone(), candidate.clone())]),
                ..orphans.clone()
            };
            prop_assert_eq!(&plan_collection(&alone).steps[at], &plan.steps[at]);
        }
    }

    #[test]
    fn batches_have_the_steps_of_all_at_once(orphans in any_orphans(), size in 1..10_usize) {
        let all: Vec<_> = orphans.candidates.clone().into_iter().collect();
        let batches = all.chunks(size).map(|batch| batch.iter().cloned().collect::<BTreeMap<_, _>>());
        let of_each = batches.clone().map(|batch| Census::of(&batch, orphans.mode));
        let census = of_each.reduce(Census::merge).unwrap_or_default();
        prop_assert_eq!(census, orphans.census);
        let steps = batches.flat_map(|candidates| {
            let batch = ObservedOrphans { candidates, census, ..orphans.clone() };
            plan_collection(&batch).steps
        });
        prop_assert_eq!(steps.collect::<BTreeMap<_, _>>(), plan_collection(&orphans).steps);
    }

    #[test]
    fn the_second_plan_requires_no_reads(orphans in any_orphans(), owner in any_owner()) {
        prop_assume!(owner != OwnerState::Unchecked);
        let mut orphans = orphans;
        let unconfirmed: Vec<_> = plan_collection(&orphans).unconfirmed().cloned().collect();
        for at in &unconfirmed {
            orphans.candidates.get_mut(at).unwrap().owner = owner.clone();
        }
        let plan = plan_collection(&orphans);
        prop_assert_eq!(plan.unconfirmed().count(), 0);
        let is_gone = matches!(owner, OwnerState::Deleted | OwnerState::Replaced);
        for at in &unconfirmed {
            prop_assert_eq!(is_write(&plan.steps[at]), is_gone);
        }
    }

    #[test]
    fn a_removed_marker_never_results_in_a_deletion(orphans in any_orphans(), which in 0..4_usize) {
        let before = plan_collection(&orphans);
        let mut after = orphans.clone();
        for candidate in after.candidates.values_mut() {
            match which {
                0 => candidate.markers.created = false,
                1 => candidate.markers.deletion_policy = None,
                2 => candidate.markers.sync = None,
                _ => candidate.markers.copy = None,
            }
        }
        for (at, step) in plan_collection(&after).steps {
            prop_assert!(!matches!(step, OrphanStep::Retire(Action::Delete { .. })), "{at}: {:?}", before.steps[&at]);
        }
    }
}
