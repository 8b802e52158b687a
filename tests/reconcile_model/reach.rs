//! The exploration reaches what could go wrong.

use stateright::Checker as _;
use stateright::Model as _;

use crate::config::Config;
use crate::config::Users;
use crate::model::ReconcileModel;
use crate::object::Origin;
use crate::object::Restored;
use crate::spec::Spec;
use crate::state::Kind;
use crate::state::State;

/// Something that the exploration reaches.
pub type Reached = (&'static str, fn(&ReconcileModel, &State) -> bool);

/// All that is expected.
pub const EXPECTED: [Reached; 10] = [
    ("a copy is created", |_, state| has_in_flight(state, Kind::Create)),
    ("a copy is updated", |_, state| has_in_flight(state, Kind::Update)),
    ("markers are repaired", |_, state| has_in_flight(state, Kind::Restamp)),
    ("a copy is released", |_, state| has_in_flight(state, Kind::Release)),
    ("a copy is deleted", |_, state| has_in_flight(state, Kind::Delete)),
    ("a finalizer is added", |_, state| has_in_flight(state, Kind::AddFinalizer)),
    ("a finalizer is removed", |_, state| has_in_flight(state, Kind::RemoveFinalizer)),
    ("a change by another client counts", |_, state| {
        state.memory.is_some_and(|memory| memory.has_counted())
    }),
    ("a ConfigMap is adopted", |model, state| {
        let mut stored = state.world.objects.iter().flatten();
        stored.any(|id| model.decisions.store.get(*id).origin == Origin::Adopted)
    }),
    ("an orphan has waited for the grace period", |model, state| {
        let mut stored = state.world.objects.iter().flatten();
        stored.any(|id| model.decisions.store.get(*id).restored == Restored::LongAgo)
    }),
];

fn has_in_flight(state: &State, kind: Kind) -> bool {
    state.flight.iter().flatten().flatten().any(|it| it.write.kind == kind)
}

#[test]
fn the_exploration_reaches_every_kind_of_write() {
    const NAMES: [&str; EXPECTED.len()] = {
        let mut names = [""; EXPECTED.len()];
        let mut index = 0;
        while index < names.len() {
            names[index] = EXPECTED[index].0;
            index += 1;
        }
        names
    };
    let users = Users {
        delete_syncs: true,
        edit_conflict_policy: true,
        remove_finalizers: true,
        restore: true,
        remove_markers: true,
        ..Users::IDLE
    };
    let config = Config { users, places: &[0], actions: 3, ..Config::counting(Spec::SINGLE) };
    let checker = ReconcileModel::new(config, &NAMES).checker().spawn_bfs().join();
    checker.assert_properties();
}
