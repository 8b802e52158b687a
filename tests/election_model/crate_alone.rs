//! What the crate does without the guard: the counterexamples that it is there for.

use crate::election::LED_BY_ITS_OWN;
use crate::election::ONE_WRITER;
use crate::explore::breaks;
use crate::explore::with;
use crate::rules::Races;
use crate::rules::Rules;
use crate::rules::Start;

/// The crate alone, where the first replica leads already.
fn led(races: Races) -> Rules {
    with(Rules::bare(races), |rules| rules.world.start = Start::Led)
}

/// Which nobody minds who has neither a deadline nor looks at whose the Lease is that comes back.
#[test]
fn a_renewal_after_a_takeover_comes_back_as_acquired() {
    let rules = with(led(Races { renewals: true, ..Races::NONE }), |rules| {
        rules.lease = 1;
        rules.deadline = None;
    });
    assert_eq!(
        breaks("late renewal", rules, &[LED_BY_ITS_OWN]),
        [
            "a tick passes",
            "a tick passes",
            "A finds its own Lease, and asks to renew it",
            "B finds A's Lease expired, and asks to acquire it",
            "B's request to acquire the Lease arrives: it was A's; B leads",
            "A's request to renew the Lease arrives: it is B's",
        ]
    );
}

/// The same, to the end: the deadline is kept, and the holder is not looked at.
#[test]
fn a_renewal_after_a_takeover_makes_two_write() {
    let rules = led(Races { renewals: true, ..Races::NONE });
    assert_eq!(
        breaks("late renewal, two writers", rules, &[ONE_WRITER]),
        [
            "A is to stop: it asks to release the Lease, and begins anew",
            "A's late request to release the Lease arrives",
            "a tick passes",
            "a tick passes",
            "A finds a Lease that nobody holds, and asks to acquire it",
            "A waits no longer for an answer",
            "A's late request to acquire the Lease arrives",
            "a tick passes",
            "a tick passes",
            "a tick passes",
            "a tick passes",
            "a tick passes",
            "A finds its own Lease, and asks to renew it",
            "B finds A's Lease expired, and asks to acquire it",
            "B's request to acquire the Lease arrives: it was A's; B leads",
            "A's request to renew the Lease arrives: it is B's; A leads",
            "A sends a write",
            "A's write is let in",
            "B sends a write",
            "B's write is let in",
            "B's write is stored",
            "A's write is stored, after one of a later term",
        ]
    );
}

#[test]
fn two_who_find_a_lease_free_both_acquire_it() {
    let rules = led(Races { acquisitions: true, ..Races::NONE });
    assert_eq!(
        breaks("double acquisition", rules, &[ONE_WRITER]),
        [
            "A is to stop: it asks to release the Lease, and begins anew",
            "A's late request to release the Lease arrives",
            "a tick passes",
            "a tick passes",
            "A finds a Lease that nobody holds, and asks to acquire it",
            "B finds a Lease that nobody holds, and asks to acquire it",
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
fn stepping_down_after_a_takeover_frees_the_lease_of_another() {
    let rules = led(Races { releases: true, ..Races::NONE });
    assert_eq!(
        breaks("late release", rules, &[ONE_WRITER]),
        [
            "a tick passes",
            "a tick passes",
            "A is to stop: it asks to release the Lease, and begins anew",
            "a tick passes",
            "a tick passes",
            "a tick passes",
            "A finds the Lease of a process that ended expired, and asks to acquire it",
            "A's request to acquire the Lease arrives; A leads",
            "A's late request to release the Lease arrives",
            "a tick passes",
            "a tick passes",
            "A sends a write",
            "A's write is let in",
            "B finds a Lease that nobody holds, and asks to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "B sends a write",
            "B's write is let in",
            "B's write is stored",
            "A's write is stored, after one of a later term",
        ]
    );
}

#[test]
fn a_wall_clock_that_is_ahead_takes_a_lease_that_lasts() {
    let rules = with(led(Races::NONE), |rules| rules.world.wall_clocks = [0, 4, 0]);
    assert_eq!(
        breaks("wall clocks", rules, &[ONE_WRITER]),
        [
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
