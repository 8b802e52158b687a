//! Each protection is needed: the shortest way to harm without it.
//!
//! The first ones are taken away where there is no fence, and writes are not delayed on their way;
//! the others with everything else in place.

use crate::election::DEPOSED_BY_NEWER;
use crate::election::ONE_WRITER;
use crate::election::SOMEBODY_LEADS;
use crate::explore::breaks;
use crate::explore::with;
use crate::rules::Creates;
use crate::rules::Fence;
use crate::rules::Rules;
use crate::rules::Settles;
use crate::rules::Start;

fn without_fence(change: impl FnOnce(&mut Rules)) -> Rules {
    let rules = with(Rules::without_fence(2), |rules| rules.world.start = Start::Led);
    with(rules, change)
}

fn everything_but(change: impl FnOnce(&mut Rules)) -> Rules {
    with(with(Rules::everything(2), |rules| rules.world.start = Start::Led), change)
}

#[test]
fn without_the_guard_two_acquire_one_lease() {
    let rules = without_fence(|rules| rules.has_guard = false);
    assert_eq!(
        breaks("no guard", rules, &[ONE_WRITER]),
        [
            "a tick passes",
            "a tick passes; A's time is over",
            "a tick passes",
            "a tick passes",
            "A finds the Lease of a process that ended expired, and asks to acquire it",
            "B finds the Lease of a process that ended expired, and asks to acquire it",
            "A's request to acquire the Lease arrives; A leads",
            "A sends a write",
            "A's write is let in",
            "B's request to acquire the Lease arrives: it was A's; B leads",
            "B sends a write",
            "B's write is let in",
            "B's write is stored",
            "A's write is stored, after one of a later term",
        ]
    );
}

#[test]
fn without_the_deadline_a_leader_goes_on_after_its_lease_has_run_out() {
    let rules = without_fence(|rules| rules.deadline = None);
    assert_eq!(
        breaks("no deadline", rules, &[ONE_WRITER]),
        [
            "a tick passes",
            "a tick passes",
            "A sends a write",
            "A's write is let in",
            "B finds A's Lease expired, and asks to acquire it",
            "B's request to acquire the Lease arrives: it was A's; B leads",
            "B sends a write",
            "B's write is let in",
            "B's write is stored",
            "A's write is stored, after one of a later term",
        ]
    );
}

#[test]
fn without_the_gate_a_write_is_sent_long_after_the_last_look_at_the_clock() {
    let rules = without_fence(|rules| rules.has_gate = false);
    assert_eq!(
        breaks("no gate", rules, &[ONE_WRITER]),
        [
            "a tick passes",
            "A sends a write",
            "a tick passes; A's time is over",
            "A's write is let in",
            "B finds the Lease of a process that ended expired, and asks to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "B sends a write",
            "B's write is let in",
            "B's write is stored",
            "A's write is stored, after one of a later term",
        ]
    );
}

#[test]
fn without_a_timeout_the_api_server_stores_a_write_when_its_sender_leads_no_more() {
    let rules = without_fence(|rules| rules.limits_writes = false);
    assert_eq!(
        breaks("no timeout", rules, &[ONE_WRITER]),
        [
            "a tick passes",
            "A sends a write",
            "A's write is let in",
            "a tick passes; A's time is over",
            "B finds the Lease of a process that ended expired, and asks to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "B sends a write",
            "B's write is let in",
            "B's write is stored",
            "A's write is stored, after one of a later term",
        ]
    );
}

#[test]
fn a_lease_that_was_deleted_must_not_be_created_at_once() {
    let rules = without_fence(|rules| {
        rules.creates = Creates::AtOnce;
        rules.world.deletes = true;
    });
    assert_eq!(
        breaks("no patience with a 404", rules, &[ONE_WRITER]),
        [
            "somebody deletes the Lease",
            "A sends a write",
            "A's write is let in",
            "B finds no Lease, and asks to create it",
            "B's request to create the Lease arrives; B leads",
            "B sends a write",
            "B's write is let in",
            "B's write is stored",
            "A's write is stored, after one of a later term",
        ]
    );
}

#[test]
fn a_lease_that_was_deleted_must_be_created_some_time() {
    let rules = everything_but(|rules| {
        rules.creates = Creates::Never;
        rules.world.deletes = true;
    });
    let lines = breaks("a 404 for ever", rules, &[SOMEBODY_LEADS]);
    assert_eq!(lines, ["somebody deletes the Lease"]);
}

#[test]
fn without_the_fence_a_frozen_writer_writes_after_its_successor() {
    let rules = everything_but(|rules| rules.fence = Fence::Absent);
    assert_eq!(
        breaks("no fence", rules, &[ONE_WRITER]),
        [
            "a tick passes",
            "A sends a write",
            "a tick passes; A's time is over",
            "B finds the Lease of a process that ended expired, and asks to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "a tick passes",
            "A's write is let in",
            "B sends a write",
            "B's write is let in",
            "B's write is stored",
            "A's write is stored, after one of a later term",
        ]
    );
}

#[test]
fn without_settling_an_api_server_that_lags_lets_the_old_leader_in() {
    let rules = everything_but(|rules| rules.settles = Settles::Never);
    assert_eq!(
        breaks("no settling", rules, &[ONE_WRITER]),
        [
            "a tick passes",
            "A sends a write",
            "a tick passes; A's time is over",
            "A's write is let in",
            "B finds the Lease of a process that ended expired, and asks to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "B asks to be announced",
            "B is announced",
            "B sends a write",
            "B's write is let in",
            "B's write is stored",
            "A's write is stored, after one of a later term",
        ]
    );
}

/// The leader that gave the Lease back may not have settled itself: the writes that somebody must
/// wait for are those of the leader before.
#[test]
fn that_the_lease_was_released_is_no_reason_not_to_settle() {
    let rules = everything_but(|rules| rules.settles = Settles::UnlessReleased);
    assert_eq!(
        breaks("released, not settled", rules, &[ONE_WRITER]),
        [
            "a tick passes",
            "A sends a write",
            "a tick passes; A's time is over",
            "A's write is let in",
            "B finds the Lease of a process that ended expired, and asks to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "B is to stop: it asks to release the Lease, and begins anew",
            "B's late request to release the Lease arrives",
            "B finds a Lease that nobody holds, and asks to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "B asks to be announced",
            "B is announced",
            "B sends a write",
            "B's write is let in",
            "B's write is stored",
            "A's write is stored, after one of a later term",
        ]
    );
}

#[test]
fn a_leader_with_writes_under_way_must_not_release_the_lease_to_one_that_does_not_settle() {
    let rules = everything_but(|rules| {
        rules.settles = Settles::UnlessReleased;
        rules.drains = false;
    });
    assert_eq!(
        breaks("released with writes under way", rules, &[ONE_WRITER]),
        [
            "A sends a write",
            "A's write is let in",
            "A is to stop: it asks to release the Lease, and begins anew",
            "A's late request to release the Lease arrives",
            "B finds a Lease that nobody holds, and asks to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "B asks to be announced",
            "B is announced",
            "B sends a write",
            "B's write is let in",
            "B's write is stored",
            "A's write is stored, after one of a later term",
        ]
    );
}

#[test]
fn without_comparing_a_late_announcement_deposes_a_newer_leader() {
    let rules = everything_but(|rules| rules.compares_announcements = false);
    assert_eq!(
        breaks("no comparing", rules, &[DEPOSED_BY_NEWER]),
        [
            "a tick passes",
            "a tick passes; A's time is over",
            "B finds the Lease of a process that ended expired, and asks to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "A finds B's Lease",
            "a tick passes",
            "B asks to be announced",
            "a tick passes; B's time is over",
            "A finds the Lease of a process that ended expired, and asks to acquire it",
            "A's request to acquire the Lease arrives; A leads",
            "A asks to be announced",
            "A is announced",
            "B is announced",
        ]
    );
}

/// As with a parameter that an API server reads once and never again.
#[test]
fn a_fence_that_never_hears_of_the_new_leader_locks_it_out() {
    let rules = everything_but(|rules| rules.fence = Fence::IsStuck);
    breaks("stuck fence", rules, &[SOMEBODY_LEADS]);
}
