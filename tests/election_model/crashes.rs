//! Recovery after a crash: a candidate that has proof that the holder of the Lease has ended acquires it
//! at once.
//!
//! The invariants of `invariants` include it. Here are the counterexamples without each of its conditions,
//! and what the last writes of the crashed process may do.

use crate::checker::assert_holds;
use crate::checker::assert_no_late_create;
use crate::checker::counterexample;
use crate::checker::is_full;
use crate::checker::with;
use crate::config::Config;
use crate::config::Fence;
use crate::config::Proof;
use crate::config::Start;
use crate::model::NO_LATE_CREATE;
use crate::model::ONE_WRITER;

/// Without the fence, and writes arrive at once: the fence would hide a wrong proof.
fn unfenced(change: impl FnOnce(&mut Config)) -> Config {
    let config = with(Config::operator(2), |config| {
        config.fence = Fence::Ignored;
        config.environment.start = Start::Leader;
        config.environment.delays_writes = false;
    });
    with(config, change)
}

fn slow_webhooks(change: impl FnOnce(&mut Config)) -> Config {
    let started = |config: &mut Config| config.environment.start = Start::Leader;
    with(with(Config::slow_webhooks(2), started), change)
}

/// Two candidates may have the proof at the same time: the Lease is replaced only if it is the one that
/// was read.
#[test]
fn with_proof_and_without_the_fence_one_replica_writes() {
    assert_holds("proof, without the fence", &unfenced(|_| {}));
    if is_full() {
        assert_holds("three replicas", &unfenced(|config| config.replicas = 3));
    }
}

/// A restart count, a phase, the status of an earlier process or container, or a pod of the same name
/// with another uid.
#[test]
fn a_termination_without_the_identity_is_no_proof() {
    let config = unfenced(|config| config.proof = Proof::AnyTermination);
    counterexample("any termination", config, &[ONE_WRITER]);
}

/// The kernel ends all processes of a container with its first one, unless the pod shares its process
/// namespace. Only the first process writes the message.
#[test]
fn a_message_of_another_process_is_no_proof() {
    let config = unfenced(|config| config.proof = Proof::MessageOfAnyProcess);
    counterexample("message of another process", config, &[ONE_WRITER]);
}

/// A user deletes the Lease of a leader, and a process that finds no leader record creates it. It ends when
/// it finds the record of the leader, which does not know yet that its Lease was deleted.
#[test]
fn a_holder_without_a_record_does_not_prove_that_nobody_leads() {
    let config = with(Config::operator(2), |config| {
        config.proves_record = false;
        config.environment.delays_writes = false;
        config.environment.races.creations = false;
        config.environment.late_lease_requests = false;
        config.environment.deletes = true;
        config.environment.record_deletions = 1;
    });
    counterexample("holder without a record", config, &[ONE_WRITER]);
}

/// A proof concerns one holder. By the time it is used, another process may hold the Lease.
#[test]
fn a_proof_must_not_outlast_the_lease_it_is_for() {
    let config = unfenced(|config| config.binds_proof = false);
    counterexample("proof for an earlier Lease", config, &[ONE_WRITER]);
}

/// A write of the crashed process may still be stored. Updates and deletions then fail if the object has
/// changed; the creation of a copy does not.
#[test]
fn a_late_write_of_a_crashed_leader_interleaves_terms() {
    counterexample("late write", slow_webhooks(|_| {}), &[ONE_WRITER]);
}

#[test]
fn no_copy_is_created_after_its_finalizer_was_removed() {
    assert_no_late_create("slow webhooks", &Config::slow_webhooks(2));
    if is_full() {
        let unfenced = |config: &mut Config| config.fence = Fence::Ignored;
        assert_no_late_create("slow, no fence", &with(Config::slow_webhooks(2), unfenced));
    }
}

#[test]
fn a_finalizer_removed_early_leaves_a_late_copy() {
    for keeps in [0, 1] {
        let config = slow_webhooks(|config| config.keeps_finalizers = keeps);
        counterexample("finalizer removed early", config, &[NO_LATE_CREATE]);
    }
}

/// The next leader of a released Lease does not know of the crash.
#[test]
fn a_lease_released_early_leaves_a_late_copy() {
    let config = slow_webhooks(|config| config.keeps_lease = false);
    counterexample("released early", config, &[NO_LATE_CREATE]);
}
