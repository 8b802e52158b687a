//! The election as a transition system.

use stateright::Model;
use stateright::Property;

use crate::config::Config;
use crate::config::Fence;
use crate::config::Proof;
use crate::config::Start;
use crate::config::Ticks;
use crate::config::UNLIMITED;
use crate::guard::Guard;
use crate::recovery;
use crate::state::Holder;
use crate::state::Lease;
use crate::state::Observation;
use crate::state::Operation;
use crate::state::OutdatedRecords;
use crate::state::Phase;
use crate::state::Pod;
use crate::state::Role;
use crate::state::State;
use crate::state::Violation;
use crate::state::Write;

/// Writes of two terms are never interleaved: see the oracle.
pub const ONE_WRITER: &str = "one writer at a time";
/// From every state, without further faults, a replica leads and writes again.
pub const RECOVERS: &str = "a replica can lead again";
/// A leader holds the Lease.
pub const LEADER_HOLDS_LEASE: &str = "a leader holds the Lease";
/// The leader record is only replaced by a newer leader.
pub const RECORD_NEVER_REGRESSES: &str = "the leader record never names an earlier leader again";
/// No write creates a copy of a `ConfigMapSync` whose finalizer was removed after the write was sent.
pub const NO_LATE_CREATE: &str = "no copy is created after the finalizer was removed";
/// The exploration reaches a write of one term after those of another.
pub const TERMS_CHANGE: &str = "writes of one term follow those of another";
/// The exploration reaches a write in flight while the next leader's record is published.
pub const WRITES_ARE_LATE: &str = "a write is in flight when the next record is published";

/// A model of the election.
#[derive(Clone, Debug)]
pub struct ElectionModel {
    /// Its protections and faults.
    pub config: Config,
    properties: &'static [&'static str],
    guard: Guard,
    is_symmetric: bool,
}

/// A step. A step that is possible may be taken at any time, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Time passes.
    Tick,
    /// A candidate reads the leader record.
    ReadRecord(Pod),
    /// A candidate reads the pod of the holder of the Lease, and finds that the holder has ended.
    ReadPod(Pod),
    /// A process reads the Lease, and sends the request that the crate sends for it.
    ReadLease(Pod),
    /// A request for the Lease arrives, and its sender receives the response.
    Respond(Pod),
    /// A process stops waiting for its request for the Lease.
    TimeOut(Pod),
    /// A request for the Lease arrives, for which no process waits.
    ArriveLate(Pod),
    /// A leader requests to publish its record.
    Publish(Pod),
    /// A publication arrives.
    StoreRecord(Pod),
    /// A leader stops waiting for its publication.
    TimeOutPublication(Pod),
    /// A leader sends a write.
    SendWrite(Pod),
    /// The API server admits a write.
    AdmitWrite(Pod),
    /// A write is stored.
    StoreWrite(Pod),
    /// A leader removes a finalizer.
    RemoveFinalizer(Pod),
    /// A leader releases the Lease and ends, and another process starts.
    Release(Pod),
    /// A process ends, and another starts.
    Restart(Pod),
    /// A user deletes the Lease.
    DeleteLease,
    /// A user deletes the leader record.
    DeleteRecord,
    /// A user empties the Lease.
    EmptyLease,
}

// === impl ElectionModel ===

impl ElectionModel {
    /// A model with this configuration, of which these properties are checked.
    pub fn new(config: Config, properties: &'static [&'static str]) -> Self {
        Self { guard: Guard::new(&config), config, properties, is_symmetric: false }
    }

    /// Identifies states that differ only in the numbering of the replicas. The numbers can then
    /// change along a path.
    pub fn with_symmetry(mut self) -> Self {
        self.is_symmetric = true;
        self
    }

    /// The replicas.
    pub fn pods(&self) -> std::ops::Range<Pod> {
        0..self.config.replicas
    }

    /// Whether there are leader records.
    pub fn has_records(&self) -> bool {
        self.config.fence != Fence::Absent
    }

    /// Whether the API server compares the writer with the leader record.
    pub fn has_fence(&self) -> bool {
        self.has_records() && self.config.fence != Fence::Ignored
    }

    pub(crate) const fn guard(&self) -> &Guard {
        &self.guard
    }

    pub(crate) fn checks(&self, property: &str) -> bool {
        self.properties.contains(&property)
    }

    /// The state after a step; `None` if the step is impossible or changes nothing.
    pub fn after(&self, state: &State, step: Step) -> Option<State> {
        let mut next = *state;
        let happens = match step {
            Step::Tick => self.tick(&mut next),
            Step::ReadRecord(pod) => self.read_record(&mut next, pod),
            Step::ReadPod(pod) => self.read_pod(&mut next, pod),
            Step::ReadLease(pod) => self.read_lease(&mut next, pod),
            Step::Respond(pod) => self.respond(&mut next, pod),
            Step::TimeOut(pod) => {
                next.replicas[pod].time_out_call();
                true
            }
            Step::ArriveLate(pod) => self.arrive_late(&mut next, pod),
            Step::Publish(pod) => self.publish(&mut next, pod),
            Step::StoreRecord(pod) => self.store_record(&mut next, pod),
            Step::TimeOutPublication(pod) => {
                next.replicas[pod].time_out_publication();
                true
            }
            Step::SendWrite(pod) => self.send_write(&mut next, pod),
            Step::AdmitWrite(pod) => self.admit_write(&mut next, pod),
            Step::StoreWrite(pod) => self.store_write(&mut next, pod),
            Step::RemoveFinalizer(pod) => self.remove_finalizer(&mut next, pod),
            Step::Release(pod) => self.release(&mut next, pod),
            Step::Restart(pod) => {
                next.restart(pod);
                true
            }
            Step::DeleteLease => self.config.environment.deletes && self.tamper(&mut next, None),
            Step::DeleteRecord => self.delete_record(&mut next),
            Step::EmptyLease => {
                let (holder, is_released) = (Holder::None, false);
                let empty = Lease { holder, is_released, is_recorded: false, age: 0, ahead: 0 };
                self.config.environment.empties && self.tamper(&mut next, Some(empty))
            }
        };
        if !self.config.environment.late_lease_requests && !matches!(step, Step::Release(_)) {
            for replica in &mut next.replicas {
                replica.late =
                    replica.late.filter(|request| request.operation == Operation::Release);
            }
        }
        if self.config.proof != Proof::AnyTermination {
            for replica in &mut next.replicas {
                replica.has_restarted = false;
            }
        }
        (happens && next != *state).then_some(next)
    }

    fn tamper(&self, state: &mut State, lease: Option<Lease>) -> bool {
        let existed = state.lease.is_some();
        state.lease = lease;
        state.holder_changed();
        self.lease_changed(state);
        existed
    }

    /// Time passes: for a leader as slowly, and for a standby as fast, as the drift of clocks
    /// permits. This is the worst case, since every other step may also happen later, or never.
    fn tick(&self, state: &mut State) -> bool {
        let older = |age: Ticks, limit: Ticks| age.saturating_add(1).min(limit);
        if let Some(lease) = &mut state.lease
            && !self.config.has_guard
        {
            lease.age = older(lease.age, self.max_age());
        }
        if self.config.fence == Fence::Lags {
            state.outdated = OutdatedRecords::default();
        }
        for pod in self.pods() {
            let replica = &mut state.replicas[pod];
            if let Some(call) = &mut replica.call
                && self.config.deadline.is_some()
            {
                call.age = older(call.age, self.config.leads_for());
            }
            replica.write = replica.write.and_then(|write| self.write_after_tick(write));
            match &mut replica.role {
                Role::Standby { observation: Observation::Unchanged(age) } => {
                    *age = older(*age, self.config.waits_for());
                }
                Role::Standby { .. } => {}
                Role::Leader { left: 1, .. } => state.restart(pod),
                Role::Leader { left, phase, keeps_finalizers } => {
                    *left -= Ticks::from(*left != UNLIMITED);
                    *keeps_finalizers = keeps_finalizers.saturating_sub(1);
                    if *phase == Phase::Settling {
                        *phase = Phase::Writing;
                    }
                }
            }
        }
        true
    }

    fn write_after_tick(&self, write: Write) -> Option<Write> {
        if !write.is_admitted {
            let may_wait = self.config.environment.delays_writes || !self.config.has_gate;
            return may_wait.then_some(write);
        }
        match write.time {
            UNLIMITED => Some(write),
            1 => None,
            time => Some(Write { time: time - 1, ..write }),
        }
    }

    /// The age of a Lease from which on all wall clocks agree.
    fn max_age(&self) -> Ticks {
        let ahead = self.config.environment.wall_clocks.map(i8::unsigned_abs).into_iter().max();
        self.config.lease + 2 * ahead.unwrap_or_default() + 1
    }

    /// The representative of all states that differ only in the numbering of the replicas.
    fn canonical(&self, state: State) -> State {
        if !self.is_symmetric {
            return state;
        }
        let swapped = |a: Pod, b: Pod| {
            move |pod: Pod| match pod {
                _ if pod == a => b,
                _ if pod == b => a,
                _ => pod,
            }
        };
        let mut least = state.min(state.renamed(swapped(0, 1)));
        if self.config.replicas > 2 {
            for with_last in [swapped(0, 2), swapped(1, 2)] {
                let other = state.renamed(with_last);
                least = least.min(other).min(other.renamed(swapped(0, 1)));
            }
        }
        least
    }
}

impl Model for ElectionModel {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let mut state = State::default();
        if self.config.environment.start == Start::Leader {
            let (holder, ahead) = (Holder::Process(0), self.config.environment.wall_clocks[0]);
            let is_recorded = self.has_records();
            state.lease = Some(Lease { holder, is_released: false, is_recorded, age: 0, ahead });
            for pod in self.pods() {
                state.replicas[pod].role = match pod {
                    0 => {
                        let (left, phase) = (self.config.leads_for(), Phase::Writing);
                        Role::Leader { left, phase, keeps_finalizers: 0 }
                    }
                    _ => Role::Standby { observation: Observation::Unchanged(0) },
                };
            }
            state.recorded = self.has_records().then_some(0);
            state.terms.begin(0);
        }
        vec![state]
    }

    fn actions(&self, _state: &State, steps: &mut Vec<Step>) {
        steps.extend([Step::Tick, Step::DeleteLease, Step::DeleteRecord, Step::EmptyLease]);
        for pod in self.pods() {
            steps.extend([
                Step::ReadRecord(pod),
                Step::ReadPod(pod),
                Step::ReadLease(pod),
                Step::Respond(pod),
                Step::TimeOut(pod),
                Step::ArriveLate(pod),
                Step::Publish(pod),
                Step::StoreRecord(pod),
                Step::TimeOutPublication(pod),
                Step::SendWrite(pod),
                Step::AdmitWrite(pod),
                Step::StoreWrite(pod),
                Step::RemoveFinalizer(pod),
                Step::Release(pod),
                Step::Restart(pod),
            ]);
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        self.after(state, step).map(|next| self.canonical(next))
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let all = [
            Property::always(ONE_WRITER, |_, state: &State| !state.terms.are_interleaved()),
            Property::always(RECOVERS, recovery::can_recover),
            Property::always(LEADER_HOLDS_LEASE, |_, state: &State| {
                state.violation != Some(Violation::LedWithoutLease)
            }),
            Property::always(RECORD_NEVER_REGRESSES, |_, state: &State| {
                state.violation != Some(Violation::RecordRegressed)
            }),
            Property::always(NO_LATE_CREATE, |_, state: &State| {
                state.violation != Some(Violation::CreatedAfterRemoval)
            }),
            Property::sometimes(TERMS_CHANGE, |_, state: &State| state.terms.any_is_over()),
            Property::sometimes(WRITES_ARE_LATE, |model: &Self, state: &State| {
                let is_late = |pod: Pod| {
                    state.replicas[pod].write.is_some() && state.terms.are_superseded(pod)
                };
                model.pods().any(is_late)
            }),
        ];
        all.into_iter().filter(|property| self.checks(property.name)).collect()
    }
}
