//! The assumptions of the protections against two writers: for each, a counterexample without it. Leases
//! are acquired after their duration only: see `crashes`.

use crate::checker::counterexample;
use crate::checker::with;
use crate::config::Config;
use crate::config::Creates;
use crate::config::Fence;
use crate::config::Proof;
use crate::config::Start;
use crate::model::ONE_WRITER;

fn with_fault(config: Config, change: impl FnOnce(&mut Config)) -> Config {
    let config = with(config, |config| {
        config.environment.start = Start::Leader;
        config.proof = Proof::Nothing;
    });
    with(config, change)
}

/// Two clocks may differ by at most the lease duration minus the renew deadline.
#[test]
fn without_the_fence_drifting_clocks_add_a_writer() {
    let config = with_fault(Config::without_fence(2), |config| config.environment.drift = 2);
    assert_eq!(
        counterexample("drift", config, &[ONE_WRITER]),
        [
            "a tick passes",
            "A sends a write",
            "A's write is admitted",
            "B finds A's expired Lease and requests to acquire it",
            "B's request to acquire the Lease arrives; its holder was A; B leads",
            "B sends a write",
            "B's write is admitted",
            "B's write is stored",
            "A's write is stored, after a write of a later term",
        ]
    );
}

/// An emptied Lease can be acquired immediately, but its leader observes the change only at its next
/// read.
#[test]
fn without_the_fence_emptying_the_lease_adds_a_writer() {
    let config = with_fault(Config::without_fence(2), |config| config.environment.empties = true);
    assert_eq!(
        counterexample("emptied", config, &[ONE_WRITER]),
        [
            "a user empties the Lease",
            "A sends a write",
            "A's write is admitted",
            "B finds a Lease without holder and requests to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "B sends a write",
            "B's write is admitted",
            "B's write is stored",
            "A's write is stored, after a write of a later term",
        ]
    );
}

/// A request that creates an object has no precondition.
#[test]
fn without_the_fence_deleting_a_new_lease_adds_a_writer() {
    let config = with(Config::without_fence(2), |config| config.environment.deletes = true);
    assert_eq!(
        counterexample("created twice", config, &[ONE_WRITER]),
        [
            "A finds no Lease",
            "B finds no Lease",
            "a tick passes",
            "a tick passes",
            "A finds no Lease and requests to create it",
            "B finds no Lease and requests to create it",
            "A's request to create the Lease arrives; A leads",
            "a user deletes the Lease",
            "A sends a write",
            "A's write is admitted",
            "B's request to create the Lease arrives; B leads",
            "B sends a write",
            "B's write is admitted",
            "B's write is stored",
            "A's write is stored, after a write of a later term",
        ]
    );
}

/// The fence verifies a write at admission. The API server may store the write later, until the
/// `?timeout=` of the request, which is longer than the delay before a new leader's first write. The
/// counterexample also needs a write that is delayed in transit, so that it is admitted just before the
/// new leader publishes its record, and a second API server that stores the new leader's write in
/// between.
#[test]
fn a_write_stored_after_settling_interleaves_terms() {
    let config = with_fault(Config::operator(2), |config| config.environment.stalls = true);
    assert_eq!(
        counterexample("stalled", config, &[ONE_WRITER]),
        [
            "A sends a write",
            "a tick passes",
            "a tick passes; A's lead ends",
            "A's write is admitted",
            "B finds the expired Lease of an ended process and requests to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "B requests to publish its record",
            "B's record is published",
            "a tick passes",
            "B sends a write",
            "B's write is admitted",
            "B's write is stored",
            "A's write is stored, after a write of a later term",
        ]
    );
}

/// The fence identifies pods, not processes. The kernel may still send a write of a terminated process;
/// if a new process of the same pod becomes the leader, that write is admitted.
#[test]
fn a_write_of_an_ended_process_interleaves_terms() {
    let config =
        with_fault(Config::operator(2), |config| config.environment.outlives_process = true);
    assert_eq!(
        counterexample("late write of an ended process", config, &[ONE_WRITER]),
        [
            "a tick passes",
            "A sends a write",
            "a tick passes; A's lead ends",
            "B finds the expired Lease of an ended process and requests to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "A finds B's Lease",
            "B requests to publish its record",
            "B's record is published",
            "a tick passes",
            "B sends a write",
            "a tick passes; B's lead ends",
            "A finds the expired Lease of an ended process and requests to acquire it",
            "A's request to acquire the Lease arrives; A leads",
            "A requests to publish its record",
            "A's record is published",
            "A's write is admitted",
            "A's write is stored",
            "B's write is admitted by an API server that does not have the record of A yet",
            "B's write is stored, after a write of a later term",
        ]
    );
}

/// Without the fence only the Lease and the leader record show that a replica has led.
#[test]
fn without_the_fence_deleting_lease_and_record_adds_a_writer() {
    let config = with_fault(Config::without_fence(2), |config| {
        config.fence = Fence::Ignored;
        config.creates = Creates::FirstImmediately;
        config.environment.deletes = true;
        config.environment.record_deletions = 1;
    });
    assert_eq!(
        counterexample("both deleted", config, &[ONE_WRITER]),
        [
            "a user deletes the Lease",
            "a user deletes the leader record",
            "A sends a write",
            "A's write is admitted",
            "B finds no leader record",
            "B finds no Lease and requests to create it",
            "B's request to create the Lease arrives; B leads",
            "B requests to publish its record",
            "B's record is published",
            "B sends a write",
            "B's write is admitted",
            "B's write is stored",
            "A's write is stored, after a write of a later term",
        ]
    );
}
