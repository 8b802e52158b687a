//! Steps that concern the leader record and writes.

use crate::config::Ticks;
use crate::config::UNLIMITED;
use crate::guard::Found;
use crate::model::ElectionModel;
use crate::model::NO_LATE_CREATE;
use crate::model::RECORD_NEVER_REGRESSES;
use crate::state::Phase;
use crate::state::Pod;
use crate::state::Publication;
use crate::state::Role;
use crate::state::State;
use crate::state::Violation;
use crate::state::Write;

impl ElectionModel {
    /// A leader reads the leader record, verifies that it still leads, and requests to replace the
    /// record.
    /// If the record of a writing leader is deleted, it requests to create it again.
    pub(crate) fn publish(&self, state: &mut State, pod: Pod) -> bool {
        let creates = state.recorded.is_none();
        let holds_lease = Found::by(pod, state.lease) == Found::Ours;
        let replica = &mut state.replicas[pod];
        if replica.role.leads() && (!holds_lease || (replica.is_first && !creates)) {
            state.restart(pod);
            return true;
        }
        let Role::Leader { phase, .. } = &mut replica.role else { return false };
        let is_awaited = match *phase {
            Phase::Elected { was_released } => {
                *phase = Phase::Publishing { was_released };
                true
            }
            Phase::Writing if creates && self.has_records() => false,
            _ => return false,
        };
        let (is_outdated, is_by_holder) = (false, holds_lease);
        replica.publication = Some(Publication { creates, is_awaited, is_outdated, is_by_holder });
        true
    }

    pub(crate) fn store_record(&self, state: &mut State, pod: Pod) -> bool {
        let replica = &mut state.replicas[pod];
        let Some(publication) = replica.publication else { return false };
        if self.config.compares_records && publication.creates && state.recorded.is_some() {
            replica.time_out_publication();
            replica.publication = None;
            return true;
        }
        replica.publication = None;
        replica.is_first = false;
        if let Role::Leader { phase, .. } = &mut replica.role
            && let Phase::Publishing { was_released } = *phase
            && publication.is_awaited
        {
            *phase = self.first_phase(was_released);
        }
        if publication.is_outdated && self.checks(RECORD_NEVER_REGRESSES) {
            state.violation = Some(Violation::RecordRegressed);
        }
        state.outdated.add(state.recorded);
        state.recorded = Some(pod);
        if let Some(lease) = &mut state.lease {
            lease.is_recorded = publication.is_by_holder;
        }
        self.begin_term(state, pod);
        self.record_changed(state);
        true
    }

    pub(crate) fn delete_record(&self, state: &mut State) -> bool {
        let may_delete = state.record_deletions < self.config.environment.record_deletions;
        if !may_delete || state.recorded.is_none() {
            return false;
        }
        state.record_deletions += 1;
        state.outdated.add(state.recorded);
        state.recorded = None;
        if let Some(lease) = &mut state.lease {
            lease.is_recorded = false;
        }
        self.record_changed(state);
        true
    }

    /// The record has changed: a replacement that was decided on the previous one is refused, or
    /// unaware of the change. A creation has no precondition: it is refused while the record exists,
    /// but takes effect if a user deletes it.
    fn record_changed(&self, state: &mut State) {
        let may_be_created = state.recorded.is_none()
            || state.record_deletions < self.config.environment.record_deletions;
        for replica in &mut state.replicas {
            let Some(publication) = &mut replica.publication else { continue };
            publication.is_outdated = true;
            if self.config.compares_records && !(publication.creates && may_be_created) {
                replica.time_out_publication();
                replica.publication = None;
            }
        }
    }

    /// A term of `pod` begins.
    pub(crate) fn begin_term(&self, state: &mut State, pod: Pod) {
        state.terms.begin(pod);
        let write = &mut state.replicas[pod].write;
        *write = write.filter(|it| !it.is_orphan || self.config.environment.outlives_process);
    }

    pub(crate) fn send_write(&self, state: &mut State, pod: Pod) -> bool {
        let replica = &mut state.replicas[pod];
        let Role::Leader { left, phase: Phase::Writing, .. } = replica.role else { return false };
        let time = self.time_to_store(left);
        let (is_admitted, is_orphan, is_before_removal) = (false, false, false);
        replica.write = Some(Write { is_admitted, time, is_orphan, is_before_removal });
        true
    }

    fn time_to_store(&self, left: Ticks) -> Ticks {
        match (self.config.environment.stalls, self.config.limits_writes) {
            (false, _) => 1,
            (true, true) => left,
            (true, false) => UNLIMITED,
        }
    }

    pub(crate) fn admit_write(&self, state: &mut State, pod: Pod) -> bool {
        let Some(write) = &mut state.replicas[pod].write else { return false };
        write.is_admitted = true;
        let is_newest = state.recorded.is_none_or(|recorded| recorded == pod);
        !self.has_fence() || is_newest || state.outdated.admit(pod)
    }

    pub(crate) fn store_write(&self, state: &mut State, pod: Pod) -> bool {
        let Some(Write { is_admitted: true, is_before_removal, .. }) =
            state.replicas[pod].write.take()
        else {
            return false;
        };
        state.terms.write(pod);
        if is_before_removal && self.checks(NO_LATE_CREATE) {
            state.violation = Some(Violation::CreatedAfterRemoval);
        }
        true
    }
}
