use proptest::prelude::*;

use super::*;
use crate::decide::ContentHash;
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

fn place(number: usize) -> NamespacedName {
    NamespacedName::new("app", format!("copy-{number}"))
}

/// One that is due, and confirmed dead.
fn orphan(at: &NamespacedName) -> OrphanCandidate {
    OrphanCandidate {
        version: Version { uid: format!("uid of {at}"), resource_version: "7".into() },
        deleting: false,
        markers: markers(at),
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
    ObservedOrphans { candidates, marked_copies, mode: CollectionMode::Automatic(GRACE) }
}

/// What becomes of one orphan that differs from the usual one.
fn alone(change: impl FnOnce(&mut OrphanCandidate)) -> OrphanStep {
    let at = place(0);
    let mut candidate = orphan(&at);
    change(&mut candidate);
    plan_collection(&orphans([(at.clone(), candidate)])).steps[&at].clone()
}

fn crowd(count: usize, change: impl Fn(usize, &mut OrphanCandidate)) -> ObservedOrphans {
    orphans((0..count).map(|number| {
        let at = place(number);
        let mut candidate = orphan(&at);
        change(number, &mut candidate);
        (at, candidate)
    }))
}

#[test]
fn one_that_is_dead_and_due_is_deleted_at_the_version_seen() {
    let seen = orphan(&place(0)).version;
    assert_eq!(alone(|_| {}), OrphanStep::Delete { seen });
}

#[test]
fn without_either_positive_mark_it_is_released() {
    assert_eq!(alone(|it| it.markers.created = false).verb(), "release");
    assert_eq!(alone(|it| it.markers.deletion_policy = None).verb(), "release");
    assert_eq!(alone(|it| it.markers.deletion_policy = Some("delete".into())).verb(), "release");
}

#[test]
fn one_never_seen_alive_waits_for_the_rest_of_the_grace() {
    let second = Duration::from_secs(1);
    let step = alone(|it| it.known_for = GRACE.saturating_sub(second));
    assert_eq!(step, OrphanStep::Wait { remaining: second });
}

#[test]
fn one_seen_alive_is_due_at_once() {
    let fresh = |it: &mut OrphanCandidate| {
        it.known_for = Duration::ZERO;
        it.seen_alive = true;
    };
    assert_eq!(alone(fresh).verb(), "delete");
}

#[test]
fn nothing_is_done_before_its_sync_was_looked_at() {
    assert_eq!(alone(|it| it.owner = OwnerState::Unchecked), OrphanStep::ConfirmOwner);
    assert_eq!(
        alone(|it| it.owner = OwnerState::Exists),
        OrphanStep::Keep(KeepReason::OwnerExists)
    );
    assert_eq!(alone(|it| it.owner = OwnerState::Replaced).verb(), "delete");
    let unknown = OwnerState::Unknown("no answer".into());
    assert_eq!(alone(|it| it.owner = unknown).verb(), "leave");
}

#[test]
fn adoption_goes_first() {
    assert_eq!(alone(|it| it.adoptable = true), OrphanStep::Keep(KeepReason::Adoptable));
}

#[test]
fn a_protected_or_a_dying_namespace_is_left_alone() {
    let step = |state| alone(|it| it.namespace = state);
    assert_eq!(step(NamespaceState::Protected), OrphanStep::Keep(KeepReason::NamespaceProtected));
    assert_eq!(
        step(NamespaceState::Terminating),
        OrphanStep::Keep(KeepReason::NamespaceTerminating)
    );
}

#[test]
fn what_no_sync_can_be_called_is_not_looked_for() {
    for name in ["", "sync", "../sync", "team/..", "team/sync?x", "Team/sync", "team/a/b"] {
        let step = alone(|it| it.markers.sync = Some(name.to_owned()));
        assert_eq!(step, OrphanStep::Keep(KeepReason::NotOurs), "{name:?}");
    }
}

#[test]
fn one_that_failed_a_moment_ago_is_not_tried_again_yet() {
    let failure = Failure::new(Reason::Forbidden, "no");
    let step = alone(|it| it.pending_retry = Some(failure.clone()));
    assert_eq!(step, OrphanStep::Keep(KeepReason::Failed(failure)));
}

#[test]
fn ten_are_swept_and_eleven_are_held() {
    assert_eq!(plan_collection(&crowd(10, |_, _| {})).brake, None);
    let verdict = plan_collection(&crowd(11, |_, _| {}));
    let brake = Brake { orphans: 11, limit: 10 };
    assert_eq!(verdict.brake, Some(brake));
    assert!(verdict.steps.values().all(|step| *step == OrphanStep::Keep(KeepReason::Held(brake))));
}

#[test]
fn of_many_copies_a_fifth_is_swept() {
    let mut orphans = crowd(40, |_, _| {});
    orphans.marked_copies = 200;
    assert_eq!(plan_collection(&orphans).brake, None);
    orphans.marked_copies = 199;
    assert_eq!(plan_collection(&orphans).brake, Some(Brake { orphans: 40, limit: 39 }));
}

#[test]
fn those_that_still_wait_count_but_do_not_hold_by_themselves() {
    let waiting = |number, it: &mut OrphanCandidate| {
        if number > 0 {
            it.known_for = Duration::ZERO;
        }
    };
    assert_eq!(plan_collection(&crowd(11, waiting)).brake, Some(Brake { orphans: 11, limit: 10 }));
    let all_wait = plan_collection(&crowd(11, |_, it| it.known_for = Duration::ZERO));
    assert_eq!((all_wait.brake, all_wait.next_due()), (None, Some(GRACE)));
}

#[test]
fn a_person_is_neither_made_to_wait_nor_held() {
    let mut orphans = crowd(50, |_, it| it.known_for = Duration::ZERO);
    orphans.mode = CollectionMode::Requested;
    let verdict = plan_collection(&orphans);
    assert_eq!(verdict.brake, None);
    assert!(verdict.steps.values().all(|step| step.verb() == "delete"));
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
    let copy = prop_oneof![5 => Just(place(number)), 1 => Just(place(number + 1))];
    let policy = proptest::option::weighted(0.8, "Delete|Retain");
    let likely = || proptest::bool::weighted(0.9);
    let seldom = || proptest::bool::weighted(0.1);
    let minutes = prop_oneof![Just(0), Just(9), Just(10), Just(60)];
    (
        any_owner(),
        state,
        copy,
        policy,
        (likely(), seldom(), seldom(), any::<bool>(), seldom()),
        minutes,
    )
        .prop_map(move |(owner, namespace, copy, policy, flags, minutes)| {
            let (created, deleting, adoptable, seen_alive, failed) = flags;
            let at = place(number);
            let usual = orphan(&at);
            let candidate = OrphanCandidate {
                markers: Markers { created, deletion_policy: policy, ..markers(&copy) },
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
    fn every_candidate_gets_a_step(orphans in any_orphans()) {
        let verdict = plan_collection(&orphans);
        prop_assert!(verdict.steps.keys().eq(orphans.candidates.keys()));
    }

    #[test]
    fn nothing_is_written_unless_every_doubt_is_settled(orphans in any_orphans()) {
        for (at, step) in plan_collection(&orphans).steps {
            let it = &orphans.candidates[&at];
            if is_write(&step) {
                prop_assert!(matches!(it.owner, OwnerState::Deleted | OwnerState::Replaced));
                prop_assert!(it.markers.copy == Some(at.to_string()));
                prop_assert!(!it.deleting && !it.adoptable && it.pending_retry.is_none());
                prop_assert!(it.seen_alive || it.known_for >= GRACE);
                prop_assert!(!matches!(
                    it.namespace,
                    NamespaceState::Protected | NamespaceState::Terminating
                ));
            }
            if let OrphanStep::Delete { seen } = &step {
                prop_assert!(it.markers.created);
                prop_assert_eq!(it.markers.deletion_policy.as_deref(), Some("Delete"));
                prop_assert_eq!(seen, &it.version);
            }
        }
    }

    #[test]
    fn the_brake_holds_all_that_were_never_seen_alive_and_no_other(orphans in any_orphans()) {
        let verdict = plan_collection(&orphans);
        let limit = ALWAYS_SWEPT.max(orphans.marked_copies / ONE_IN);
        let unseen = verdict
            .steps
            .iter()
            .filter(|(at, step)| is_write(step) && !orphans.candidates[*at].seen_alive)
            .count();
        prop_assert!(unseen <= limit);
        prop_assert!(verdict.brake.is_none() || unseen == 0);
        for (at, step) in &verdict.steps {
            if let OrphanStep::Keep(KeepReason::Held(brake)) = step {
                prop_assert!(!orphans.candidates[at].seen_alive);
                prop_assert_eq!(Some(*brake), verdict.brake);
                prop_assert!(brake.orphans > brake.limit);
            }
        }
    }

    #[test]
    fn one_seen_alive_fares_the_same_alone_and_in_a_crowd(orphans in any_orphans()) {
        let verdict = plan_collection(&orphans);
        for (at, candidate) in orphans.candidates.iter().filter(|(_, it)| it.seen_alive) {
            let alone = ObservedOrphans {
                candidates: BTreeMap::from([(at.clone(), candidate.clone())]),
                ..orphans.clone()
            };
            prop_assert_eq!(&plan_collection(&alone).steps[at], &verdict.steps[at]);
        }
    }

    #[test]
    fn an_answer_settles_the_question(orphans in any_orphans(), answer in any_owner()) {
        prop_assume!(answer != OwnerState::Unchecked);
        let mut orphans = orphans;
        let asked: Vec<_> = plan_collection(&orphans).unconfirmed().cloned().collect();
        for at in &asked {
            orphans.candidates.get_mut(at).unwrap().owner = answer.clone();
        }
        let verdict = plan_collection(&orphans);
        prop_assert_eq!(verdict.unconfirmed().count(), 0);
        let is_dead = matches!(answer, OwnerState::Deleted | OwnerState::Replaced);
        for at in &asked {
            prop_assert_eq!(is_write(&verdict.steps[at]), is_dead);
        }
    }

    #[test]
    fn taking_a_mark_away_never_leads_to_a_deletion(orphans in any_orphans(), which in 0..4_usize) {
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
            prop_assert!(!matches!(step, OrphanStep::Delete { .. }), "{at}: {:?}", before.steps[&at]);
        }
    }
}
