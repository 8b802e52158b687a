//! Steps that concern the Lease.

use crate::election::Election;
use crate::election::LED_BY_ITS_OWN;
use crate::guard::Found;
use crate::guard::Shown;
use crate::rules::Creates;
use crate::rules::FOR_EVER;
use crate::rules::Settles;
use crate::world::Ask;
use crate::world::Holder;
use crate::world::Lease;
use crate::world::Pod;
use crate::world::Request;
use crate::world::Role;
use crate::world::Seen;
use crate::world::Stage;
use crate::world::World;
use crate::world::Wrong;

impl Election {
    /// A process reads the Lease, and at once sends what the crate then sends.
    ///
    /// That the answer to the read is slow needs no step of its own: whoever acts later on what was
    /// read earlier does as if its request were slow.
    pub(crate) fn look(&self, world: &mut World, pod: Pod) -> bool {
        let found = Found::by(pod, world.lease);
        let shown = self.shown(world, pod, found);
        let replica = &mut world.replicas[pod];
        if replica.call.is_some() {
            return false;
        }
        if let Role::Standby { seen: seen @ (Seen::Nothing | Seen::Former) } = &mut replica.role {
            *seen = Seen::Same(0);
        }
        let matters = self.rules.settles == Settles::UnlessReleased;
        replica.call = shown.ask(matters && found == Found::Released).map(request);
        if replica.call.is_none() && replica.role.leads() {
            world.restart(pod);
        }
        true
    }

    fn shown(&self, world: &World, pod: Pod, found: Found) -> Shown {
        match (found, self.rules.creates) {
            (Found::Absent, Creates::AtOnce) => return Shown::Absent,
            (Found::Absent, Creates::Never) => return Shown::Held,
            _ => {}
        }
        if self.rules.has_guard {
            let (leads, seen) = match world.replicas[pod].role {
                Role::Leader { .. } => (true, Seen::Nothing),
                Role::Standby { seen } => (false, seen),
            };
            return self.guard().show(leads, seen, found);
        }
        match (found, world.lease) {
            (Found::Absent, _) | (_, None) => Shown::Absent,
            (Found::Ours, _) => Shown::Ours,
            (_, Some(lease)) if self.has_expired(lease, pod) => Shown::Free,
            _ => Shown::Held,
        }
    }

    /// The crate's own judgement, by the wall clocks of two machines.
    fn has_expired(&self, lease: Lease, pod: Pod) -> bool {
        let ahead = i16::from(self.rules.world.wall_clocks[pod]) - i16::from(lease.ahead);
        let lasts = if lease.is_released { 1 } else { self.rules.lease };
        i16::from(lease.age) + ahead > i16::from(lasts)
    }

    pub(crate) fn answer(&self, world: &mut World, pod: Pod) -> bool {
        let Some(request) = world.replicas[pod].call.take() else { return false };
        if self.arrives(world, pod, request) {
            self.is_acquired(world, pod, request);
        }
        true
    }

    pub(crate) fn late(&self, world: &mut World, pod: Pod) -> bool {
        let Some(request) = world.replicas[pod].late.take() else { return false };
        self.arrives(world, pod, request);
        true
    }

    /// A leader that is asked to stop lets its writes end, reads the Lease, asks to release it, and
    /// ends.
    pub(crate) fn retire(&self, world: &mut World, pod: Pod) -> bool {
        let replica = &mut world.replicas[pod];
        let has_lease = replica.role.leads() && Found::by(pod, world.lease) == Found::Ours;
        let writes = matches!(replica.role, Role::Leader { stage: Stage::Writing, .. });
        let is_busy = replica.call.is_some()
            || (self.rules.drains && !replica.is_drained())
            || (self.rules.settles_before_release && !writes);
        if !has_lease || is_busy {
            return false;
        }
        replica.late = Some(request(Ask::Release));
        world.restart(pod);
        true
    }

    /// A request reaches the API server. Whether it changes the Lease.
    fn arrives(&self, world: &mut World, pod: Pod, request: Request) -> bool {
        let holder = if request.is_orphan { Holder::Gone } else { Holder::Process(pod) };
        let ahead = self.rules.world.wall_clocks[pod];
        let new = Lease { holder, is_released: false, age: 0, ahead };
        let changed = match (request.ask, world.lease) {
            (Ask::Create, None) | (Ask::Acquire { .. }, Some(_)) => new,
            (Ask::Renew, Some(lease)) => Lease { holder: lease.holder, ..new },
            (Ask::Release, Some(_)) => Lease { holder: Holder::Nobody, is_released: true, ..new },
            (Ask::Create, Some(_)) | (_, None) => return false,
        };
        world.lease = Some(changed);
        if !self.has_fence() && matches!(request.ask, Ask::Create | Ask::Acquire { .. }) {
            self.term_begins(world, pod);
        }
        self.lease_has_changed(world);
        true
    }

    /// The Lease has changed: whoever has looked did so before.
    pub(crate) fn lease_has_changed(&self, world: &mut World) {
        let is_there = world.lease.is_some();
        for replica in &mut world.replicas {
            if let Role::Standby { seen: seen @ Seen::Same(_) } = &mut replica.role {
                *seen = Seen::Former;
            }
            for request in [&mut replica.call, &mut replica.late] {
                *request = request.filter(|request| self.may_still_count(request.ask, is_there));
            }
        }
    }

    /// Whether a request may change the Lease although that has changed since it was read. With the
    /// guard it is refused whenever it arrives, as is one that creates where there is a Lease,
    /// unless somebody deletes that again.
    fn may_still_count(&self, ask: Ask, is_there: bool) -> bool {
        let races = self.rules.world.races;
        match ask {
            Ask::Create => !is_there || (self.rules.world.deletes && races.creations),
            Ask::Acquire { .. } => !self.rules.has_guard && races.acquisitions,
            Ask::Renew => !self.rules.has_guard && races.renewals,
            Ask::Release => !self.rules.has_guard && races.releases,
        }
    }

    /// The crate returns that the Lease is acquired.
    fn is_acquired(&self, world: &mut World, pod: Pod, request: Request) {
        let is_ours = Found::by(pod, world.lease) == Found::Ours;
        let left = match self.rules.leads_for() {
            FOR_EVER => FOR_EVER,
            leads_for => leads_for - request.age,
        };
        if self.rules.checks_holder && !is_ours {
            if world.replicas[pod].role.leads() {
                world.restart(pod);
            }
            return;
        }
        if !is_ours && self.asks(LED_BY_ITS_OWN) {
            world.wrong = Some(Wrong::LedByAnothers);
        }
        match &mut world.replicas[pod].role {
            Role::Leader { left: before, .. } => *before = left.max(*before),
            Role::Standby { .. } if left == 0 => world.restart(pod),
            role @ Role::Standby { .. } => {
                let was_released = request.ask == Ask::Acquire { was_released: true };
                let won = Stage::Won { was_released };
                let stage = if self.has_fence() { won } else { self.first_stage(was_released) };
                *role = Role::Leader { left, stage };
            }
        }
    }

    /// How a leader begins that need not be announced, or has been.
    pub(crate) fn first_stage(&self, was_released: bool) -> Stage {
        let settles = match self.rules.settles {
            Settles::Always => true,
            Settles::UnlessReleased => !was_released,
            Settles::Never => false,
        };
        if settles { Stage::Settling } else { Stage::Writing }
    }
}

const fn request(ask: Ask) -> Request {
    Request { ask, age: 0, is_orphan: false }
}
