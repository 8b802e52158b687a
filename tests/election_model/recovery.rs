//! Recovery: from every state, a replica can lead again.
//!
//! The checker cannot verify this as liveness: its *eventually* is sound only on paths without
//! cycles, and it has no *possibly, from every state*. So from each reachable state the model is
//! continued without further faults, and must reach a write within a bound; for the checker this is
//! an invariant. It is stronger than *possibly*: any single replica succeeds alone, within a lease
//! duration and two ticks, or two durations where a user deletes the Lease. It is weaker than
//! *always*: it follows only the paths on which each replica acts as soon as it can.

use crate::config::Fence;
use crate::config::Ticks;
use crate::model::ElectionModel;
use crate::model::Step;
use crate::state::Pod;
use crate::state::State;

/// Whether each replica alone, and all of them in either order, reach a write: if what is in flight
/// arrives first, and if it is lost.
pub fn can_recover(model: &ElectionModel, state: &State) -> bool {
    let forwards: Vec<Pod> = model.pods().collect();
    let backwards: Vec<Pod> = model.pods().rev().collect();
    let alone = model.pods().map(|pod| vec![pod]);
    let groups: Vec<Vec<Pod>> = alone.chain([forwards, backwards]).collect();
    [all_arrives(model, *state), all_is_lost(*state)]
        .into_iter()
        .all(|state| groups.iter().all(|group| reaches_a_write(model, state, group)))
}

/// A Lease that expires, one tick more, and one to settle. Where a user deletes the Lease, a process that
/// created it at once may find that another one has led; its own Lease expires, too.
fn bound(model: &ElectionModel) -> Ticks {
    let leases = if model.config.environment.deletes { 2 } else { 1 };
    leases * model.config.lease + 2
}

fn reaches_a_write(model: &ElectionModel, mut state: State, group: &[Pod]) -> bool {
    for _ in 0..=bound(model) {
        for pod in group {
            if act(model, &mut state, *pod) {
                return true;
            }
        }
        take(model, &mut state, Step::Tick);
    }
    false
}

fn all_arrives(model: &ElectionModel, mut state: State) -> State {
    for pod in model.pods() {
        for step in [Step::ArriveLate(pod), Step::Respond(pod), Step::StoreRecord(pod)] {
            take(model, &mut state, step);
        }
        // A write does not affect who leads next.
        state.replicas[pod].write = None;
    }
    state
}

fn all_is_lost(mut state: State) -> State {
    for replica in &mut state.replicas {
        replica.time_out_call();
        replica.time_out_publication();
        replica.late = None;
        replica.publication = None;
        replica.write = None;
    }
    state
}

/// A replica takes every step that it can. Returns whether it has written.
fn act(model: &ElectionModel, state: &mut State, pod: Pod) -> bool {
    let steps =
        [Step::ReadLease(pod), Step::Respond(pod), Step::Publish(pod), Step::StoreRecord(pod)];
    for step in steps {
        take(model, state, step);
    }
    if !take(model, state, Step::SendWrite(pod)) {
        return false;
    }
    let is_stuck = model.config.fence == Fence::NeverUpdates && state.outdated.refuse(pod);
    if !is_stuck && take(model, state, Step::AdmitWrite(pod)) {
        return true;
    }
    // The fence refused: a process that the record does not name ends, any other retries.
    state.replicas[pod].write = None;
    if state.recorded != Some(pod) {
        state.restart(pod);
    }
    false
}

fn take(model: &ElectionModel, state: &mut State, step: Step) -> bool {
    let next = model.after(state, step);
    if let Some(next) = next {
        *state = next;
    }
    next.is_some()
}
