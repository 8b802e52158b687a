//! Somebody can lead again, whatever has happened.
//!
//! The checker has no way to ask that: its *eventually* is sound only where no path returns to where
//! it was, and here all do; and *possibly, from everywhere* it does not know. So the world is
//! carried on from each one that can be reached, without further trouble, and must come to a write
//! within a bound; to the checker, that is an invariant. It says more than *possibly*: no luck is
//! needed, any one replica can do it alone, and it takes no longer than a Lease lasts and two ticks
//! more. It says less than *always*: of the ways on it follows those where each replica does at once
//! what it can.

use crate::election::Election;
use crate::election::Step;
use crate::rules::Fence;
use crate::rules::Ticks;
use crate::world::Pod;
use crate::world::World;

/// Whether each replica alone, and all together in either order, come to a write, be it that what
/// is under way arrives first or that it is lost.
pub fn is_sure(election: &Election, world: &World) -> bool {
    let forwards: Vec<Pod> = election.pods().collect();
    let backwards: Vec<Pod> = election.pods().rev().collect();
    let alone = election.pods().map(|pod| vec![pod]);
    let crews: Vec<Vec<Pod>> = alone.chain([forwards, backwards]).collect();
    [everything_arrives(election, *world), everything_is_lost(*world)]
        .into_iter()
        .all(|world| crews.iter().all(|crew| comes_to_a_write(election, world, crew)))
}

/// A Lease that runs out, a tick to be sure, and one to settle.
fn bound(election: &Election) -> Ticks {
    election.rules.lease + 2
}

fn comes_to_a_write(election: &Election, mut world: World, crew: &[Pod]) -> bool {
    for _ in 0..=bound(election) {
        for pod in crew {
            if work(election, &mut world, *pod) {
                return true;
            }
        }
        go(election, &mut world, Step::Tick);
    }
    false
}

fn everything_arrives(election: &Election, mut world: World) -> World {
    for pod in election.pods() {
        for step in [Step::Late(pod), Step::Answer(pod), Step::Announced(pod)] {
            go(election, &mut world, step);
        }
        // A write makes no difference to who leads next.
        world.replicas[pod].write = None;
    }
    world
}

fn everything_is_lost(mut world: World) -> World {
    for replica in &mut world.replicas {
        replica.give_up();
        replica.forget_announcement();
        replica.late = None;
        replica.announcement = None;
        replica.write = None;
    }
    world
}

/// A replica does at once all that it can. Whether it has written.
fn work(election: &Election, world: &mut World, pod: Pod) -> bool {
    let steps = [Step::Look(pod), Step::Answer(pod), Step::Announce(pod), Step::Announced(pod)];
    for step in steps {
        go(election, world, step);
    }
    if !go(election, world, Step::Send(pod)) {
        return false;
    }
    let is_stuck = election.rules.fence == Fence::IsStuck && world.outdated.refuse(pod);
    if !is_stuck && go(election, world, Step::LetIn(pod)) {
        return true;
    }
    // Refused: whoever is not announced any more ends, the others try again.
    world.replicas[pod].write = None;
    if world.announced != Some(pod) {
        world.restart(pod);
    }
    false
}

fn go(election: &Election, world: &mut World, step: Step) -> bool {
    let next = election.after(world, step);
    if let Some(next) = next {
        *world = next;
    }
    next.is_some()
}
