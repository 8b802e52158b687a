use super::*;

const OURS: Duration = Duration::from_secs(15);
/// What the table calls now: a clock long after boot.
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

/// What a candidate is shown of a record that has been the same for so many seconds.
fn after(seconds: u64, record: Option<Record>) -> Shown {
    let since = NOW.checked_sub(Duration::from_secs(seconds)).unwrap();
    show(&Seen::of(None, record, since), NOW, OURS, Role::Candidate)
}

fn lease(holder: &str, is_free: bool, transitions: i32) -> Shown {
    Shown::Lease { holder: holder.to_owned(), is_free, transitions }
}

#[test]
fn each_record_is_shown_as_its_row_says() {
    let rows: [(&str, u64, Record, Shown); 24] = [
        ("held", 14, record(), lease("other", false, 3)),
        ("expired", 15, record(), lease("other", true, 3)),
        ("no holder", 0, Record { holder: None, ..record() }, lease("", true, 3)),
        ("empty holder", 0, Record { holder: Some(String::new()), ..record() }, lease("", true, 3)),
        ("nothing at all", 0, Record::default(), lease("", true, 0)),
        ("no uid", 14, Record { uid: None, ..record() }, lease("other", false, 3)),
        (
            "no duration",
            14,
            Record { duration_seconds: None, ..record() },
            lease("other", false, 3),
        ),
        (
            "no duration, old",
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
            "no renew time, old",
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
        ("year 9999, old", 15, renewed("9999-12-31T23:59:59.999999Z"), lease("other", true, 3)),
        ("a clock an hour behind", 14, renewed("2026-01-02T02:04:05Z"), lease("other", false, 3)),
        ("a clock an hour ahead", 15, renewed("2026-01-02T04:04:05Z"), lease("other", true, 3)),
        ("TTL 0", 14, lasting(0), lease("other", false, 3)),
        ("TTL 0, old", 15, lasting(0), lease("other", true, 3)),
        ("TTL below zero", 15, lasting(-1), lease("other", true, 3)),
        ("TTL a million", 59, lasting(1_000_000), lease("other", false, 3)),
        ("TTL a million, old", 60, lasting(1_000_000), lease("other", true, 3)),
        ("transitions at their limit", 15, counted(i32::MAX.into()), lease("other", true, 0)),
        ("one below it", 15, counted(i64::from(i32::MAX) - 1), lease("other", true, i32::MAX - 1)),
    ];
    for (what, seconds, record, expected) in rows {
        assert_eq!(after(seconds, Some(record)), expected, "{what}");
    }
    for out_of_range in [i64::MAX, i64::MIN, -1, i64::from(i32::MAX) + 1] {
        assert_eq!(after(15, Some(counted(out_of_range))), lease("other", true, 0));
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
fn a_lease_that_is_not_there_counts_as_held_until_it_is_absent_for_long() {
    assert_eq!(after(14, None), lease(NOBODY, false, 0));
    assert_eq!(after(15, None), Shown::Absent);
}

#[test]
fn a_deleted_lease_is_held_for_as_long_as_it_had_declared() {
    let there = Seen::of(None, Some(lasting(40)), NOW);
    let gone = Seen::of(Some(there), None, NOW + Duration::from_secs(1));
    let shown = |seconds| show(&gone, NOW + Duration::from_secs(seconds), OURS, Role::Candidate);
    assert_eq!(shown(40), lease(NOBODY, false, 0));
    assert_eq!(shown(41), Shown::Absent);
}

/// What is shown `OURS` after the first of two records, the second of which came in between.
fn two(first: Option<Record>, second: Option<Record>) -> Shown {
    let seen = Seen::of(None, first, NOW);
    let seen = Seen::of(Some(seen), second, NOW + Duration::from_secs(10));
    show(&seen, NOW + OURS, OURS, Role::Candidate)
}

#[test]
fn only_what_has_not_changed_grows_old() {
    assert_eq!(two(Some(record()), Some(record())), lease("other", true, 3), "nothing changed");
    let renewed = renewed("2026-01-02T03:04:07.000000Z");
    assert_eq!(two(Some(record()), Some(renewed)), lease("other", false, 3), "renewed");
    let set_back = Record { renew_time: Some("2026-01-02T02:00:00Z".to_owned()), ..record() };
    assert_eq!(two(Some(record()), Some(set_back)), lease("other", false, 3), "clock set back");
    let another = Record { uid: Some("another".to_owned()), ..record() };
    assert_eq!(two(Some(record()), Some(another)), lease("other", false, 3), "another uid");
    assert_eq!(two(None, Some(record())), lease("other", false, 3), "created");
    assert_eq!(two(Some(record()), None), lease(NOBODY, false, 0), "deleted");
    let reacquired = Record { acquire_time: None, ..record() };
    assert_eq!(two(Some(record()), Some(reacquired)), lease("other", false, 3), "acquired anew");
}

#[test]
fn deleted_and_created_again_begins_anew() {
    let seen = Seen::of(None, Some(record()), NOW);
    let seen = Seen::of(Some(seen), None, NOW + Duration::from_secs(1));
    let seen = Seen::of(Some(seen), Some(record()), NOW + Duration::from_secs(2));
    let shown = |seconds| show(&seen, NOW + Duration::from_secs(seconds), OURS, Role::Candidate);
    assert_eq!(shown(16), lease("other", false, 3));
    assert_eq!(shown(17), lease("other", true, 3));
}

#[test]
fn an_answer_older_than_the_record_frees_nothing() {
    let seen = Seen::of(None, Some(record()), NOW);
    assert_eq!(show(&seen, Duration::ZERO, OURS, Role::Candidate), lease("other", false, 3));
}

#[test]
fn whoever_leads_is_shown_nothing_that_it_could_take() {
    let shown = |record| {
        let seen = Seen::of(None, record, Duration::ZERO);
        show(&seen, NOW, OURS, Role::Leader)
    };
    assert_eq!(shown(None), lease(NOBODY, false, 0));
    assert_eq!(shown(Some(Record::default())), lease("nobody", false, 0));
    assert_eq!(shown(Some(record())), lease("other", false, 3));
}

#[test]
fn only_what_a_leader_leaves_behind_is_released() {
    let released = Record { holder: Some(String::new()), duration_seconds: Some(1), ..record() };
    assert!(released.is_released());
    assert!(!Record { holder: None, ..released.clone() }.is_released());
    assert!(!Record { duration_seconds: Some(15), ..released.clone() }.is_released());
    assert!(!Record { holder: record().holder, ..released }.is_released());
    assert!(!Record::default().is_released());
}
