//! The parameters of the model: which protections exist, and which faults occur.
//!
//! Durations are in ticks, of which only the order matters. The lease duration exceeds the renew
//! deadline by more than the drift of two clocks. A tick is longer than a published record takes to
//! reach every API server, and than an admitted write takes to be stored.

/// A duration.
pub type Ticks = u8;

/// No limit.
pub const UNLIMITED: Ticks = Ticks::MAX;

/// The largest number of replicas.
pub const MAX_REPLICAS: usize = 3;

/// The protections of the election, and the faults in its environment.
#[expect(clippy::struct_excessive_bools, reason = "each is set independently")]
#[derive(Clone, Debug)]
pub struct Config {
    /// Number of replicas.
    pub replicas: usize,
    /// How long a Lease is valid without renewal.
    pub lease: Ticks,
    /// How long a leader continues after it last requested a renewal; `None`: without limit.
    pub deadline: Option<Ticks>,
    /// Whether the Lease is read and patched through the guard.
    pub has_guard: bool,
    /// When a missing Lease is created.
    pub creates: Creates,
    /// What counts as proof that the holder of a Lease has ended, so that it is acquired at once.
    pub proof: Proof,
    /// Whether such a holder must also have published the leader record.
    pub proves_record: bool,
    /// Whether a proof is valid only while the Lease does not change.
    pub binds_proof: bool,
    /// After a proof, how long a new leader removes no finalizer.
    pub keeps_finalizers: Ticks,
    /// Whether a leader releases the Lease only after that time.
    pub keeps_lease: bool,
    /// Whether a process leads only if the response names it as the holder.
    pub checks_holder: bool,
    /// Whether the lead is checked as each write is sent, and not only earlier.
    pub has_gate: bool,
    /// Whether a write carries a timeout that ends before the lead.
    pub limits_writes: bool,
    /// What the API server verifies.
    pub fence: Fence,
    /// Whether the leader record is replaced only if it has not changed since it was read.
    pub compares_records: bool,
    /// When a new leader settles before its first write.
    pub settles: Settles,
    /// Whether a leader releases the Lease only when none of its writes is in flight.
    pub drains: bool,
    /// Whether a leader releases the Lease only after it has settled.
    pub settles_before_release: bool,
    /// The faults that occur.
    pub environment: Environment,
}

/// When a missing Lease is created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creates {
    /// After it has been missing for a lease duration.
    AfterDuration,
    /// Immediately by a candidate that has found no leader record just before. Otherwise after it has
    /// been missing for a lease duration.
    FirstImmediately,
    /// Immediately, as the crate does.
    Immediately,
    /// Never.
    Never,
}

/// What counts as proof that the holder of a Lease has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Nothing: a Lease is acquired after its duration.
    Nothing,
    /// The message of a terminated container is the holder identity, written by the first process of the
    /// container.
    Message,
    /// A container of the pod has terminated, whatever its message: in this or an earlier pod of this
    /// name, an earlier process of the container, or another container.
    AnyTermination,
    /// The message of a terminated container is the holder identity, written by any process that runs
    /// in it. Where a pod shares its process namespace, such a process outlives the container.
    MessageOfAnyProcess,
}

/// What the API server verifies before it admits a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// Nothing. There are no leader records; a term begins when a process acquires the Lease.
    Absent,
    /// Nothing, as without the policy. There are leader records.
    Ignored,
    /// That the leader record names the writer. For less than a tick after a publication, some API
    /// server still has the previous record.
    Lags,
    /// The same, but an API server may keep an outdated record forever.
    NeverUpdates,
}

/// When a new leader waits for a tick between its publication and its first write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settles {
    /// Always.
    Always,
    /// Unless the previous leader released the Lease.
    UnlessReleased,
    /// Never.
    Never,
}

/// The faults beyond those that always occur: a process is delayed or restarted at any time, a
/// request or response is lost, a request for the Lease is late.
#[expect(clippy::struct_excessive_bools, reason = "each is set independently")]
#[derive(Clone, Debug)]
pub struct Environment {
    /// The largest difference of two clocks over a lease duration.
    pub drift: Ticks,
    /// How far the wall clock of each replica is ahead.
    pub wall_clocks: [i8; MAX_REPLICAS],
    /// Whether a write may be in transit for any duration: in the network, or in a process that was
    /// suspended between checking the lead and sending. Otherwise it arrives in less than a tick,
    /// or never.
    pub delays_writes: bool,
    /// Whether an API server may take the whole timeout between admitting and storing a write.
    /// Otherwise it stores the write in less than a tick, or never.
    pub stalls: bool,
    /// Whether a request for the Lease may arrive after its sender has timed out.
    pub late_lease_requests: bool,
    /// Whether a write of an ended process may arrive when the next process in its pod begins a
    /// term.
    pub outlives_process: bool,
    /// Which requests for the Lease may arrive after the Lease has changed.
    pub races: Races,
    /// Whether a user deletes the Lease.
    pub deletes: bool,
    /// How often a user deletes the leader record.
    pub record_deletions: u8,
    /// Whether a user empties the Lease.
    pub empties: bool,
    /// The initial state.
    pub start: Start,
}

/// Which requests for the Lease may arrive and take effect after the Lease has changed since it was
/// read. With the guard, the last three never do.
#[expect(clippy::struct_excessive_bools, reason = "each is set independently")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Races {
    /// Those that create it. They have no precondition: they take effect if another candidate has
    /// created the Lease and a user has deleted it again.
    pub creations: bool,
    /// Those that renew it.
    pub renewals: bool,
    /// Those that acquire it.
    pub acquisitions: bool,
    /// Those that release it.
    pub releases: bool,
}

/// The initial state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// No replica has ever led.
    NoLeader,
    /// The first replica leads, writes and has just renewed; the others have observed it.
    Leader,
}

// === impl Races ===

impl Races {
    /// All of them.
    pub const ALL: Self =
        Self { creations: true, renewals: true, acquisitions: true, releases: true };
    /// None of them.
    pub const NONE: Self =
        Self { creations: false, renewals: false, acquisitions: false, releases: false };
}

// === impl Config ===

impl Config {
    /// The operator, with every fault that it tolerates.
    pub const fn operator(replicas: usize) -> Self {
        Self {
            replicas,
            lease: 3,
            deadline: Some(1),
            has_guard: true,
            creates: Creates::FirstImmediately,
            proof: Proof::Message,
            proves_record: true,
            binds_proof: true,
            keeps_finalizers: 2,
            keeps_lease: true,
            checks_holder: true,
            has_gate: true,
            limits_writes: true,
            fence: Fence::Lags,
            compares_records: true,
            settles: Settles::Always,
            drains: true,
            settles_before_release: false,
            environment: Environment {
                drift: 1,
                wall_clocks: [0; MAX_REPLICAS],
                delays_writes: true,
                stalls: false,
                late_lease_requests: true,
                outlives_process: false,
                races: Races::ALL,
                deletes: false,
                record_deletions: 0,
                empties: false,
                start: Start::NoLeader,
            },
        }
    }

    /// The operator where a write arrives at once or never, even if its process has ended, but the API
    /// server may take any time to store it, as with a slow webhook.
    pub const fn slow_webhooks(replicas: usize) -> Self {
        let mut config = Self::operator(replicas);
        config.environment.delays_writes = false;
        config.environment.stalls = true;
        config.environment.outlives_process = true;
        config
    }

    /// The operator in a cluster without the fence, where a write arrives at once or never, but the
    /// API server may take any time to store it. A Lease is acquired after its duration only.
    pub const fn without_fence(replicas: usize) -> Self {
        let mut config = Self::operator(replicas);
        config.fence = Fence::Absent;
        config.creates = Creates::AfterDuration;
        config.proof = Proof::Nothing;
        config.settles = Settles::Never;
        config.environment.delays_writes = false;
        config.environment.stalls = true;
        config
    }

    /// The crate alone, with the operator's deadline, where only the given requests race.
    pub const fn crate_alone(races: Races) -> Self {
        let mut config = Self::without_fence(2);
        config.lease = 4;
        config.deadline = Some(3);
        config.has_guard = false;
        config.creates = Creates::Immediately;
        config.checks_holder = false;
        config.environment.races = races;
        config.environment.drift = 0;
        config
    }

    /// How long a leader leads at most after it requested a renewal: with a slow clock.
    pub fn leads_for(&self) -> Ticks {
        self.deadline.map_or(UNLIMITED, |deadline| deadline + self.environment.drift)
    }

    /// How long a standby waits at least: with a fast clock.
    pub const fn waits_for(&self) -> Ticks {
        self.lease.saturating_sub(self.environment.drift)
    }
}
