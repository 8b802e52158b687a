use super::*;
use crate::backoff::CAP_REFUSED;
use crate::decide::reason::Reason;

const HOUR: Duration = Duration::from_hours(1);

fn refusal() -> ApiFailure {
    let failure = Failure::new(Reason::Forbidden, "no");
    ApiFailure { failure, backoff_cap: CAP_REFUSED, retry_after: None }
}

fn place() -> NamespacedName {
    NamespacedName::new("app", "shared")
}

const SECOND: Duration = Duration::from_secs(1);

fn attempt() -> Attempt {
    let namespace_uid = Some("n".to_owned());
    Attempt { subject: Some(place()), namespace_uid, content_hash: None }
}

fn held(memory: &Memory, now: Instant) -> Option<PendingRetry> {
    memory.held_at("s", &place(), Some("n"), now)
}

#[test]
fn a_failure_holds_until_its_delay_has_passed() {
    let (memory, now) = (Memory::new(HOUR), Instant::now());
    memory.failed("s", attempt(), refusal(), now);
    assert!(held(&memory, now).is_some());
    assert!(memory.next_retry("s", now).unwrap() < SECOND * 2);
    assert_eq!(held(&memory, now + SECOND * 2), None);
}

#[test]
fn failures_in_a_row_wait_longer_until_one_success() {
    let (memory, now) = (Memory::new(HOUR), Instant::now());
    for _ in 0..6 {
        memory.failed("s", attempt(), refusal(), now);
    }
    assert!(memory.next_retry("s", now).unwrap() > SECOND * 20);
    memory.succeeded("s", &Some(place()));
    memory.failed("s", attempt(), refusal(), now);
    assert!(memory.next_retry("s", now).unwrap() < SECOND * 2);
}

#[test]
fn an_attempt_is_a_retry_until_one_succeeds() {
    let (memory, now) = (Memory::new(HOUR), Instant::now());
    assert!(!memory.has_failed("s", &place()));
    memory.failed("s", attempt(), refusal(), now);
    assert!(memory.has_failed("s", &place()));
    memory.succeeded("s", &Some(place()));
    assert!(!memory.has_failed("s", &place()));
}

#[test]
fn one_destination_does_not_hold_another() {
    let (memory, now) = (Memory::new(HOUR), Instant::now());
    memory.failed("s", attempt(), refusal(), now);
    let other = NamespacedName::new("app", "other");
    assert_eq!(memory.held_at("s", &other, Some("n"), now), None);
    assert_eq!(memory.held_at("t", &place(), Some("n"), now), None);
}

#[test]
fn a_failure_that_was_not_tried_again_is_forgotten_with_the_round() {
    let (memory, now) = (Memory::new(HOUR), Instant::now());
    memory.failed("s", attempt(), refusal(), now);
    memory.settled("s", |_| true, now + SECOND * 2);
    assert_eq!(memory.next_retry("s", now + SECOND * 2), None);
}

#[test]
fn what_only_a_change_can_help_waits_for_it_and_for_the_verification() {
    let (memory, now) = (Memory::new(HOUR), Instant::now());
    memory.verification_is_due("s", 0.0, now);
    let failure = Failure::new(Reason::TooLarge, "too large");
    memory.failed("s", attempt(), ApiFailure { failure, ..refusal() }, now);
    memory.settled("s", |_| true, now + SECOND * 1000);
    assert!(held(&memory, now + SECOND * 1000).is_some());
    assert_eq!(memory.held_at("s", &place(), Some("m"), now), None, "another namespace");
    memory.verification_is_due("s", 0.0, now + HOUR);
    assert_eq!(held(&memory, now + HOUR), None);
}

#[test]
fn a_copy_that_others_keep_changing_is_left_to_them_for_a_while() {
    let (memory, now) = (Memory::new(HOUR), Instant::now());
    for _ in 0..6 {
        assert_eq!(held(&memory, now), None);
        memory.changed_by_others("s", &place(), Some("n".into()), now);
    }
    assert_eq!(held(&memory, now).unwrap().failure.reason, Reason::Contended);
    assert_eq!(memory.held_at("s", &place(), Some("m"), now), None, "another namespace");
    assert!(memory.next_retry("s", now).unwrap() < SECOND * 2);
    assert_eq!(held(&memory, now + SECOND * 2), None);
}

#[test]
fn a_write_in_flight_stands_for_the_next_until_it_is_answered() {
    let (memory, now) = (Memory::new(HOUR), Instant::now());
    memory.write_begins("s", &place());
    assert!(memory.is_writing("s"));
    assert_eq!(held(&memory, now).unwrap().failure.reason, Reason::Progressing);
    memory.write_ends("s", &place());
    assert!(!memory.is_writing("s"));
    assert_eq!(held(&memory, now), None);
}

#[test]
fn the_first_verification_comes_no_sooner_than_half_a_period() {
    let (memory, now) = (Memory::new(HOUR), Instant::now());
    assert!(!memory.verification_is_due("s", 0.0, now));
    assert!(!memory.verification_is_due("s", 0.0, now + SECOND * 1799));
    assert_eq!(memory.due_for_verification(now + SECOND * 1799), Vec::<String>::new());
    assert_eq!(memory.due_for_verification(now + HOUR / 2 + SECOND), ["s"]);
    assert!(memory.verification_is_due("s", 0.0, now + HOUR / 2 + SECOND));
    assert_eq!(memory.due_for_verification(now + HOUR / 2 + SECOND), Vec::<String>::new());
    assert!(!memory.verification_is_due("s", 0.0, now + HOUR / 2 + SECOND), "once");
}

#[test]
fn a_watch_that_has_yet_to_show_our_own_write_is_behind() {
    let memory = Memory::new(HOUR);
    let now = Instant::now();
    memory.wrote("s", "12".into(), now);
    assert!(memory.is_behind("s", "9", now));
    assert!(!memory.is_behind("s", "12", now));
    assert!(!memory.is_behind("t", "9", now));
    assert!(!memory.is_behind("s", "9", now + CATCH_UP), "storage was restored");
    memory.cleaned_up("s", now);
    assert!(memory.is_behind("s", "12", now), "it still shows what was cleaned up");
    assert!(!memory.is_behind("s", "12", now + CATCH_UP), "storage was restored");
    memory.forget("s");
    memory.cleaned_up("s", now);
    assert!(!memory.is_behind("s", "12", now), "gone: it would be remembered for ever");
}
