//! What holds, in every world that can be reached.
//!
//! Some of it takes minutes: that is left out without `E2E_FULL=1`.

use crate::explore::holds;
use crate::explore::is_full;
use crate::explore::with;
use crate::rules::Races;
use crate::rules::Rules;
use crate::rules::Settles;

#[test]
fn with_everything_one_writes_at_a_time_and_somebody_can_lead_again() {
    holds("everything", &Rules::everything(2));
    if is_full() {
        let longer = |rules: &mut Rules| {
            rules.lease = 6;
            rules.deadline = Some(3);
        };
        holds("everything, longer", &with(Rules::everything(2), longer));
    }
}

#[test]
fn whoever_meddles_with_the_lease_does_not_make_two_write() {
    let meddled = |rules: &mut Rules| {
        rules.world.deletes = true;
        rules.world.empties = true;
        if !is_full() {
            rules.world.outlives_its_wait = false;
        }
    };
    holds("everything, meddled with", &with(Rules::everything(2), meddled));
}

#[test]
fn without_the_fence_one_writes_at_a_time_if_writes_are_not_delayed() {
    holds("without the fence", &Rules::without_fence(2));
    if is_full() {
        holds("without the fence, three", &Rules::without_fence(3));
    }
}

#[test]
fn without_the_fence_a_lease_that_is_deleted_still_has_its_leader() {
    let deleted = |rules: &mut Rules| {
        rules.world.deletes = true;
        rules.world.races.creations = false;
    };
    holds("without the fence, deleted", &with(Rules::without_fence(2), deleted));
}

/// The counterexamples of the crate are all that it has.
#[test]
fn the_crate_alone_is_right_where_nothing_races_and_all_clocks_agree() {
    holds("the crate alone", &Rules::bare(Races::NONE));
    let checked = |rules: &mut Rules| {
        rules.world.races.renewals = true;
        rules.checks_holder = true;
    };
    holds("the crate alone, holder checked", &with(Rules::bare(Races::NONE), checked));
}

#[test]
fn three_replicas_are_no_worse_than_two() {
    if !is_full() {
        return;
    }
    let three = |rules: &mut Rules| rules.world.outlives_its_wait = false;
    holds("everything, three", &with(Rules::everything(3), three));
}

#[test]
fn behind_the_fence_the_other_protections_are_a_second_wall() {
    if !is_full() {
        return;
    }
    holds("no deadline", &with(Rules::everything(2), |rules| rules.deadline = None));
    holds("no drain", &with(Rules::everything(2), |rules| rules.drains = false));
}

/// What a new leader would have to know of one that gave the Lease back, not to wait.
#[test]
fn a_release_by_one_that_has_settled_and_ended_its_writes_is_reason_enough_not_to_settle() {
    if !is_full() {
        return;
    }
    let known = |rules: &mut Rules| {
        rules.settles = Settles::UnlessReleased;
        rules.settles_before_release = true;
    };
    holds("released after settling", &with(Rules::everything(2), known));
}
