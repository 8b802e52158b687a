//! Each protection is necessary: the shortest counterexample without it.
//!
//! The first protections are removed in a cluster without the fence where writes are not delayed,
//! the others with all other protections present. Leases are acquired after their duration only:
//! `crashes` has the counterexamples of the recovery after a crash.

use crate::checker::counterexample;
use crate::checker::with;
use crate::config::Config;
use crate::config::Creates;
use crate::config::Fence;
use crate::config::Proof;
use crate::config::Settles;
use crate::config::Start;
use crate::model::ONE_WRITER;
use crate::model::RECORD_NEVER_REGRESSES;
use crate::model::RECOVERS;

fn without_fence(change: impl FnOnce(&mut Config)) -> Config {
    let config = with(Config::without_fence(2), |config| config.environment.start = Start::Leader);
    with(config, change)
}

fn operator_but(change: impl FnOnce(&mut Config)) -> Config {
    let config = with(Config::operator(2), |config| {
        config.environment.start = Start::Leader;
        config.proof = Proof::Nothing;
    });
    with(config, change)
}

#[test]
fn without_the_guard_two_replicas_acquire_one_lease() {
    let config = without_fence(|config| config.has_guard = false);
    assert_eq!(
        counterexample("no guard", config, &[ONE_WRITER]),
        [
            "a tick passes",
            "a tick passes; A's lead ends",
            "a tick passes",
            "a tick passes",
            "A finds the expired Lease of an ended process and requests to acquire it",
            "B finds the expired Lease of an ended process and requests to acquire it",
            "A's request to acquire the Lease arrives; A leads",
            "A sends a write",
            "A's write is admitted",
            "B's request to acquire the Lease arrives; its holder was A; B leads",
            "B sends a write",
            "B's write is admitted",
            "B's write is stored",
            "A's write is stored, after a write of a later term",
        ]
    );
}

#[test]
fn without_the_deadline_a_leader_outlives_its_lease() {
    let config = without_fence(|config| config.deadline = None);
    assert_eq!(
        counterexample("no deadline", config, &[ONE_WRITER]),
        [
            "a tick passes",
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

#[test]
fn without_the_gate_a_write_is_sent_after_the_lead_ended() {
    let config = without_fence(|config| config.has_gate = false);
    assert_eq!(
        counterexample("no gate", config, &[ONE_WRITER]),
        [
            "a tick passes",
            "A sends a write",
            "a tick passes; A's lead ends",
            "A's write is admitted",
            "B finds the expired Lease of an ended process and requests to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "B sends a write",
            "B's write is admitted",
            "B's write is stored",
            "A's write is stored, after a write of a later term",
        ]
    );
}

#[test]
fn without_the_timeout_a_write_is_stored_after_the_lead() {
    let config = without_fence(|config| config.limits_writes = false);
    assert_eq!(
        counterexample("no timeout", config, &[ONE_WRITER]),
        [
            "a tick passes",
            "A sends a write",
            "A's write is admitted",
            "a tick passes; A's lead ends",
            "B finds the expired Lease of an ended process and requests to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "B sends a write",
            "B's write is admitted",
            "B's write is stored",
            "A's write is stored, after a write of a later term",
        ]
    );
}

#[test]
fn a_deleted_lease_must_not_be_created_immediately() {
    let config = without_fence(|config| {
        config.creates = Creates::Immediately;
        config.environment.deletes = true;
    });
    assert_eq!(
        counterexample("immediate creation", config, &[ONE_WRITER]),
        [
            "a user deletes the Lease",
            "A sends a write",
            "A's write is admitted",
            "B finds no Lease and requests to create it",
            "B's request to create the Lease arrives; B leads",
            "B sends a write",
            "B's write is admitted",
            "B's write is stored",
            "A's write is stored, after a write of a later term",
        ]
    );
}

#[test]
fn a_deleted_lease_must_be_created_eventually() {
    let config = operator_but(|config| {
        config.creates = Creates::Never;
        config.environment.deletes = true;
    });
    let lines = counterexample("no creation", config, &[RECOVERS]);
    assert_eq!(lines, ["a user deletes the Lease"]);
}

#[test]
fn without_the_fence_a_suspended_leader_writes_late() {
    let config = operator_but(|config| config.fence = Fence::Absent);
    assert_eq!(
        counterexample("no fence", config, &[ONE_WRITER]),
        [
            "a tick passes",
            "A sends a write",
            "a tick passes; A's lead ends",
            "B finds the expired Lease of an ended process and requests to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "a tick passes",
            "A's write is admitted",
            "B sends a write",
            "B's write is admitted",
            "B's write is stored",
            "A's write is stored, after a write of a later term",
        ]
    );
}

#[test]
fn without_settling_an_outdated_api_server_admits_a_write() {
    let config = operator_but(|config| config.settles = Settles::Never);
    assert_eq!(
        counterexample("no settling", config, &[ONE_WRITER]),
        [
            "a tick passes",
            "A sends a write",
            "a tick passes; A's lead ends",
            "A's write is admitted",
            "B finds the expired Lease of an ended process and requests to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "B requests to publish its record",
            "B's record is published",
            "B sends a write",
            "B's write is admitted",
            "B's write is stored",
            "A's write is stored, after a write of a later term",
        ]
    );
}

/// The leader that released the Lease may not have settled: the writes to wait for are those of the
/// leader before it.
#[test]
fn a_leader_must_settle_after_a_release_too() {
    let config = operator_but(|config| config.settles = Settles::UnlessReleased);
    assert_eq!(
        counterexample("released, not settled", config, &[ONE_WRITER]),
        [
            "a tick passes",
            "A sends a write",
            "a tick passes; A's lead ends",
            "A's write is admitted",
            "B finds the expired Lease of an ended process and requests to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "B requests to publish its record",
            "B's record is published",
            "B stops: it requests to release the Lease and restarts",
            "B's late request to release the Lease arrives",
            "B finds a Lease without holder and requests to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "B requests to publish its record",
            "B's record is published",
            "B sends a write",
            "B's write is admitted",
            "B's write is stored",
            "A's write is stored, after a write of a later term",
        ]
    );
}

#[test]
fn writes_must_end_before_a_release_without_settling() {
    let config = operator_but(|config| {
        config.settles = Settles::UnlessReleased;
        config.drains = false;
    });
    assert_eq!(
        counterexample("released with writes in flight", config, &[ONE_WRITER]),
        [
            "A sends a write",
            "A's write is admitted",
            "A stops: it requests to release the Lease and restarts",
            "A's late request to release the Lease arrives",
            "B finds a Lease without holder and requests to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "B requests to publish its record",
            "B's record is published",
            "B sends a write",
            "B's write is admitted",
            "B's write is stored",
            "A's write is stored, after a write of a later term",
        ]
    );
}

#[test]
fn without_comparison_a_late_record_replaces_a_newer_one() {
    let config = operator_but(|config| config.compares_records = false);
    assert_eq!(
        counterexample("no comparison", config, &[RECORD_NEVER_REGRESSES]),
        [
            "a tick passes",
            "a tick passes; A's lead ends",
            "B finds the expired Lease of an ended process and requests to acquire it",
            "B's request to acquire the Lease arrives; B leads",
            "A finds B's Lease",
            "a tick passes",
            "B requests to publish its record",
            "a tick passes; B's lead ends",
            "A finds the expired Lease of an ended process and requests to acquire it",
            "A's request to acquire the Lease arrives; A leads",
            "A requests to publish its record",
            "A's record is published",
            "B's record is published",
        ]
    );
}

/// For example with a policy parameter that an API server reads only once.
#[test]
fn a_fence_with_an_outdated_record_blocks_recovery() {
    let config = operator_but(|config| config.fence = Fence::NeverUpdates);
    counterexample("outdated fence", config, &[RECOVERS]);
}
