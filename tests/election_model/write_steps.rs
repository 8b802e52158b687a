//! Steps that concern the leader record and writes.

use crate::config::Ticks;
use crate::config::UNLIMITED;
use crate::model::ElectionModel;
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
    pub(crate) fn publish(state: &mut State, pod: Pod) -> bool {
        let replica = &mut state.replicas[pod];
        let Role::Leader { phase, .. } = &mut replica.role else { return false };
        let Phase::Elected { was_released } = *phase else { return false };
        *phase = Phase::Publishing { was_released };
        replica.publication = Some(Publication { is_awaited: true, is_outdated: false });
        true
    }

    pub(crate) fn store_record(&self, state: &mut State, pod: Pod) -> bool {
        let replica = &mut state.replicas[pod];
        let Some(publication) = replica.publication.take() else { return false };
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
        self.begin_term(state, pod);
        self.record_changed(state);
        true
    }

    /// The record has changed: a replacement that was decided on the previous one is refused, or
    /// unaware of the change.
    fn record_changed(&self, state: &mut State) {
        for replica in &mut state.replicas {
            if let Some(publication) = &mut replica.publication {
                publication.is_outdated = true;
            }
            if self.config.compares_records {
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
        let Role::Leader { left, phase: Phase::Writing } = replica.role else { return false };
        let time = self.time_to_store(left);
        replica.write = Some(Write { is_admitted: false, time, is_orphan: false });
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

    pub(crate) fn store_write(state: &mut State, pod: Pod) -> bool {
        let Some(Write { is_admitted: true, .. }) = state.replicas[pod].write.take() else {
            return false;
        };
        state.terms.write(pod);
        true
    }
}
