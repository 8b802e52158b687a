//! Steps that concern the recovery after a crash.

use crate::config::Proof;
use crate::model::ElectionModel;
use crate::model::NO_LATE_CREATE;
use crate::state::Holder;
use crate::state::Phase;
use crate::state::Pod;
use crate::state::Role;
use crate::state::State;

impl ElectionModel {
    /// A candidate reads the Lease, and the pod and the leader record of its holder. With proof that the
    /// holder has ended, it reads the Lease again and acquires it. That is one step: the Lease does not
    /// change in between, or the proof is not valid any more.
    pub(crate) fn read_pod(&self, state: &mut State, pod: Pod) -> bool {
        let replica = &state.replicas[pod];
        if replica.role.leads() || replica.call.is_some() {
            return false;
        }
        let Some(lease) = state.lease else { return false };
        if self.config.proves_record && !lease.is_recorded {
            return false;
        }
        let has_proof = match (self.config.proof, lease.holder) {
            (Proof::Nothing, _) | (_, Holder::None) | (Proof::Message, Holder::Process(_)) => false,
            (_, Holder::Ended) => true,
            (Proof::AnyTermination, Holder::Process(holder)) => {
                state.replicas[holder].has_restarted
            }
            (Proof::MessageOfAnyProcess, Holder::Process(holder)) => holder != pod,
        };
        state.replicas[pod].has_proof |= has_proof;
        has_proof && (!self.config.binds_proof || self.read_lease(state, pod))
    }

    /// A leader whose own writes have ended removes the finalizer of a `ConfigMapSync`, of which
    /// every write in flight creates a copy.
    pub(crate) fn remove_finalizer(&self, state: &mut State, pod: Pod) -> bool {
        let replica = &state.replicas[pod];
        let may_remove =
            matches!(replica.role, Role::Leader { phase: Phase::Writing, keeps_finalizers: 0, .. });
        if !self.checks(NO_LATE_CREATE) || !may_remove || !replica.is_drained() {
            return false;
        }
        for write in state.replicas.iter_mut().filter_map(|replica| replica.write.as_mut()) {
            write.is_before_removal = true;
        }
        true
    }
}
