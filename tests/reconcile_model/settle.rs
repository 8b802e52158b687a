//! Stability: from every state, without further actions of users, the operator reaches an empty plan
//! within a bound, and then everything is as the specs demand.
//!
//! The checker cannot verify this as liveness: its *eventually* is sound only on paths without
//! cycles. So each reachable state is continued without users, and must settle; for the checker this
//! is an invariant.

use std::collections::HashSet;

use parking_lot::Mutex;

use crate::model::ReconcileModel;
use crate::names::Life;
use crate::names::PLACES;
use crate::names::Place;
use crate::names::SYNCS;
use crate::names::Sync;
use crate::names::at;
use crate::names::namespace_of;
use crate::names::sync_name;
use crate::operator::pass_input;
use crate::oracle::desired_places;
use crate::oracle::desires_copies;
use crate::oracle::equals_source;
use crate::oracle::replacement;
use crate::state::COLLECTOR;
use crate::state::ManyOrphans;
use crate::state::State;
use crate::state::StoredSync;
use crate::state::WRITERS;

/// Each sync reaches an empty plan within this many passes.
const MAX_PASSES: usize = 6;

/// The states that are known to settle.
pub type Settled = Mutex<HashSet<State>>;

/// What is wrong with the state that `state` settles to; `None` if nothing is.
pub fn complaint(model: &ReconcileModel, state: &State) -> Option<String> {
    let mut start = *state;
    start.flight = [[None; PLACES + 1]; WRITERS];
    start.late = [None; PLACES];
    model.observe_everything(&mut start);
    start.view.namespaces = start.world.namespaces;
    (start.actions, start.faults) = (0, 0);
    if model.settled.lock().contains(&start) {
        return None;
    }
    let orders: &[[Sync; SYNCS]] = match start.world.syncs {
        [Some(_), Some(_)] => &[[0, 1], [1, 0]],
        _ => &[[0, 1]],
    };
    let complaint = orders.iter().find_map(|order| complaint_in_order(model, start, *order));
    if complaint.is_none() {
        model.settled.lock().insert(start);
    }
    complaint
}

/// Runs the operator until it has nothing to write.
pub fn run(model: &ReconcileModel, state: &mut State) {
    model.observe_everything(state);
    run_in_order(model, state, [0, 1]);
    model.observe_everything(state);
}

fn complaint_in_order(
    model: &ReconcileModel,
    mut state: State,
    order: [Sync; SYNCS],
) -> Option<String> {
    if !run_in_order(model, &mut state, order) {
        return Some(format!("no empty plan within {MAX_PASSES} passes"));
    }
    if let Some(violation) = state.violation {
        return Some(violation.to_string());
    }
    let of_syncs = (0..SYNCS).find_map(|sync| complaint_of_sync(model, &state, sync));
    if of_syncs.is_some() {
        return of_syncs;
    }
    // Orphans are collected after the grace period.
    ReconcileModel::minute_passes(&mut state);
    model.grace_passes(&mut state);
    if !run_in_order(model, &mut state, order) {
        return Some("orphan collection does not end".to_owned());
    }
    if let Some(violation) = state.violation {
        return Some(violation.to_string());
    }
    complaint_of_orphans(model, &state)
}

fn run_in_order(model: &ReconcileModel, state: &mut State, order: [Sync; SYNCS]) -> bool {
    for _ in 0..MAX_PASSES {
        let mut has_written = false;
        for writer in order.into_iter().chain([COLLECTOR]) {
            if writer == COLLECTOR {
                model.collect(state);
            } else {
                model.reconcile(state, writer);
            }
            for slot in 0..=PLACES {
                // A replacement is deleted, and then created.
                while state.flight[writer][slot].is_some() {
                    has_written = true;
                    model.store_write(state, writer, slot);
                }
            }
            (0..SYNCS).for_each(|sync| model.observe_sync(state, sync));
        }
        if !has_written {
            return true;
        }
    }
    false
}

fn complaint_of_sync(model: &ReconcileModel, state: &State, sync: Sync) -> Option<String> {
    let stored = state.world.syncs[sync]?;
    let name = sync_name(sync);
    if stored.is_deleting && stored.has_finalizer {
        return Some(format!("{name} is being deleted, and never ends"));
    }
    if stored.is_deleting || stored.spec.is_suspended {
        return None;
    }
    let (spec, source) = (stored.spec, state.world.source);
    let wanted = desires_copies(spec, source, false);
    let desired = if wanted { desired_places(spec, state.world.namespaces) } else { vec![] };
    let is_equal = |place: Place| {
        let namespace = state.world.namespaces[namespace_of(place)];
        let found = state.world.objects[place].filter(|_| namespace.is_usable());
        found.is_some_and(|id| {
            let object = model.decisions.store.get(id);
            equals_source(&object, place, (sync, Life::Current), spec, source)
        })
    };
    let reports_synced = model.decisions.reports_synced(pass_input(state, sync, true));
    let should = desired.iter().all(|place| is_equal(*place)) && source.usable_content().is_some();
    // The content that is copied lacks a key that the spec lists: reported instead.
    let lacks_key = spec.lists_keys && source.usable_content() == Some(2);
    if reports_synced != (should && !lacks_key) {
        return Some(format!("{name} reports Synced: {reports_synced}, should: {should}"));
    }
    let left = (0..PLACES).find(|place| {
        is_obsolete(model, state, (sync, stored), *place) && !desired.contains(place)
    });
    left.map(|place| format!("the old copy {} of {name} is left", at(place)))
}

/// Whether there is a copy at `place` that should be gone, if it is not desired.
fn is_obsolete(
    model: &ReconcileModel,
    state: &State,
    (sync, stored): (Sync, StoredSync),
    place: Place,
) -> bool {
    let object = state.world.objects[place].map(|id| model.decisions.store.get(id));
    let is_copy = object.is_some_and(|it| it.identity(place) == Some((sync, Life::Current)));
    let is_usable = state.world.namespaces[namespace_of(place)].is_usable();
    let waits_for_source =
        state.world.source.usable_content().is_none() && !stored.spec.follows_source;
    let waits_for_replacement = state.world.source.usable_content().is_some()
        && replacement(stored.spec, state.world.namespaces, place).is_some_and(|place| {
            let found = state.world.objects[place].map(|id| model.decisions.store.get(id));
            let is_usable = state.world.namespaces[namespace_of(place)].is_usable();
            !found.filter(|_| is_usable).is_some_and(|it| {
                let owner = (sync, Life::Current);
                equals_source(&it, place, owner, stored.spec, state.world.source)
            })
        });
    is_copy && is_usable && !waits_for_source && !waits_for_replacement
}

fn complaint_of_orphans(model: &ReconcileModel, state: &State) -> Option<String> {
    if state.view.many_orphans != ManyOrphans::None {
        return None;
    }
    // A sync of the same name takes it over, once its source can be copied.
    let is_adoptable = |sync: Sync, place: Place| {
        let spec = state.world.syncs[sync].map(|stored| stored.spec);
        spec.is_some_and(|it| desired_places(it, state.world.namespaces).contains(&place))
    };
    let is_orphan = |place: &Place| {
        let object = state.world.objects[*place].map(|id| model.decisions.store.get(id));
        let owner = object.and_then(|it| it.identity(*place));
        owner.is_some_and(|(sync, life)| life != Life::Current && !is_adoptable(sync, *place))
            && state.world.namespaces[namespace_of(*place)].is_usable()
    };
    let left = (0..PLACES).find(is_orphan);
    left.map(|place| format!("the orphan {} is left", at(place)))
}
