//! What holds in every reachable state.
//!
//! Configurations that take minutes are skipped without `E2E_FULL=1`.

use crate::checker::assert_holds;
use crate::checker::is_full;
use crate::checker::with;
use crate::config::Config;
use crate::config::Creates;
use crate::config::Fence;
use crate::config::Races;
use crate::config::Settles;

#[test]
fn the_operator_has_one_writer_and_recovers() {
    assert_holds("operator", &Config::operator(2));
    if is_full() {
        let longer = |config: &mut Config| {
            config.lease = 6;
            config.deadline = Some(3);
        };
        assert_holds("operator, longer durations", &with(Config::operator(2), longer));
    }
}

#[test]
fn users_that_change_the_lease_cause_no_second_writer() {
    let changed = |config: &mut Config| {
        config.environment.deletes = true;
        config.environment.empties = true;
        if !is_full() {
            config.environment.late_lease_requests = false;
        }
    };
    assert_holds("operator, Lease changed by users", &with(Config::operator(2), changed));
}

/// Neither object shows any more that a replica leads. Until the record is published again, there is
/// no fence.
#[test]
fn users_that_delete_lease_and_record_cause_no_second_writer() {
    let deleted = |config: &mut Config| {
        config.environment.delays_writes = false;
        config.environment.races.creations = false;
        config.environment.deletes = true;
        config.environment.record_deletions = 1;
        if !is_full() {
            config.environment.late_lease_requests = false;
        }
    };
    assert_holds("operator, Lease and record deleted", &with(Config::operator(2), deleted));
}

#[test]
fn without_the_fence_one_writer_if_writes_are_prompt() {
    assert_holds("without the fence", &Config::without_fence(2));
    if is_full() {
        assert_holds("without the fence, three replicas", &Config::without_fence(3));
    }
}

#[test]
fn without_the_fence_a_deleted_lease_keeps_one_writer() {
    let deleted = |config: &mut Config| {
        config.environment.deletes = true;
        config.environment.races.creations = false;
    };
    assert_holds("without the fence, Lease deleted", &with(Config::without_fence(2), deleted));
}

/// The leader record shows that a replica has led, although the API server does not compare it.
#[test]
fn without_the_fence_the_record_protects_a_deleted_lease() {
    let deleted = |config: &mut Config| {
        config.fence = Fence::Ignored;
        config.creates = Creates::FirstImmediately;
        config.environment.deletes = true;
        config.environment.races.creations = false;
    };
    assert_holds("records without the fence", &with(Config::without_fence(2), deleted));
}

/// The crate has no other counterexamples than those in `crate_alone`.
#[test]
fn the_crate_alone_is_correct_without_races_and_drift() {
    assert_holds("the crate alone", &Config::crate_alone(Races::NONE));
    let checked = |config: &mut Config| {
        config.environment.races.renewals = true;
        config.checks_holder = true;
    };
    assert_holds(
        "the crate alone, holder checked",
        &with(Config::crate_alone(Races::NONE), checked),
    );
}

#[test]
fn the_operator_with_three_replicas_has_one_writer() {
    if !is_full() {
        return;
    }
    let three = |config: &mut Config| config.environment.late_lease_requests = false;
    assert_holds("operator, three replicas", &with(Config::operator(3), three));
}

#[test]
fn the_fence_suffices_without_deadline_or_without_drain() {
    if !is_full() {
        return;
    }
    assert_holds("no deadline", &with(Config::operator(2), |config| config.deadline = None));
    assert_holds("no drain", &with(Config::operator(2), |config| config.drains = false));
}

/// What a new leader would have to know about the leader that released the Lease, to omit settling.
#[test]
fn settling_is_optional_after_a_settled_leader_released() {
    if !is_full() {
        return;
    }
    let known = |config: &mut Config| {
        config.settles = Settles::UnlessReleased;
        config.settles_before_release = true;
    };
    assert_holds("released after settling", &with(Config::operator(2), known));
}
