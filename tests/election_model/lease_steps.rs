//! Steps that concern the Lease.

use std::mem::take;

use configmapsync::election::lease_guard;

use crate::config::Creates;
use crate::config::Settles;
use crate::config::UNLIMITED;
use crate::guard::Found;
use crate::guard::LeaseView;
use crate::model::ElectionModel;
use crate::model::LEADER_HOLDS_LEASE;
use crate::model::NO_LATE_CREATE;
use crate::state::Holder;
use crate::state::Lease;
use crate::state::Observation;
use crate::state::Operation;
use crate::state::Phase;
use crate::state::Pod;
use crate::state::Request;
use crate::state::Role;
use crate::state::State;
use crate::state::Violation;

impl ElectionModel {
    /// A candidate reads the leader record: without one, it may create the Lease if its next read finds
    /// none. The operator also demands that it has never found a Lease.
    pub(crate) fn read_record(&self, state: &mut State, pod: Pod) -> bool {
        let replica = &mut state.replicas[pod];
        let is_read = self.config.creates == Creates::FirstImmediately && self.has_records();
        replica.found_no_record =
            is_read && !replica.role.leads() && replica.call.is_none() && state.recorded.is_none();
        true
    }

    /// A process reads the Lease, and sends the request that the crate sends for it.
    ///
    /// A slow response to the read needs no step of its own: acting later on an earlier read is
    /// equivalent to a slow request.
    pub(crate) fn read_lease(&self, state: &mut State, pod: Pod) -> bool {
        let found = Found::by(pod, state.lease);
        let view = self.view(state, pod, found);
        let replica = &mut state.replicas[pod];
        if replica.call.is_some() {
            return false;
        }
        let has_proof = take(&mut replica.has_proof);
        if matches!(view, LeaseView::Free | LeaseView::Missing) && self.checks(NO_LATE_CREATE) {
            replica.used_proof = has_proof;
        }
        if let Role::Standby {
            observation: observation @ (Observation::Nothing | Observation::Previous),
        } = &mut replica.role
        {
            *observation = Observation::Unchanged(0);
        }
        let matters = self.config.settles == Settles::UnlessReleased;
        let found_no_record = take(&mut replica.found_no_record);
        if !replica.role.leads() {
            // A request to create the Lease may have succeeded without a response.
            replica.is_first = match view {
                LeaseView::Missing => replica.is_first || found_no_record,
                LeaseView::Ours | LeaseView::Held => replica.is_first,
                LeaseView::Free => false,
            };
        }
        replica.call = view.operation(matters && found == Found::Released).map(request);
        if replica.call.is_none() && replica.role.leads() {
            state.restart(pod);
        }
        true
    }

    fn view(&self, state: &State, pod: Pod, found: Found) -> LeaseView {
        match (found, self.config.creates) {
            (Found::Missing, Creates::Immediately) => return LeaseView::Missing,
            (Found::Missing, Creates::Never) => return LeaseView::Held,
            (Found::Missing, Creates::FirstImmediately) if state.replicas[pod].found_no_record => {
                return LeaseView::Missing;
            }
            _ => {}
        }
        if self.config.has_guard {
            let has_proof = state.replicas[pod].has_proof;
            let (role, observation) = match state.replicas[pod].role {
                Role::Leader { .. } => (lease_guard::Role::Leader, Observation::Nothing),
                Role::Standby { observation } if has_proof => {
                    (lease_guard::Role::Successor, observation)
                }
                Role::Standby { observation } => (lease_guard::Role::Candidate, observation),
            };
            return self.guard().view(role, observation, found);
        }
        match (found, state.lease) {
            (Found::Missing, _) | (_, None) => LeaseView::Missing,
            (Found::Ours, _) => LeaseView::Ours,
            (_, Some(lease)) if self.is_expired_by_wall_clock(lease, pod) => LeaseView::Free,
            _ => LeaseView::Held,
        }
    }

    /// The crate's own computation, from the wall clocks of two machines.
    fn is_expired_by_wall_clock(&self, lease: Lease, pod: Pod) -> bool {
        let ahead = i16::from(self.config.environment.wall_clocks[pod]) - i16::from(lease.ahead);
        let lasts = if lease.is_released { 1 } else { self.config.lease };
        i16::from(lease.age) + ahead > i16::from(lasts)
    }

    pub(crate) fn respond(&self, state: &mut State, pod: Pod) -> bool {
        let Some(request) = state.replicas[pod].call.take() else { return false };
        if self.apply(state, pod, request) {
            self.report_acquired(state, pod, request);
        }
        true
    }

    pub(crate) fn arrive_late(&self, state: &mut State, pod: Pod) -> bool {
        let Some(request) = state.replicas[pod].late.take() else { return false };
        self.apply(state, pod, request);
        true
    }

    /// A leader that stops waits for its writes, reads the Lease, requests to release it, and ends. It
    /// does not release it before its record is published.
    pub(crate) fn release(&self, state: &mut State, pod: Pod) -> bool {
        let replica = &mut state.replicas[pod];
        let has_lease = replica.role.leads() && Found::by(pod, state.lease) == Found::Ours;
        let writes = matches!(replica.role, Role::Leader { phase: Phase::Writing, .. });
        let keeps_lease = self.config.keeps_lease
            && matches!(replica.role, Role::Leader { keeps_finalizers: 1.., .. });
        let is_published =
            matches!(replica.role, Role::Leader { phase: Phase::Settling | Phase::Writing, .. });
        let is_busy = !is_published
            || keeps_lease
            || replica.call.is_some()
            || (self.config.drains && !replica.is_drained())
            || (self.config.settles_before_release && !writes);
        if !has_lease || is_busy {
            return false;
        }
        replica.late = Some(request(Operation::Release));
        state.restart(pod);
        true
    }

    /// A request reaches the API server. Returns whether it changes the Lease.
    fn apply(&self, state: &mut State, pod: Pod, request: Request) -> bool {
        let holder = if request.is_orphan { Holder::Ended } else { Holder::Process(pod) };
        let ahead = self.config.environment.wall_clocks[pod];
        let new = Lease { holder, is_released: false, is_recorded: false, age: 0, ahead };
        let changed = match (request.operation, state.lease) {
            (Operation::Create, None) | (Operation::Acquire { .. }, Some(_)) => new,
            (Operation::Renew, Some(Lease { holder, is_recorded, .. })) => {
                Lease { holder, is_recorded, ..new }
            }
            (Operation::Release, Some(_)) => {
                Lease { holder: Holder::None, is_released: true, ..new }
            }
            (Operation::Create, Some(_)) | (_, None) => return false,
        };
        state.lease = Some(changed);
        if request.operation != Operation::Renew {
            state.holder_changed();
        }
        if !self.has_records()
            && matches!(request.operation, Operation::Create | Operation::Acquire { .. })
        {
            self.begin_term(state, pod);
        }
        self.lease_changed(state);
        true
    }

    /// The Lease has changed: all earlier observations and reads are outdated.
    pub(crate) fn lease_changed(&self, state: &mut State) {
        let exists = state.lease.is_some();
        for replica in &mut state.replicas {
            replica.has_proof &= !self.config.binds_proof;
            if let Role::Standby { observation: observation @ Observation::Unchanged(_) } =
                &mut replica.role
            {
                *observation = Observation::Previous;
            }
            for request in [&mut replica.call, &mut replica.late] {
                *request =
                    request.filter(|request| self.may_still_apply(request.operation, exists));
            }
        }
    }

    /// Whether a request may still change the Lease after the Lease has changed. With the guard,
    /// its precondition fails. A request to create the Lease fails while the Lease exists, but
    /// takes effect if a user deletes it again.
    fn may_still_apply(&self, operation: Operation, exists: bool) -> bool {
        let races = self.config.environment.races;
        match operation {
            Operation::Create => !exists || (self.config.environment.deletes && races.creations),
            Operation::Acquire { .. } => !self.config.has_guard && races.acquisitions,
            Operation::Renew => !self.config.has_guard && races.renewals,
            Operation::Release => !self.config.has_guard && races.releases,
        }
    }

    /// The crate returns that the Lease is acquired.
    fn report_acquired(&self, state: &mut State, pod: Pod, request: Request) {
        let is_ours = Found::by(pod, state.lease) == Found::Ours;
        let left = match self.config.leads_for() {
            UNLIMITED => UNLIMITED,
            leads_for => leads_for - request.age,
        };
        if self.config.checks_holder && !is_ours {
            if state.replicas[pod].role.leads() {
                state.restart(pod);
            }
            return;
        }
        if !is_ours && self.checks(LEADER_HOLDS_LEASE) {
            state.violation = Some(Violation::LedWithoutLease);
        }
        let keeps_finalizers =
            if state.replicas[pod].used_proof { self.config.keeps_finalizers } else { 0 };
        match &mut state.replicas[pod].role {
            Role::Leader { left: before, .. } => *before = left.max(*before),
            Role::Standby { .. } if left == 0 => state.restart(pod),
            role @ Role::Standby { .. } => {
                let was_released = request.operation == Operation::Acquire { was_released: true };
                let won = Phase::Elected { was_released };
                let phase = if self.has_records() { won } else { self.first_phase(was_released) };
                *role = Role::Leader { left, phase, keeps_finalizers };
            }
        }
    }

    /// The first phase of a leader whose record is published, or needs not be.
    pub(crate) fn first_phase(&self, was_released: bool) -> Phase {
        let settles = match self.config.settles {
            Settles::Always => true,
            Settles::UnlessReleased => !was_released,
            Settles::Never => false,
        };
        if settles { Phase::Settling } else { Phase::Writing }
    }
}

const fn request(operation: Operation) -> Request {
    Request { operation, age: 0, is_orphan: false }
}
