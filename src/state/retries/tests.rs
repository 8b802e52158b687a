mod properties;

use super::*;
use crate::backoff::CAP_REFUSED;
use crate::decide::ContentHash;
use crate::decide::Failure;
use crate::decide::contention::Wanted;
use crate::decide::reason::Reason;

const SECOND: Duration = Duration::from_secs(1);

fn at() -> NamespacedName {
    NamespacedName::new("app", "shared")
}

fn subject() -> Subject {
    Subject::Destination(at())
}

fn attempt(reason: Reason, at: Instant) -> FailedAttempt {
    let failure = Failure::new(reason, "no");
    let failure = ApiFailure { failure, backoff_cap: CAP_REFUSED, retry_after: None };
    FailedAttempt {
        failure,
        at,
        namespace_uid: Some("n".to_owned()),
        attempted: Attempted::default(),
    }
}

fn fail(retries: &mut Retries, reason: Reason, at: Instant) {
    retries.failed(subject(), attempt(reason, at));
}

fn held(retries: &Retries, now: Instant) -> Option<PendingRetry> {
    retries.held_back(now).destination(&at(), Some("n"))
}

fn held_reason(retries: &Retries, now: Instant) -> Option<Reason> {
    held(retries, now).map(|held| held.failure.reason)
}

/// A write that makes the copy equal to the same content each time.
fn write(retries: &mut Retries, now: Instant) {
    let wanted = Wanted { generation: Some(1), content_hash: ContentHash::from_text("a") };
    let purpose = Purpose::Copy { wanted, was_wanted: false };
    let (response, namespace_uid) = (Response::Written, Some("n".to_owned()));
    retries.answered(&at(), AnsweredWrite { purpose, response, at: now, namespace_uid });
}

#[test]
fn a_failure_holds_until_its_delay_is_over() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    fail(&mut retries, Reason::Forbidden, now);
    assert!(held(&retries, now).is_some());
    assert!(retries.next_retry(now, now).unwrap() < SECOND * 2);
    assert_eq!(held(&retries, now + SECOND * 2), None);
}

#[test]
fn delays_grow_until_a_success() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    for _ in 0..6 {
        fail(&mut retries, Reason::Forbidden, now);
    }
    assert!(retries.next_retry(now, now).unwrap() > SECOND * 20);
    retries.succeeded(&subject());
    assert!(retries.is_empty());
    fail(&mut retries, Reason::Forbidden, now);
    assert!(retries.next_retry(now, now).unwrap() < SECOND * 2);
}

#[test]
fn an_attempt_is_a_retry_until_one_succeeds() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    assert_eq!(retries.failures_at(&at()), 0);
    fail(&mut retries, Reason::Forbidden, now);
    assert_eq!(retries.failures_at(&at()), 1);
    retries.succeeded(&subject());
    assert_eq!(retries.failures_at(&at()), 0);
}

#[test]
fn one_destination_does_not_hold_another() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    fail(&mut retries, Reason::Forbidden, now);
    let other = NamespacedName::new("app", "other");
    assert_eq!(retries.held_back(now).destination(&other, Some("n")), None);
}

#[test]
fn source_namespaces_finalizer_and_status_wait_separately() {
    let sources = [NamespacedName::new("central", "a"), NamespacedName::new("central", "b")];
    let source = Subject::Source(sources[0].clone());
    for subject in [source, Subject::Namespaces, Subject::Finalizer, Subject::Status] {
        let (mut retries, now) = (Retries::default(), Instant::now());
        retries.failed(subject.clone(), attempt(Reason::ApiError, now));
        let held = retries.held_back(now);
        assert_eq!(
            held.source(&sources[0], None).is_some(),
            subject == Subject::Source(at_source())
        );
        assert_eq!(held.source(&sources[1], None), None, "another source does not wait");
        assert_eq!(held.namespaces().is_some(), subject == Subject::Namespaces);
        assert_eq!(held.finalizer().is_some(), subject == Subject::Finalizer);
        assert_eq!(held.status(), subject == Subject::Status);
        assert_eq!(held.destination(&at(), Some("n")), None);
        let later = retries.held_back(now + SECOND * 2);
        assert!(later.source(&sources[0], None).is_none() && !later.status());
        assert_eq!(later.finalizer(), None);
    }
    assert_eq!(HeldBack::nothing().source(&sources[0], None), None);
}

fn at_source() -> NamespacedName {
    NamespacedName::new("central", "a")
}

#[test]
fn a_failure_that_needs_no_write_is_forgotten_once_due() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    fail(&mut retries, Reason::Forbidden, now);
    retries.settled(now, |_| false);
    assert!(held(&retries, now).is_some(), "an event does not reset a backoff");
    retries.settled(now + SECOND * 2, |_| false);
    assert!(retries.is_empty());
}

#[test]
fn a_backoff_outlives_a_reconcile_that_attempts_nothing() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    for _ in 0..4 {
        fail(&mut retries, Reason::Forbidden, now);
    }
    let later = now + SECOND * 60;
    retries.settled(later, |_| true);
    assert_eq!(retries.next_retry(later, later), None, "a deadline in the past counts for nothing");
    fail(&mut retries, Reason::Forbidden, later);
    assert!(retries.next_retry(later, later).unwrap() > SECOND * 10);
}

#[test]
fn what_needs_a_change_waits_until_verification() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    fail(&mut retries, Reason::TooLarge, now);
    let later = now + SECOND * 1000;
    retries.settled(later, |_| true);
    assert!(held(&retries, later).is_some());
    assert_eq!(retries.held_back(now).destination(&at(), Some("m")), None, "another namespace");
    retries.verifying();
    assert_eq!(held(&retries, later), None);
}

#[test]
fn a_rejection_by_a_namespace_is_retried_after_30_seconds() {
    for reason in [Reason::NamespaceTerminating, Reason::DestinationNamespaceNotFound] {
        let (mut retries, now) = (Retries::default(), Instant::now());
        for _ in 0..3 {
            fail(&mut retries, reason, now);
            assert_eq!(retries.next_retry(now, now), Some(SECOND * 30));
        }
        assert_eq!(held_reason(&retries, now + SECOND * 29), Some(reason));
        assert_eq!(held(&retries, now + SECOND * 30), None);
    }
}

#[test]
fn a_copy_whose_writes_are_undone_is_contended() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    for _ in 0..7 {
        assert_eq!(held(&retries, now), None);
        write(&mut retries, now);
    }
    assert_eq!(held_reason(&retries, now), Some(Reason::Contended));
    assert_eq!(retries.held_back(now).destination(&at(), Some("m")), None, "another namespace");
    assert!(retries.next_retry(now, now).unwrap() < SECOND * 2);
    assert_eq!(held(&retries, now + SECOND * 2), None);
}

#[test]
fn deletions_and_new_copies_of_ours_are_no_contention() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    for _ in 0..20 {
        write(&mut retries, now);
        retries.settled(now, |_| false);
        let (response, namespace_uid) = (Response::Written, Some("n".to_owned()));
        let purpose = Purpose::Retire;
        retries.answered(&at(), AnsweredWrite { purpose, response, at: now, namespace_uid });
        retries.settled(now, |_| false);
        assert_eq!(held(&retries, now), None);
    }
    retries.settled(now + WINDOW, |_| false);
    assert!(retries.is_empty(), "own deletions are remembered for a minute");
}

/// A reconcile meanwhile may need no write, since the source is gone.
#[test]
fn a_repair_in_flight_counts_whatever_is_wanted_meanwhile() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    write(&mut retries, now);
    for _ in 0..=5 {
        retries.write_in_flight(&at());
        retries.settled(now, |_| false);
        retries.write_ended(&at());
        write(&mut retries, now);
    }
    assert_eq!(held_reason(&retries, now), Some(Reason::Contended));
}

#[test]
fn a_write_in_flight_holds_the_next_one() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    retries.write_in_flight(&at());
    assert!(retries.held_back(now).has_writes_in_flight());
    assert!(retries.held_back(now).is_in_flight(&at()));
    assert_eq!(held_reason(&retries, now), Some(Reason::Progressing));
    retries.write_ended(&at());
    assert!(!retries.held_back(now).has_writes_in_flight());
    assert_eq!(held(&retries, now), None);
}

#[test]
fn a_write_that_was_not_sent_holds_no_finalizer() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    retries.write_waits(&at());
    assert!(!retries.held_back(now).has_writes_in_flight());
    let held = retries.held_back(now).destination(&at(), None).unwrap();
    assert!(held.failure.message.contains("responds slowly"), "{held:?}");
    retries.write_ended(&at());
    assert!(retries.is_empty());
}

#[test]
fn a_retry_in_flight_reports_the_previous_failure() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    for _ in 0..3 {
        fail(&mut retries, Reason::Forbidden, now);
    }
    let later = now + SECOND * 60;
    retries.write_in_flight(&at());
    retries.settled(later, |_| true);
    assert_eq!(held_reason(&retries, later), Some(Reason::Forbidden));
    assert_eq!(retries.next_retry(later, later), None, "the response causes the next reconcile");
    fail(&mut retries, Reason::Forbidden, later);
    retries.write_ended(&at());
    assert!(retries.next_retry(later, later).unwrap() > SECOND * 5, "the backoff continues");
}

#[test]
fn an_older_too_large_does_not_excuse_a_write_in_flight() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    fail(&mut retries, Reason::TooLarge, now);
    retries.write_in_flight(&at());
    assert_eq!(held_reason(&retries, now), Some(Reason::Progressing));
}

/// The hash of the content that a write held back at `now` was to make.
fn held_hash(retries: &Retries, now: Instant) -> Option<ContentHash> {
    held(retries, now).and_then(|held| held.attempted.content_hash)
}

#[test]
fn contention_holds_retirements_once_one_of_them_conflicts() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    for _ in 0..7 {
        write(&mut retries, now);
    }
    assert!(held_hash(&retries, now).is_some(), "only copies wait");
    let (response, namespace_uid) = (Response::Conflict, Some("n".to_owned()));
    let purpose = Purpose::Retire;
    retries.answered(&at(), AnsweredWrite { purpose, response, at: now, namespace_uid });
    assert_eq!(held_reason(&retries, now), Some(Reason::Contended));
    assert_eq!(held_hash(&retries, now), None, "all writes wait");
}

#[test]
fn all_writes_wait_for_a_retry_in_flight() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    let content_hash = Some(ContentHash::from_text("a"));
    let attempted = Attempted { content_hash, ..Attempted::default() };
    let attempt = FailedAttempt { attempted, ..attempt(Reason::Forbidden, now) };
    retries.failed(subject(), attempt);
    assert!(held_hash(&retries, now).is_some());
    retries.write_in_flight(&at());
    assert_eq!(held_reason(&retries, now), Some(Reason::Forbidden));
    assert_eq!(held_hash(&retries, now), None);
}

#[test]
fn a_finalizer_removed_again_and_again_is_contended() {
    let (mut retries, mut now) = (Retries::default(), Instant::now());
    for _ in 0..6 {
        assert_eq!(retries.held_back(now).finalizer(), None);
        assert_eq!(retries.next_retry(now, now), None);
        now += SECOND;
        retries.restored(Subject::Finalizer, now);
    }
    let held = retries.held_back(now).finalizer();
    assert_eq!(held.map(|it| it.reason), Some(Reason::Contended));
    assert!(retries.next_retry(now, now).unwrap() < SECOND * 2);
    retries.settled(now, |_| false);
    assert!(!retries.is_empty());
    retries.settled(now + SECOND * 3_600, |_| false);
    assert!(retries.is_empty());
}

#[test]
fn a_status_undone_again_and_again_is_held_back() {
    let (mut retries, now) = (Retries::default(), Instant::now());
    for _ in 0..6 {
        assert!(!retries.held_back(now).status());
        retries.restored(Subject::Status, now);
    }
    assert!(retries.held_back(now).status());
    assert_eq!(retries.held_back(now).finalizer(), None);
    assert!(retries.next_retry(now, now).unwrap() < SECOND * 2);
    assert!(!retries.held_back(now + SECOND * 2).status());
}
