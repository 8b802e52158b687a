use super::*;
use crate::backoff::CAP_REFUSED;
use crate::decide::reason::Reason;

const SECOND: Duration = Duration::from_secs(1);

fn at() -> NamespacedName {
    NamespacedName::new("app", "shared")
}

fn subject() -> Subject {
    Subject::Destination(at())
}

fn fail(retries: &Retries, reason: Reason, at: Instant) {
    let failure = Failure::new(reason, "no");
    let failure = ApiFailure { failure, backoff_cap: CAP_REFUSED, retry_after: None };
    let namespace_uid = Some("n".to_owned());
    let attempt = FailedAttempt { failure, at, namespace_uid, content_hash: None };
    retries.failed("s", subject(), attempt);
}

fn held(retries: &Retries, now: Instant) -> Option<PendingRetry> {
    retries.held_back("s", now).destination(&at(), Some("n"))
}

#[test]
fn a_failure_holds_until_its_delay_is_over() {
    let (retries, now) = (Retries::default(), Instant::now());
    fail(&retries, Reason::Forbidden, now);
    assert!(held(&retries, now).is_some());
    assert!(retries.next_retry("s", now).unwrap() < SECOND * 2);
    assert_eq!(held(&retries, now + SECOND * 2), None);
}

#[test]
fn delays_grow_until_a_success() {
    let (retries, now) = (Retries::default(), Instant::now());
    for _ in 0..6 {
        fail(&retries, Reason::Forbidden, now);
    }
    assert!(retries.next_retry("s", now).unwrap() > SECOND * 20);
    retries.succeeded("s", &subject());
    assert!(retries.syncs.lock().is_empty());
    fail(&retries, Reason::Forbidden, now);
    assert!(retries.next_retry("s", now).unwrap() < SECOND * 2);
}

#[test]
fn an_attempt_is_a_retry_until_one_succeeds() {
    let (retries, now) = (Retries::default(), Instant::now());
    assert!(!retries.has_failed("s", &at()));
    fail(&retries, Reason::Forbidden, now);
    assert!(retries.has_failed("s", &at()));
    retries.succeeded("s", &subject());
    assert!(!retries.has_failed("s", &at()));
}

#[test]
fn one_destination_does_not_hold_another() {
    let (retries, now) = (Retries::default(), Instant::now());
    fail(&retries, Reason::Forbidden, now);
    let other = NamespacedName::new("app", "other");
    assert_eq!(retries.held_back("s", now).destination(&other, Some("n")), None);
    assert_eq!(retries.held_back("t", now).destination(&at(), Some("n")), None);
}

#[test]
fn a_failure_of_the_sync_holds_its_source_only() {
    let (retries, now) = (Retries::default(), Instant::now());
    let failure = ApiFailure::transient("no".to_owned());
    retries.failed("s", Subject::Sync, FailedAttempt::now(failure, None));
    assert!(retries.held_back("s", now).source().is_some());
    assert_eq!(held(&retries, now), None);
    assert_eq!(retries.held_back("s", now + SECOND * 2).source(), None);
    assert_eq!(HeldBack::nothing().source(), None);
}

#[test]
fn a_failure_not_tried_again_is_forgotten() {
    let (retries, now) = (Retries::default(), Instant::now());
    fail(&retries, Reason::Forbidden, now);
    retries.reconciled("s", |_| true, now + SECOND * 2);
    assert_eq!(retries.next_retry("s", now + SECOND * 2), None);
}

#[test]
fn what_needs_a_change_waits_until_verification() {
    let (retries, now) = (Retries::default(), Instant::now());
    fail(&retries, Reason::TooLarge, now);
    let later = now + SECOND * 1000;
    retries.reconciled("s", |_| true, later);
    assert!(held(&retries, later).is_some());
    let other_namespace = retries.held_back("s", now).destination(&at(), Some("m"));
    assert_eq!(other_namespace, None);
    retries.verifying("s");
    assert_eq!(held(&retries, later), None);
}

#[test]
fn a_contended_copy_is_held_for_a_while() {
    let (retries, now) = (Retries::default(), Instant::now());
    for _ in 0..6 {
        assert_eq!(held(&retries, now), None);
        retries.changed_by_others("s", &at(), Some("n".into()), now);
    }
    assert_eq!(held(&retries, now).unwrap().failure.reason, Reason::Contended);
    let other_namespace = retries.held_back("s", now).destination(&at(), Some("m"));
    assert_eq!(other_namespace, None);
    assert!(retries.next_retry("s", now).unwrap() < SECOND * 2);
    assert_eq!(held(&retries, now + SECOND * 2), None);
}

#[test]
fn a_write_in_flight_holds_the_next_one() {
    let (retries, now) = (Retries::default(), Instant::now());
    retries.write_in_flight("s", &at());
    assert!(retries.held_back("s", now).has_writes_in_flight());
    assert!(retries.held_back("s", now).is_in_flight(&at()));
    assert_eq!(held(&retries, now).unwrap().failure.reason, Reason::Progressing);
    retries.write_ended("s", &at());
    assert!(!retries.held_back("s", now).has_writes_in_flight());
    assert_eq!(held(&retries, now), None);
}
