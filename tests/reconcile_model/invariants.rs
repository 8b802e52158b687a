//! What holds in every reachable state.
//!
//! `E2E_FULL=1` explores one more action of users, for an hour.

use crate::checker::assert_holds;
use crate::checker::assert_is_safe;
use crate::checker::is_full;
use crate::config::Config;
use crate::config::Users;
use crate::spec::Spec;

const ADOPTING: Spec = Spec { adopts: true, ..Spec::SINGLE };

/// The number of actions: `actions`, or one more with the large bounds.
fn up_to(actions: u8) -> u8 {
    actions + u8::from(is_full())
}

#[test]
fn markers_change_one_at_a_time() {
    let users = Users {
        delete_syncs: true,
        edit_conflict_policy: true,
        remove_markers: true,
        add_markers: true,
        ..Users::IDLE
    };
    let config = Config { users, places: &[0], actions: up_to(4), ..Config::one(ADOPTING) };
    assert_holds("markers", &config);
}

#[test]
fn config_maps_of_users_are_kept() {
    let users = Users {
        delete_syncs: true,
        edit_conflict_policy: true,
        edit_copies: true,
        delete_copies: true,
        create_foreign: true,
        clone: true,
        remove_markers: true,
        add_markers: true,
        ..Users::IDLE
    };
    let config = Config { users, places: &[0], actions: up_to(3), ..Config::one(ADOPTING) };
    assert_holds("ConfigMaps of users", &config);
}

#[test]
fn specs_and_the_source_change() {
    let users = Users { delete_syncs: true, edit_specs: true, edit_source: true, ..Users::IDLE };
    for spec in [Spec::SINGLE, Spec::SELECTING] {
        let config = Config { users, actions: up_to(2), faults: 1, ..Config::one(spec) };
        assert_holds("specs and source", &config);
    }
}

#[test]
fn watches_lag_behind_changed_specs() {
    let users = Users { edit_specs: true, delete_copies: true, ..Users::IDLE };
    let lagging = Config { lags: true, users, places: &[0], ..Config::one(Spec::SINGLE) };
    assert_holds("lagging watches", &Config { actions: up_to(3), ..lagging });
}

#[test]
fn namespaces_come_and_go() {
    let users = Users { delete_syncs: true, edit_namespaces: true, ..Users::IDLE };
    let selecting = Config { faults: 1, lists_partially: true, ..Config::one(Spec::SELECTING) };
    let config = Config { users, actions: up_to(3), lags: true, ..selecting };
    assert_holds("namespaces", &config);
}

#[test]
fn namespaces_become_protected() {
    let users = Users {
        delete_syncs: true,
        edit_source: true,
        edit_namespaces: true,
        protect_namespaces: true,
        ..Users::IDLE
    };
    for spec in [Spec::SINGLE, Spec::SELECTING] {
        let config = Config { users, actions: up_to(3), ..Config::one(spec) };
        assert_holds("protected namespaces", &config);
    }
}

#[test]
fn copies_are_restored_from_a_backup() {
    let users = Users {
        delete_syncs: true,
        remove_finalizers: true,
        delete_copies: true,
        restore: true,
        restore_many: true,
        ..Users::IDLE
    };
    let config = Config { users, places: &[0], faults: 1, ..Config::one(Spec::SINGLE) };
    assert_holds("restored copies", &Config { actions: up_to(4), lags: true, ..config });
}

/// A request that creates a copy has no precondition.
#[test]
fn writes_of_a_crashed_leader_arrive_late() {
    let users = Users { delete_syncs: true, edit_specs: true, create_foreign: true, ..Users::IDLE };
    let config = Config { users, faults: 1, writes_late: true, ..Config::one(Spec::SINGLE) };
    assert_holds("late writes", &Config { actions: up_to(2), ..config });
}

#[test]
fn two_syncs_never_write_the_same_copy() {
    let users = Users { delete_syncs: true, edit_specs: true, ..Users::IDLE };
    let syncs = [Some(Spec::SINGLE), Some(ADOPTING)];
    let config = Config { syncs, users, actions: up_to(3), ..Config::one(Spec::SINGLE) };
    assert_holds("two syncs", &config);
}

#[test]
fn everything_happens() {
    let users = Users::ALL;
    let syncs = [Some(ADOPTING), Some(Spec::SELECTING)];
    let config = Config { syncs, users, faults: 1, ..Config::one(ADOPTING) };
    if is_full() {
        let lagging = Config { lags: true, lists_partially: true, writes_late: true, ..config };
        assert_holds("everything, with lagging watches", &Config { actions: 2, ..lagging });
    } else {
        assert_holds("everything", &Config { actions: 2, ..config });
    }
}

/// Copies that come and go with their source, or with their namespace.
#[test]
fn own_writes_are_no_contention() {
    let of_source = Users { edit_source: true, ..Users::IDLE };
    let of_namespaces = Users { edit_namespaces: true, ..Users::IDLE };
    for (users, spec) in [(of_source, Spec::SINGLE), (of_namespaces, Spec::SELECTING)] {
        let spec = Spec { follows_source: true, ..spec };
        let config = Config { users, actions: up_to(4), ..Config::counting(spec) };
        assert_is_safe("own writes", &config);
    }
}

#[test]
fn only_changes_by_other_clients_count() {
    let copies = Users { edit_copies: true, delete_copies: true, ..Users::IDLE };
    let users = Users { edit_source: true, edit_namespaces: true, ..copies };
    for (users, spec) in
        [(Users { edit_specs: true, ..users }, Spec::SINGLE), (users, Spec::SELECTING)]
    {
        let spec = Spec { follows_source: true, ..spec };
        let config = Config { users, places: &[0], ..Config::counting(spec) };
        assert_is_safe("changes by others", &Config { actions: up_to(2), ..config });
    }
    let users = Users { edit_source: true, edit_conflict_policy: true, ..copies };
    let lagging = Config { lags: true, users, places: &[0], ..Config::counting(Spec::SINGLE) };
    assert_is_safe("changes by others, lagging", &Config { actions: up_to(3), ..lagging });
}
