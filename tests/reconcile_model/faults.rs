//! Known faults: without its protection, the shortest path to harm is found; with it, there is none
//! (`invariants`).

use crate::checker::counterexample;
use crate::config::Config;
use crate::config::Fault;
use crate::config::Users;
use crate::model::SAFE;
use crate::model::SETTLES;
use crate::spec::Spec;

/// What was adopted is released in the end, whatever markers it had before.
#[test]
fn an_adopted_config_map_that_keeps_created_is_deleted() {
    let users = Users { remove_markers: true, delete_syncs: true, ..Users::IDLE };
    let adopting = Spec { adopts: true, ..Spec::SINGLE };
    let fault = Some(Fault::KeepsCreated);
    let config = Config { users, actions: 2, fault, ..Config::one(adopting) };
    assert_eq!(
        counterexample("created survives adoption", &config, &[SAFE]),
        [
            "a user removes apps.nishaf.info/configmapsync-uid from m/s",
            "team/a: update m/s",
            "stored: update m/s",
            "a user deletes team/a",
            "team/a: delete m/s",
            "stored: delete m/s",
            "a ConfigMap that the operator did not create is deleted"
        ]
    );
}

/// A backup tool may restore managedFields, and a copy minutes before its sync.
#[test]
fn a_copy_restored_with_its_managed_fields_is_deleted() {
    let users = Users { delete_syncs: true, remove_finalizers: true, restore: true, ..Users::IDLE };
    let fault = Some(Fault::TrustsManagedFields);
    let config = Config { users, actions: 3, fault, ..Config::one(Spec::SINGLE) };
    assert_eq!(
        counterexample("managedFields trusted", &config, &[SAFE]),
        [
            "a user deletes team/a",
            "team/a: delete m/s",
            "stored: delete m/s",
            "a user removes the finalizer of team/a",
            "a minute passes",
            "a user restores m/s with its managedFields",
            "orphan collection: delete m/s",
            "stored: delete m/s",
            "a restored orphan is collected without grace"
        ]
    );
}

/// A namespace that is missing from a list may exist.
#[test]
fn a_partial_namespace_list_deletes_copies() {
    let fault = Some(Fault::IgnoresUnknownNamespaces);
    let config = Config { faults: 1, lists_partially: true, fault, ..Config::one(Spec::SELECTING) };
    assert_eq!(
        counterexample("partial list", &config, &[SAFE]),
        [
            "the leader crashes; another one lists everything but namespace m",
            "team/a: delete m/s",
            "stored: delete m/s",
            "a copy in an unknown namespace is retired"
        ]
    );
}

/// The policy refuses every write in a protected namespace.
#[test]
fn a_copy_in_a_protected_namespace_holds_the_finalizer() {
    let users = Users { protect_namespaces: true, delete_syncs: true, ..Users::IDLE };
    let fault = Some(Fault::IgnoresProtection);
    let config = Config { users, actions: 2, fault, ..Config::one(Spec::SINGLE) };
    assert_eq!(
        counterexample("protected", &config, &[SETTLES]),
        [
            "a user deletes team/a",
            "a user protects namespace m, and restarts the operator",
            "no empty plan within 6 passes"
        ]
    );
}

/// Between a decision and its write, a user may replace the copy.
#[test]
fn without_preconditions_the_config_map_of_a_user_is_deleted() {
    let users = Users { delete_syncs: true, remove_markers: true, ..Users::IDLE };
    let fault = Some(Fault::NoPreconditions);
    let config = Config { users, actions: 2, fault, ..Config::one(Spec::SINGLE) };
    assert_eq!(
        counterexample("no preconditions", &config, &[SAFE]),
        [
            "a user deletes team/a",
            "team/a: delete m/s",
            "a user removes apps.nishaf.info/configmapsync-uid from m/s",
            "stored: delete m/s",
            "a ConfigMap that the operator did not create is deleted"
        ]
    );
}

/// With `sourceDeletionPolicy: Delete`, the copy comes and goes with its source.
#[test]
fn a_source_created_again_looks_like_contention() {
    let users = Users { edit_source: true, ..Users::IDLE };
    let following = Spec { follows_source: true, ..Spec::SINGLE };
    let fault = Some(Fault::ForgetsRetirements);
    let config = Config { users, actions: 4, fault, ..Config::counting(following) };
    assert_eq!(
        counterexample("source created again", &config, &[SAFE]),
        [
            "a user deletes the source",
            "team/a: delete m/s",
            "stored: delete m/s",
            "a user writes content 0 into the source",
            "team/a: create m/s",
            "stored: create m/s",
            "a user deletes the source",
            "team/a: delete m/s",
            "stored: delete m/s",
            "a user writes content 0 into the source",
            "team/a: create m/s",
            "stored: create m/s",
            "a write of our own counts as a change by another client"
        ]
    );
}

/// The copy comes and goes with the label of its namespace.
#[test]
fn a_namespace_labelled_again_looks_like_contention() {
    let users = Users { label_namespaces: true, ..Users::IDLE };
    let fault = Some(Fault::ForgetsRetirements);
    let config = Config { users, actions: 4, fault, ..Config::counting(Spec::SELECTING) };
    assert_eq!(
        counterexample("namespace labelled again", &config, &[SAFE]),
        [
            "a user unlabels namespace m",
            "team/a: delete m/s",
            "stored: delete m/s",
            "a user labels namespace m",
            "team/a: create m/s",
            "stored: create m/s",
            "a user unlabels namespace m",
            "team/a: delete m/s",
            "stored: delete m/s",
            "a user labels namespace m",
            "team/a: create m/s",
            "stored: create m/s",
            "a write of our own counts as a change by another client"
        ]
    );
}

/// While a copy is in order, what the last reconcile wanted stands for the memory of its last write.
#[test]
fn without_memory_a_change_by_others_does_not_count() {
    let users = Users { edit_copies: true, ..Users::IDLE };
    let fault = Some(Fault::ForgetsWanted);
    let config = Config { users, actions: 2, fault, ..Config::counting(Spec::SINGLE) };
    assert_eq!(
        counterexample("what was wanted is forgotten", &config, &[SAFE]),
        [
            "a user edits m/s",
            "team/a: update m/s",
            "stored: update m/s",
            "a change by another client does not count"
        ]
    );
}
