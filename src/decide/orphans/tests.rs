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
fn orphan(at: &NamespacedName) -> Candidate {
    Candidate {
        version: Version { uid: format!("uid of {at}"), resource_version: "7".into() },
        deleting: false,
        markers: markers(at),
        managed_by: ManagedBy::Us,
        namespace: NamespaceState::Active,
        adoptable: false,
        seen_alive: false,
        known_for: GRACE,
        owner: Owner::Gone,
        held: None,
    }
}

fn orphans(candidates: impl IntoIterator<Item = (NamespacedName, Candidate)>) -> Orphans {
    let candidates: BTreeMap<_, _> = candidates.into_iter().collect();
    let marked_copies = candidates.len();
    Orphans { candidates, marked_copies, patience: Patience::Grace(GRACE) }
}

/// What becomes of one orphan that differs from the usual one.
fn alone(change: impl FnOnce(&mut Candidate)) -> Step {
    let at = place(0);
    let mut candidate = orphan(&at);
    change(&mut candidate);
    sweep(&orphans([(at.clone(), candidate)])).steps[&at].clone()
}

fn crowd(count: usize, change: impl Fn(usize, &mut Candidate)) -> Orphans {
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
    assert_eq!(alone(|_| {}), Step::Delete { seen });
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
    assert_eq!(step, Step::Wait { remaining: second });
}

#[test]
fn one_seen_alive_is_due_at_once() {
    let fresh = |it: &mut Candidate| {
        it.known_for = Duration::ZERO;
        it.seen_alive = true;
    };
    assert_eq!(alone(fresh).verb(), "delete");
}

#[test]
fn nothing_is_done_before_its_sync_was_looked_at() {
    assert_eq!(alone(|it| it.owner = Owner::Unasked), Step::Ask);
    assert_eq!(alone(|it| it.owner = Owner::Alive), Step::Leave(Left::OwnerAlive));
    assert_eq!(alone(|it| it.owner = Owner::Another).verb(), "delete");
    let unknown = Owner::Unknown("no answer".into());
    assert_eq!(alone(|it| it.owner = unknown).verb(), "leave");
}

#[test]
fn adoption_goes_first() {
    assert_eq!(alone(|it| it.adoptable = true), Step::Leave(Left::Adoptable));
}

#[test]
fn a_protected_or_a_dying_namespace_is_left_alone() {
    let step = |state| alone(|it| it.namespace = state);
    assert_eq!(step(NamespaceState::Protected), Step::Leave(Left::NamespaceProtected));
    assert_eq!(step(NamespaceState::Terminating), Step::Leave(Left::NamespaceTerminating));
}

#[test]
fn what_no_sync_can_be_called_is_not_looked_for() {
    for name in ["", "sync", "../sync", "team/..", "team/sync?x", "Team/sync", "team/a/b"] {
        let step = alone(|it| it.markers.sync = Some(name.to_owned()));
        assert_eq!(step, Step::Leave(Left::NotOurs), "{name:?}");
    }
}

#[test]
fn one_that_failed_a_moment_ago_is_not_tried_again_yet() {
    let failure = Failure::new(Reason::Forbidden, "no");
    let step = alone(|it| it.held = Some(failure.clone()));
    assert_eq!(step, Step::Leave(Left::Failed(failure)));
}

#[test]
fn ten_are_swept_and_eleven_are_held() {
    assert_eq!(sweep(&crowd(10, |_, _| {})).brake, None);
    let verdict = sweep(&crowd(11, |_, _| {}));
    let brake = Brake { orphans: 11, limit: 10 };
    assert_eq!(verdict.brake, Some(brake));
    assert!(verdict.steps.values().all(|step| *step == Step::Leave(Left::Held(brake))));
}

#[test]
fn of_many_copies_a_fifth_is_swept() {
    let mut orphans = crowd(40, |_, _| {});
    orphans.marked_copies = 200;
    assert_eq!(sweep(&orphans).brake, None);
    orphans.marked_copies = 199;
    assert_eq!(sweep(&orphans).brake, Some(Brake { orphans: 40, limit: 39 }));
}

#[test]
fn those_that_still_wait_count_but_do_not_hold_by_themselves() {
    let waiting = |number, it: &mut Candidate| {
        if number > 0 {
            it.known_for = Duration::ZERO;
        }
    };
    assert_eq!(sweep(&crowd(11, waiting)).brake, Some(Brake { orphans: 11, limit: 10 }));
    let all_wait = sweep(&crowd(11, |_, it| it.known_for = Duration::ZERO));
    assert_eq!((all_wait.brake, all_wait.next_due()), (None, Some(GRACE)));
}

#[test]
fn a_person_is_neither_made_to_wait_nor_held() {
    let mut orphans = crowd(50, |_, it| it.known_for = Duration::ZERO);
    orphans.patience = Patience::Person;
    let verdict = sweep(&orphans);
    assert_eq!(verdict.brake, None);
    assert!(verdict.steps.values().all(|step| step.verb() == "delete"));
}

fn any_owner() -> impl Strategy<Value = Owner> {
    prop_oneof![
        4 => Just(Owner::Unasked),
        6 => Just(Owner::Gone),
        2 => Just(Owner::Another),
        1 => Just(Owner::Alive),
        1 => Just(Owner::Unknown("why".into())),
    ]
}

fn any_candidate(number: usize) -> impl Strategy<Value = (NamespacedName, Candidate)> {
    let state = prop_oneof![
        5 => Just(NamespaceState::Active),
        1 => Just(NamespaceState::Absent),
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
            let candidate = Candidate {
                markers: Markers { created, deletion_policy: policy, ..markers(&copy) },
                owner,
                namespace,
                deleting,
                adoptable,
                seen_alive,
                known_for: Duration::from_mins(minutes),
                held: failed.then(|| Failure::new(Reason::ApiError, "no")),
                ..usual
            };
            (at, candidate)
        })
}

fn any_orphans() -> impl Strategy<Value = Orphans> {
    let candidates =
        (0..25_usize).prop_flat_map(|count| (0..count).map(any_candidate).collect::<Vec<_>>());
    (candidates, 0..60_usize).prop_map(|(candidates, others)| {
        let mut orphans = orphans(candidates);
        orphans.marked_copies += others;
        orphans
    })
}

fn is_write(step: &Step) -> bool {
    step.action().is_some()
}

proptest! {
    #[test]
    fn every_candidate_gets_a_step(orphans in any_orphans()) {
        let verdict = sweep(&orphans);
        prop_assert!(verdict.steps.keys().eq(orphans.candidates.keys()));
    }

    #[test]
    fn nothing_is_written_unless_every_doubt_is_settled(orphans in any_orphans()) {
        for (at, step) in sweep(&orphans).steps {
            let it = &orphans.candidates[&at];
            if is_write(&step) {
                prop_assert!(matches!(it.owner, Owner::Gone | Owner::Another));
                prop_assert!(it.markers.copy == Some(at.to_string()));
                prop_assert!(!it.deleting && !it.adoptable && it.held.is_none());
                prop_assert!(it.seen_alive || it.known_for >= GRACE);
                prop_assert!(!matches!(
                    it.namespace,
                    NamespaceState::Protected | NamespaceState::Terminating
                ));
            }
            if let Step::Delete { seen } = &step {
                prop_assert!(it.markers.created);
                prop_assert_eq!(it.markers.deletion_policy.as_deref(), Some("Delete"));
                prop_assert_eq!(seen, &it.version);
            }
        }
    }

    #[test]
    fn the_brake_holds_all_that_were_never_seen_alive_and_no_other(orphans in any_orphans()) {
        let verdict = sweep(&orphans);
        let limit = ALWAYS_SWEPT.max(orphans.marked_copies / ONE_IN);
        let unseen = verdict
            .steps
            .iter()
            .filter(|(at, step)| is_write(step) && !orphans.candidates[*at].seen_alive)
            .count();
        prop_assert!(unseen <= limit);
        prop_assert!(verdict.brake.is_none() || unseen == 0);
        for (at, step) in &verdict.steps {
            if let Step::Leave(Left::Held(brake)) = step {
                prop_assert!(!orphans.candidates[at].seen_alive);
                prop_assert_eq!(Some(*brake), verdict.brake);
                prop_assert!(brake.orphans > brake.limit);
            }
        }
    }

    #[test]
    fn one_seen_alive_fares_the_same_alone_and_in_a_crowd(orphans in any_orphans()) {
        let verdict = sweep(&orphans);
        for (at, candidate) in orphans.candidates.iter().filter(|(_, it)| it.seen_alive) {
            let alone = Orphans {
                candidates: BTreeMap::from([(at.clone(), candidate.clone())]),
                ..orphans.clone()
            };
            prop_assert_eq!(&sweep(&alone).steps[at], &verdict.steps[at]);
        }
    }

    #[test]
    fn an_answer_settles_the_question(orphans in any_orphans(), answer in any_owner()) {
        prop_assume!(answer != Owner::Unasked);
        let mut orphans = orphans;
        let asked: Vec<_> = sweep(&orphans).asks().cloned().collect();
        for at in &asked {
            orphans.candidates.get_mut(at).unwrap().owner = answer.clone();
        }
        let verdict = sweep(&orphans);
        prop_assert_eq!(verdict.asks().count(), 0);
        let is_dead = matches!(answer, Owner::Gone | Owner::Another);
        for at in &asked {
            prop_assert_eq!(is_write(&verdict.steps[at]), is_dead);
        }
    }

    #[test]
    fn taking_a_mark_away_never_leads_to_a_deletion(orphans in any_orphans(), which in 0..4_usize) {
        let before = sweep(&orphans);
        let mut after = orphans.clone();
        for candidate in after.candidates.values_mut() {
            match which {
                0 => candidate.markers.created = false,
                1 => candidate.markers.deletion_policy = None,
                2 => candidate.markers.sync = None,
                _ => candidate.markers.copy = None,
            }
        }
        for (at, step) in sweep(&after).steps {
            prop_assert!(!matches!(step, Step::Delete { .. }), "{at}: {:?}", before.steps[&at]);
        }
    }
}
