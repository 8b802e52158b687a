//! A state of the model: the Lease, the replicas and what is in flight between them.
//!
//! It contains only what affects later steps, so that there are finitely many states: ages stop
//! increasing where a larger one makes no difference; a resourceVersion is whether the object has
//! changed since it was read; ended processes are not distinguished.

use crate::config::MAX_REPLICAS;
use crate::config::Ticks;
use crate::oracle::Terms;

/// The pod of a replica. It runs one process after another.
pub type Pod = usize;

/// A state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct State {
    /// The Lease; `None` if it is missing.
    pub lease: Option<Lease>,
    /// The replicas. Those beyond the configured number stay at their default.
    pub replicas: [Replica; MAX_REPLICAS],
    /// The pod in the leader record.
    pub recorded: Option<Pod>,
    /// How often a user has deleted the leader record.
    pub record_deletions: u8,
    /// The previous records that some API server still has.
    pub outdated: OutdatedRecords,
    /// Which pods have led, and which of their terms are over.
    pub terms: Terms,
    /// A violation besides interleaved writes.
    pub violation: Option<Violation>,
}

/// A violation that no write shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Violation {
    /// A process leads although another one holds the Lease.
    LedWithoutLease,
    /// The leader record names an earlier leader again.
    RecordRegressed,
    /// A copy was created after its finalizer was removed.
    CreatedAfterRemoval,
}

/// The Lease, as stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lease {
    /// Its holder.
    pub holder: Holder,
    /// Whether its holder released it.
    pub is_released: bool,
    /// Whether the leader record names its holder: not only the pod, but the process.
    pub is_recorded: bool,
    /// Time since its renewal. With the guard it is never used, and stays 0.
    pub age: Ticks,
    /// How far the wall clock was ahead that its times are from.
    pub ahead: i8,
}

/// The holder of the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Holder {
    /// None: it was released or emptied.
    None,
    /// The running process of the pod.
    Process(Pod),
    /// A process that has ended.
    Ended,
}

/// A replica: its process, and what its pod has in flight, at most one of each kind. An older one
/// is lost when a newer one is sent.
#[expect(clippy::struct_excessive_bools, reason = "each is set independently")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Replica {
    /// What the process does.
    pub role: Role,
    /// Whether the process found no leader record before its next read of the Lease.
    pub found_no_record: bool,
    /// Whether the process created the Lease, or requests to, because it found no leader record. It
    /// ends if it finds one before it has published its own.
    pub is_first: bool,
    /// Whether the process has proof that the holder of the Lease has ended, for its next read.
    pub has_proof: bool,
    /// Whether a proof was why the process last found the Lease free.
    pub used_proof: bool,
    /// Whether an earlier process of the pod has ended.
    pub has_restarted: bool,
    /// The request for the Lease that the process waits for.
    pub call: Option<Request>,
    /// A request for the Lease that no process waits for.
    pub late: Option<Request>,
    /// A publication of the leader record.
    pub publication: Option<Publication>,
    /// A write of a copy.
    pub write: Option<Write>,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// It waits for the Lease to be free.
    Standby {
        /// What it has observed of the Lease.
        observation: Observation,
    },
    /// It leads.
    Leader {
        /// Time until the lead ends, unless renewed.
        left: Ticks,
        /// Its progress.
        phase: Phase,
        /// Time until it may remove a finalizer.
        keeps_finalizers: Ticks,
    },
}

/// What a standby has observed of the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Observation {
    /// Nothing yet.
    Nothing,
    /// The record before its last change, long ago.
    Previous,
    /// The present record, or that the Lease is missing, for this long.
    Unchanged(Ticks),
}

/// The progress of a leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Phase {
    /// It holds the Lease, and has not published the leader record.
    Elected {
        /// Whether the previous leader had released the Lease.
        was_released: bool,
    },
    /// It waits for the response to its publication.
    Publishing {
        /// Whether the previous leader had released the Lease.
        was_released: bool,
    },
    /// The record is published; it waits for a tick.
    Settling,
    /// It writes.
    Writing,
}

/// A request in flight that changes the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Request {
    /// What it does.
    pub operation: Operation,
    /// Time since it was sent, while its sender waits.
    pub age: Ticks,
    /// Whether the process that sent it has ended.
    pub is_orphan: bool,
}

/// What a request does to the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Creates it, held by the sender.
    Create,
    /// Makes the sender its holder.
    Acquire {
        /// Whether it had been released.
        was_released: bool,
    },
    /// Renews it.
    Renew,
    /// Releases it.
    Release,
}

/// A publication of the leader record in flight.
#[expect(clippy::struct_excessive_bools, reason = "each is set independently")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Publication {
    /// Whether it creates the record. Otherwise it replaces the record that its sender read.
    pub creates: bool,
    /// Whether its sender waits for the response.
    pub is_awaited: bool,
    /// Whether the record has changed since its sender read it.
    pub is_outdated: bool,
    /// Whether its sender is the holder of the Lease.
    pub is_by_holder: bool,
}

/// A write in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Write {
    /// Whether the API server has admitted it.
    pub is_admitted: bool,
    /// It is stored within this time after its admission, or never.
    pub time: Ticks,
    /// Whether the process that sent it has ended.
    pub is_orphan: bool,
    /// Whether a finalizer has been removed since it was sent.
    pub is_before_removal: bool,
}

/// The set of records before the present one that some API server still has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OutdatedRecords(u8);

// === impl OutdatedRecords ===

impl OutdatedRecords {
    /// Adds a record; `None`: the state without one.
    pub fn add(&mut self, record: Option<Pod>) {
        self.0 |= bit(record);
    }

    /// Whether an API server with one of them admits a write of `pod`.
    pub fn admit(self, pod: Pod) -> bool {
        self.0 & (bit(Some(pod)) | bit(None)) != 0
    }

    /// Whether an API server with one of them refuses a write of `pod`.
    pub fn refuse(self, pod: Pod) -> bool {
        self.0 & !(bit(Some(pod)) | bit(None)) != 0
    }

    /// The same, with the pods renamed.
    pub fn renamed(self, name: impl Fn(Pod) -> Pod) -> Self {
        let mut renamed = Self(self.0 & bit(None));
        for pod in (0..MAX_REPLICAS).filter(|pod| self.0 & bit(Some(*pod)) != 0) {
            renamed.add(Some(name(pod)));
        }
        renamed
    }
}

fn bit(record: Option<Pod>) -> u8 {
    record.map_or(1, |pod| 2 << pod)
}

// === impl Role ===

impl Default for Role {
    fn default() -> Self {
        Self::Standby { observation: Observation::Nothing }
    }
}

impl Role {
    /// Whether it leads.
    pub const fn leads(self) -> bool {
        matches!(self, Self::Leader { .. })
    }
}

// === impl Replica ===

impl Replica {
    /// Whether nothing of this process but requests for the Lease is in flight.
    pub fn is_drained(&self) -> bool {
        self.write.is_none_or(|write| write.is_orphan) && self.publication.is_none()
    }

    /// The process stops waiting for its request for the Lease.
    pub fn time_out_call(&mut self) {
        if let Some(request) = self.call.take() {
            self.late = Some(Request { age: 0, ..request });
        }
    }

    /// The process stops waiting for its publication.
    pub fn time_out_publication(&mut self) {
        if let Some(publication) = &mut self.publication {
            publication.is_awaited = false;
        }
        if let Role::Leader { phase, .. } = &mut self.role
            && let Phase::Publishing { was_released } = *phase
        {
            *phase = Phase::Elected { was_released };
        }
    }

    /// The process ends, and another starts in the same pod. What is in flight stays in flight.
    pub fn restart(&mut self) {
        self.time_out_call();
        self.time_out_publication();
        self.role = Role::default();
        self.has_restarted = true;
        self.found_no_record = false;
        self.is_first = false;
        self.has_proof = false;
        self.used_proof = false;
        if let Some(request) = &mut self.late {
            request.is_orphan = true;
        }
        if let Some(write) = &mut self.write {
            write.is_orphan = true;
        }
    }
}

// === impl State ===

impl State {
    /// The process of `pod` ends, and another starts, which does not hold the Lease of the first.
    pub fn restart(&mut self, pod: Pod) {
        self.replicas[pod].restart();
        if let Some(lease) = &mut self.lease
            && lease.holder == Holder::Process(pod)
        {
            lease.holder = Holder::Ended;
        }
    }

    /// The Lease has another holder than before, or none.
    pub fn holder_changed(&mut self) {
        for publication in self.replicas.iter_mut().filter_map(|it| it.publication.as_mut()) {
            publication.is_by_holder = false;
        }
    }

    /// The same state, with the pods renamed.
    pub fn renamed(&self, name: impl Fn(Pod) -> Pod + Copy) -> Self {
        let mut renamed = *self;
        for pod in 0..MAX_REPLICAS {
            renamed.replicas[name(pod)] = self.replicas[pod];
        }
        if let Some(lease) = &mut renamed.lease
            && let Holder::Process(pod) = lease.holder
        {
            lease.holder = Holder::Process(name(pod));
        }
        renamed.recorded = self.recorded.map(name);
        renamed.outdated = self.outdated.renamed(name);
        renamed.terms = self.terms.renamed(name);
        renamed
    }
}
