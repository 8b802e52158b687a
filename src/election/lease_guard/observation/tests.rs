use super::*;

const OURS: Duration = Duration::from_secs(15);
/// A time long after boot.
const NOW: Duration = Duration::from_hours(1);

fn record() -> Record {
    Record {
        uid: Some("uid".to_owned()),
        holder: Some("other".to_owned()),
        duration_seconds: Some(15),
        acquire_time: Some("2026-01-01T00:00:00.000000Z".to_owned()),
        renew_time: Some("2026-01-02T03:04:05.000000Z".to_owned()),
        transitions: Some(3),
    }
}

/// What a candidate is shown of a record that has not changed for `seconds`.
fn view_after(seconds: u64, record: Option<Record>) -> LeaseView {
    let since = NOW.checked_sub(Duration::from_secs(seconds)).unwrap();
    Observation::after(None, record, since).view(NOW, OURS, Role::Candidate)
}

fn lease(holder: &str, is_free: bool, transitions: i32) -> LeaseView {
    LeaseView::Lease { holder: holder.to_owned(), is_free, transitions }
}

#[test]
fn a_candidate_is_shown_each_record_as_tabulated() {
    let rows: [(&str, u64, Record, LeaseView); 24] = [
        ("held", 14, record(), lease("other", false, 3)),
        ("expired", 15, record(), lease("other", true, 3)),
        ("no holder", 0, Record { holder: None, ..record() }, lease("", true, 3)),
        ("empty holder", 0, Record { holder: Some(String::new()), ..record() }, lease("", true, 3)),
        ("no field", 0, Record::default(), lease("", true, 0)),
        ("no uid", 14, Record { uid: None, ..record() }, lease("other", false, 3)),
        (
            "no duration",
            14,
            Record { duration_seconds: None, ..record() },
            lease("other", false, 3),
        ),
        (
            "no duration, expired",
            15,
            Record { duration_seconds: None, ..record() },
            lease("other", true, 3),
        ),
        (
            "no acquire time",
            14,
            Record { acquire_time: None, ..record() },
            lease("other", false, 3),
        ),
        ("no renew time", 14, Record { renew_time: None, ..record() }, lease("other", false, 3)),
        (
            "no renew time, expired",
            15,
            Record { renew_time: None, ..record() },
            lease("other", true, 3),
        ),
        ("no transitions", 15, Record { transitions: None, ..record() }, lease("other", true, 0)),
        (
            "only a holder",
            14,
            Record { holder: record().holder, ..Record::default() },
            lease("other", false, 0),
        ),
        ("year 9999", 14, renewed("9999-12-31T23:59:59.999999Z"), lease("other", false, 3)),
        ("year 9999, expired", 15, renewed("9999-12-31T23:59:59.999999Z"), lease("other", true, 3)),
        ("a clock an hour behind", 14, renewed("2026-01-02T02:04:05Z"), lease("other", false, 3)),
        ("a clock an hour ahead", 15, renewed("2026-01-02T04:04:05Z"), lease("other", true, 3)),
        ("TTL 0", 14, lasting(0), lease("other", false, 3)),
        ("TTL 0, expired", 15, lasting(0), lease("other", true, 3)),
        ("TTL below zero", 15, lasting(-1), lease("other", true, 3)),
        ("TTL a million", 59, lasting(1_000_000), lease("other", false, 3)),
        ("TTL a million, expired", 60, lasting(1_000_000), lease("other", true, 3)),
        ("transitions at their limit", 15, counted(i32::MAX.into()), lease("other", true, 0)),
        (
            "transitions one below their limit",
            15,
            counted(i64::from(i32::MAX) - 1),
            lease("other", true, i32::MAX - 1),
        ),
    ];
    for (what, seconds, record, expected) in rows {
        assert_eq!(view_after(seconds, Some(record)), expected, "{what}");
    }
    for out_of_range in [i64::MAX, i64::MIN, -1, i64::from(i32::MAX) + 1] {
        assert_eq!(view_after(15, Some(counted(out_of_range))), lease("other", true, 0));
    }
}

fn renewed(time: &str) -> Record {
    Record { renew_time: Some(time.to_owned()), ..record() }
}

fn lasting(seconds: i64) -> Record {
    Record { duration_seconds: Some(seconds), ..record() }
}

fn counted(transitions: i64) -> Record {
    Record { transitions: Some(transitions), ..record() }
}

#[test]
fn a_missing_lease_is_held_until_its_duration_has_passed() {
    assert_eq!(view_after(14, None), lease(MISSING, false, 0));
    assert_eq!(view_after(15, None), LeaseView::Missing);
}

#[test]
fn a_deleted_lease_is_held_for_its_declared_duration() {
    let existing = Observation::after(None, Some(lasting(40)), NOW);
    let deleted = Observation::after(Some(existing), None, NOW + Duration::from_secs(1));
    let view = |seconds| deleted.view(NOW + Duration::from_secs(seconds), OURS, Role::Candidate);
    assert_eq!(view(40), lease(MISSING, false, 0));
    assert_eq!(view(41), LeaseView::Missing);
}

#[test]
fn the_first_candidate_creates_a_lease_that_never_existed() {
    let missing = Observation::after(None, None, NOW);
    assert_eq!(missing.view(NOW, OURS, Role::FirstCandidate), LeaseView::Missing);
    let existing = Observation::after(None, Some(record()), NOW);
    assert_eq!(existing.view(NOW, OURS, Role::FirstCandidate), lease("other", false, 3));
    let deleted = Observation::after(Some(existing), None, NOW);
    assert_eq!(deleted.view(NOW, OURS, Role::FirstCandidate), lease(MISSING, false, 0));
    let still_missing = Observation::after(Some(deleted), None, NOW);
    assert!(!still_missing.has_never_existed());
}

/// What a candidate is shown of `second` when `OURS` has passed since `first`, but less since
/// `second`.
fn view_of_second(first: Option<Record>, second: Option<Record>) -> LeaseView {
    let observation = Observation::after(None, first, NOW);
    let observation = Observation::after(Some(observation), second, NOW + Duration::from_secs(10));
    observation.view(NOW + OURS, OURS, Role::Candidate)
}

#[test]
fn any_change_of_the_record_restarts_the_duration() {
    assert_eq!(
        view_of_second(Some(record()), Some(record())),
        lease("other", true, 3),
        "nothing changed"
    );
    let renewed = renewed("2026-01-02T03:04:07.000000Z");
    assert_eq!(view_of_second(Some(record()), Some(renewed)), lease("other", false, 3), "renewed");
    let set_back = Record { renew_time: Some("2026-01-02T02:00:00Z".to_owned()), ..record() };
    assert_eq!(
        view_of_second(Some(record()), Some(set_back)),
        lease("other", false, 3),
        "clock set back"
    );
    let another = Record { uid: Some("another".to_owned()), ..record() };
    assert_eq!(
        view_of_second(Some(record()), Some(another)),
        lease("other", false, 3),
        "another uid"
    );
    assert_eq!(view_of_second(None, Some(record())), lease("other", false, 3), "created");
    assert_eq!(view_of_second(Some(record()), None), lease(MISSING, false, 0), "deleted");
    let reacquired = Record { acquire_time: None, ..record() };
    assert_eq!(
        view_of_second(Some(record()), Some(reacquired)),
        lease("other", false, 3),
        "acquired again"
    );
}

#[test]
fn a_recreated_lease_restarts_the_duration() {
    let observation = Observation::after(None, Some(record()), NOW);
    let observation = Observation::after(Some(observation), None, NOW + Duration::from_secs(1));
    let observation =
        Observation::after(Some(observation), Some(record()), NOW + Duration::from_secs(2));
    let view =
        |seconds| observation.view(NOW + Duration::from_secs(seconds), OURS, Role::Candidate);
    assert_eq!(view(16), lease("other", false, 3));
    assert_eq!(view(17), lease("other", true, 3));
}

#[test]
fn a_request_older_than_the_record_frees_nothing() {
    let observation = Observation::after(None, Some(record()), NOW);
    let view = observation.view(Duration::ZERO, OURS, Role::Candidate);
    assert_eq!(view, lease("other", false, 3));
}

#[test]
fn a_leader_is_never_shown_a_free_lease() {
    let view =
        |record| Observation::after(None, record, Duration::ZERO).view(NOW, OURS, Role::Leader);
    assert_eq!(view(None), lease(MISSING, false, 0));
    assert_eq!(view(Some(Record::default())), lease(NONE, false, 0));
    assert_eq!(view(Some(record())), lease("other", false, 3));
}
