//! The election as a system of steps.

use stateright::Model;
use stateright::Property;

use crate::guard::Guard;
use crate::recovery;
use crate::rules::FOR_EVER;
use crate::rules::Fence;
use crate::rules::Rules;
use crate::rules::Start;
use crate::rules::Ticks;
use crate::world::Ask;
use crate::world::Holder;
use crate::world::Lease;
use crate::world::Outdated;
use crate::world::Pod;
use crate::world::Role;
use crate::world::Seen;
use crate::world::Stage;
use crate::world::World;
use crate::world::Write;
use crate::world::Wrong;

/// Writes of two terms are not mixed: see the oracle.
pub const ONE_WRITER: &str = "one writer at a time";
/// From everywhere, without further trouble, somebody gets to lead and to write.
pub const SOMEBODY_LEADS: &str = "somebody can lead again";
/// Who leads has the Lease.
pub const LED_BY_ITS_OWN: &str = "a Lease is renewed by its holder";
/// A leader is deposed by a newer one only.
pub const DEPOSED_BY_NEWER: &str = "a leader is deposed by a newer one";
/// The exploration sees a write of one term follow those of another.
pub const TERMS_FOLLOW: &str = "one writes after another";
/// The exploration sees a write under way when the next leader has been announced.
pub const WRITES_COME_LATE: &str = "a write comes too late";

/// A model of the election.
#[derive(Clone, Debug)]
pub struct Election {
    /// How it is protected, and from what.
    pub rules: Rules,
    asked: &'static [&'static str],
    guard: Guard,
    is_symmetric: bool,
}

/// A step. Each may happen whenever it can, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Time passes.
    Tick,
    /// A process looks at the Lease, and asks for what the crate then asks for.
    Look(Pod),
    /// A request for the Lease arrives, and so does its answer.
    Answer(Pod),
    /// A process waits no longer for the answer to its request for the Lease.
    GiveUp(Pod),
    /// A request for the Lease arrives, and nobody waits for the answer.
    Late(Pod),
    /// A leader asks to be announced.
    Announce(Pod),
    /// An announcement arrives.
    Announced(Pod),
    /// A leader waits no longer to be announced.
    ForgetAnnouncement(Pod),
    /// A leader sends a write.
    Send(Pod),
    /// The API server lets a write in.
    LetIn(Pod),
    /// A write is stored.
    Store(Pod),
    /// A leader is asked to stop: it gives the Lease back and ends, and another process begins.
    Retire(Pod),
    /// A process ends, and another begins.
    Restart(Pod),
    /// Somebody deletes the Lease.
    Delete,
    /// Somebody empties the Lease.
    Empty,
}

// === impl Election ===

impl Election {
    /// A model by these rules, of which the properties `asked` are asked.
    pub fn new(rules: Rules, asked: &'static [&'static str]) -> Self {
        Self { guard: Guard::new(&rules), rules, asked, is_symmetric: false }
    }

    /// Takes worlds that differ by the names of the replicas alone for one. A path then swaps their
    /// names on the way.
    pub fn by_any_name(mut self) -> Self {
        self.is_symmetric = true;
        self
    }

    /// The replicas.
    pub fn pods(&self) -> std::ops::Range<Pod> {
        0..self.rules.replicas
    }

    /// Whether there is a fence, and so announcements.
    pub fn has_fence(&self) -> bool {
        self.rules.fence != Fence::Absent
    }

    pub(crate) const fn guard(&self) -> &Guard {
        &self.guard
    }

    pub(crate) fn asks(&self, property: &str) -> bool {
        self.asked.contains(&property)
    }

    /// The world after a step, if it can happen and makes a difference.
    pub fn after(&self, world: &World, step: Step) -> Option<World> {
        let mut next = *world;
        let happens = match step {
            Step::Tick => self.tick(&mut next),
            Step::Look(pod) => self.look(&mut next, pod),
            Step::Answer(pod) => self.answer(&mut next, pod),
            Step::GiveUp(pod) => {
                next.replicas[pod].give_up();
                true
            }
            Step::Late(pod) => self.late(&mut next, pod),
            Step::Announce(pod) => Self::announce(&mut next, pod),
            Step::Announced(pod) => self.announced(&mut next, pod),
            Step::ForgetAnnouncement(pod) => {
                next.replicas[pod].forget_announcement();
                true
            }
            Step::Send(pod) => self.send(&mut next, pod),
            Step::LetIn(pod) => self.let_in(&mut next, pod),
            Step::Store(pod) => Self::store(&mut next, pod),
            Step::Retire(pod) => self.retire(&mut next, pod),
            Step::Restart(pod) => {
                next.restart(pod);
                true
            }
            Step::Delete => self.rules.world.deletes && self.tamper(&mut next, None),
            Step::Empty => {
                let (holder, is_released) = (Holder::Nobody, false);
                let empty = Lease { holder, is_released, age: 0, ahead: 0 };
                self.rules.world.empties && self.tamper(&mut next, Some(empty))
            }
        };
        if !self.rules.world.outlives_its_wait && !matches!(step, Step::Retire(_)) {
            for replica in &mut next.replicas {
                replica.late = replica.late.filter(|request| request.ask == Ask::Release);
            }
        }
        (happens && next != *world).then_some(next)
    }

    fn tamper(&self, world: &mut World, lease: Option<Lease>) -> bool {
        let was_there = world.lease.is_some();
        world.lease = lease;
        self.lease_has_changed(world);
        was_there
    }

    /// Time passes for everybody, as slowly for who leads and as fast for who waits as clocks may
    /// differ: that is the worst, since whatever can happen may also happen later, or never.
    fn tick(&self, world: &mut World) -> bool {
        let older = |age: Ticks, limit: Ticks| age.saturating_add(1).min(limit);
        if let Some(lease) = &mut world.lease
            && !self.rules.has_guard
        {
            lease.age = older(lease.age, self.oldest());
        }
        if self.rules.fence == Fence::Lags {
            world.outdated = Outdated::default();
        }
        for pod in self.pods() {
            let replica = &mut world.replicas[pod];
            if let Some(call) = &mut replica.call
                && self.rules.deadline.is_some()
            {
                call.age = older(call.age, self.rules.leads_for());
            }
            replica.write = replica.write.and_then(|write| self.write_after_tick(write));
            match &mut replica.role {
                Role::Standby { seen: Seen::Same(age) } => {
                    *age = older(*age, self.rules.waits_for());
                }
                Role::Standby { .. } => {}
                Role::Leader { left: 1, .. } => world.restart(pod),
                Role::Leader { left, stage } => {
                    *left -= Ticks::from(*left != FOR_EVER);
                    if *stage == Stage::Settling {
                        *stage = Stage::Writing;
                    }
                }
            }
        }
        true
    }

    fn write_after_tick(&self, write: Write) -> Option<Write> {
        if !write.is_let_in {
            let may_wait = self.rules.world.delays_writes || !self.rules.has_gate;
            return may_wait.then_some(write);
        }
        match write.time {
            FOR_EVER => Some(write),
            1 => None,
            time => Some(Write { time: time - 1, ..write }),
        }
    }

    /// The age of a Lease beyond which no wall clock sees a difference.
    fn oldest(&self) -> Ticks {
        let ahead = self.rules.world.wall_clocks.map(i8::unsigned_abs).into_iter().max();
        self.rules.lease + 2 * ahead.unwrap_or_default() + 1
    }

    /// The same one of all worlds that differ by names alone.
    fn by_one_name(&self, world: World) -> World {
        if !self.is_symmetric {
            return world;
        }
        let swapped = |a: Pod, b: Pod| {
            move |pod: Pod| match pod {
                _ if pod == a => b,
                _ if pod == b => a,
                _ => pod,
            }
        };
        let mut least = world.min(world.renamed(swapped(0, 1)));
        if self.rules.replicas > 2 {
            for with_last in [swapped(0, 2), swapped(1, 2)] {
                let other = world.renamed(with_last);
                least = least.min(other).min(other.renamed(swapped(0, 1)));
            }
        }
        least
    }
}

impl Model for Election {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let mut world = World::default();
        if self.rules.world.start == Start::Led {
            let (holder, ahead) = (Holder::Process(0), self.rules.world.wall_clocks[0]);
            world.lease = Some(Lease { holder, is_released: false, age: 0, ahead });
            for pod in self.pods() {
                world.replicas[pod].role = match pod {
                    0 => Role::Leader { left: self.rules.leads_for(), stage: Stage::Writing },
                    _ => Role::Standby { seen: Seen::Same(0) },
                };
            }
            world.announced = self.has_fence().then_some(0);
            world.terms.begin(0);
        }
        vec![world]
    }

    fn actions(&self, _world: &World, steps: &mut Vec<Step>) {
        steps.extend([Step::Tick, Step::Delete, Step::Empty]);
        for pod in self.pods() {
            steps.extend([
                Step::Look(pod),
                Step::Answer(pod),
                Step::GiveUp(pod),
                Step::Late(pod),
                Step::Announce(pod),
                Step::Announced(pod),
                Step::ForgetAnnouncement(pod),
                Step::Send(pod),
                Step::LetIn(pod),
                Step::Store(pod),
                Step::Retire(pod),
                Step::Restart(pod),
            ]);
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        self.after(world, step).map(|next| self.by_one_name(next))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let all = [
            Property::always(ONE_WRITER, |_, world: &World| !world.terms.are_mixed()),
            Property::always(SOMEBODY_LEADS, recovery::is_sure),
            Property::always(LED_BY_ITS_OWN, |_, world: &World| {
                world.wrong != Some(Wrong::LedByAnothers)
            }),
            Property::always(DEPOSED_BY_NEWER, |_, world: &World| {
                world.wrong != Some(Wrong::DeposedByFormer)
            }),
            Property::sometimes(TERMS_FOLLOW, |_, world: &World| world.terms.one_is_over()),
            Property::sometimes(WRITES_COME_LATE, |election: &Self, world: &World| {
                let is_late =
                    |pod: Pod| world.replicas[pod].write.is_some() && world.terms.have_passed(pod);
                election.pods().any(is_late)
            }),
        ];
        all.into_iter().filter(|property| self.asks(property.name)).collect()
    }
}
