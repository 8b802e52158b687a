//! What is beyond all protections: what must be true of the world for them to hold.

use crate::election::ONE_WRITER;
use crate::explore::breaks;
use crate::explore::with;
use crate::rules::Rules;
use crate::rules::Start;

fn beyond(rules: Rules, change: impl FnOnce(&mut Rules)) -> Rules {
    with(with(rules, |rules| rules.world.start = Start::Led), change)
}

/// Between them they may differ by what is between the deadline and the length of the Lease.
#[test]
fn without_the_fence_clocks_must_not_drift_apart_too_far() {
    let rules = beyond(Rules::without_fence(2), |rules| rules.world.drift = 2);
    assert_eq!(
        breaks("drift", rules, &[ONE_WRITER]),
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

/// An empty Lease is free at once: its leader learns of it when it next looks.
#[test]
fn without_the_fence_nobody_may_empty_the_lease() {
    let rules = beyond(Rules::without_fence(2), |rules| rules.world.empties = true);
    assert_eq!(
        breaks("emptied", rules, &[ONE_WRITER]),
        [
            "somebody empties the Lease",
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

/// No precondition holds up a request that creates.
#[test]
fn without_the_fence_nobody_may_delete_a_lease_while_two_create_it() {
    let rules = with(Rules::without_fence(2), |rules| rules.world.deletes = true);
    assert_eq!(
        breaks("created twice", rules, &[ONE_WRITER]),
        [
            "A finds no Lease",
            "B finds no Lease",
            "a tick passes",
            "a tick passes",
            "A finds no Lease, and asks to create it",
            "B finds no Lease, and asks to create it",
            "A's request to create the Lease arrives; A leads",
            "somebody deletes the Lease",
            "A sends a write",
            "A's write is let in",
            "B's request to create the Lease arrives; B leads",
            "B sends a write",
            "B's write is let in",
            "B's write is stored",
            "A's write is stored, after one of a later term",
        ]
    );
}

/// The fence judges a write as it is let in. It may be stored as much later as `?timeout=` allows,
/// which is more than a new leader settles for: if the write was delayed on its way, too, so that
/// it was let in just before the new leader was announced, and another API server stores the new
/// leader's write meanwhile.
#[test]
fn an_api_server_must_not_take_longer_to_store_a_write_than_a_leader_settles() {
    let rules = beyond(Rules::everything(2), |rules| rules.world.stalls = true);
    assert_eq!(
        breaks("stalled", rules, &[ONE_WRITER]),
        [
            "A sends a write",
            "a tick passes",
            "a tick passes; A's time is over",
            "A's write is let in",
            "B finds the Lease of a process that ended expired, and asks to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "B asks to be announced",
            "B is announced",
            "a tick passes",
            "B sends a write",
            "B's write is let in",
            "B's write is stored",
            "A's write is stored, after one of a later term",
        ]
    );
}

/// The fence knows pods. A process that has ended may have left a write under way, in a connection
/// that the kernel keeps; if its pod is announced again, that is let in.
#[test]
fn a_write_must_not_outlive_its_process_until_the_pod_leads_again() {
    let rules = beyond(Rules::everything(2), |rules| rules.world.outlives_its_process = true);
    assert_eq!(
        breaks("outlived", rules, &[ONE_WRITER]),
        [
            "a tick passes",
            "A sends a write",
            "a tick passes; A's time is over",
            "B finds the Lease of a process that ended expired, and asks to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "A finds B's Lease",
            "B asks to be announced",
            "B is announced",
            "a tick passes",
            "B sends a write",
            "a tick passes; B's time is over",
            "A finds the Lease of a process that ended expired, and asks to acquire it",
            "A's request to acquire the Lease arrives; A leads",
            "A asks to be announced",
            "A is announced",
            "A's write is let in",
            "A's write is stored",
            "B's write is let in by an API server that does not know of A yet",
            "B's write is stored, after one of a later term",
        ]
    );
}
