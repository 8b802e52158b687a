//! Steps that concern announcements and writes.

use crate::election::DEPOSED_BY_NEWER;
use crate::election::Election;
use crate::rules::FOR_EVER;
use crate::rules::Ticks;
use crate::world::Announcement;
use crate::world::Pod;
use crate::world::Role;
use crate::world::Stage;
use crate::world::World;
use crate::world::Write;
use crate::world::Wrong;

impl Election {
    /// A leader reads who is announced, makes sure that it still leads, and asks to replace it.
    pub(crate) fn announce(world: &mut World, pod: Pod) -> bool {
        let replica = &mut world.replicas[pod];
        let Role::Leader { stage, .. } = &mut replica.role else { return false };
        let Stage::Won { was_released } = *stage else { return false };
        *stage = Stage::Announcing { was_released };
        replica.announcement = Some(Announcement { is_awaited: true, is_outrun: false });
        true
    }

    pub(crate) fn announced(&self, world: &mut World, pod: Pod) -> bool {
        let replica = &mut world.replicas[pod];
        let Some(announcement) = replica.announcement.take() else { return false };
        if let Role::Leader { stage, .. } = &mut replica.role
            && let Stage::Announcing { was_released } = *stage
            && announcement.is_awaited
        {
            *stage = self.first_stage(was_released);
        }
        if announcement.is_outrun && self.asks(DEPOSED_BY_NEWER) {
            world.wrong = Some(Wrong::DeposedByFormer);
        }
        world.outdated.add(world.announced);
        world.announced = Some(pod);
        self.term_begins(world, pod);
        self.announcement_has_changed(world);
        true
    }

    /// Whoever has read what was announced before is refused, or unaware.
    fn announcement_has_changed(&self, world: &mut World) {
        for replica in &mut world.replicas {
            if let Some(announcement) = &mut replica.announcement {
                announcement.is_outrun = true;
            }
            if self.rules.compares_announcements {
                replica.forget_announcement();
                replica.announcement = None;
            }
        }
    }

    /// A term of the pod begins.
    pub(crate) fn term_begins(&self, world: &mut World, pod: Pod) {
        world.terms.begin(pod);
        let write = &mut world.replicas[pod].write;
        *write = write.filter(|it| !it.is_orphan || self.rules.world.outlives_its_process);
    }

    pub(crate) fn send(&self, world: &mut World, pod: Pod) -> bool {
        let replica = &mut world.replicas[pod];
        let Role::Leader { left, stage: Stage::Writing } = replica.role else { return false };
        let time = self.time_to_store(left);
        replica.write = Some(Write { is_let_in: false, time, is_orphan: false });
        true
    }

    fn time_to_store(&self, left: Ticks) -> Ticks {
        match (self.rules.world.stalls, self.rules.limits_writes) {
            (false, _) => 1,
            (true, true) => left,
            (true, false) => FOR_EVER,
        }
    }

    pub(crate) fn let_in(&self, world: &mut World, pod: Pod) -> bool {
        let Some(write) = &mut world.replicas[pod].write else { return false };
        write.is_let_in = true;
        let is_newest = world.announced.is_none_or(|announced| announced == pod);
        !self.has_fence() || is_newest || world.outdated.let_in(pod)
    }

    pub(crate) fn store(world: &mut World, pod: Pod) -> bool {
        let Some(Write { is_let_in: true, .. }) = world.replicas[pod].write.take() else {
            return false;
        };
        world.terms.write(pod);
        true
    }
}
