//! Which protections there are, and what the world may do: the parameters of the model.
//!
//! Times are ticks, and what they stand for is an order alone. The lease lasts longer than the
//! renew deadline by more than two clocks drift apart; one tick is longer than an announcement
//! takes to reach every API server, and than a write takes from being let in to being stored.

/// A length of time.
pub type Ticks = u8;

/// A time that does not end.
pub const FOR_EVER: Ticks = Ticks::MAX;

/// At most so many replicas.
pub const MOST: usize = 3;

/// How the election is protected, and from what.
#[expect(clippy::struct_excessive_bools, reason = "each is switched by itself")]
#[derive(Clone, Debug)]
pub struct Rules {
    /// How many replicas there are.
    pub replicas: usize,
    /// How long a Lease lasts without a sign of life.
    pub lease: Ticks,
    /// How long a leader goes on after it last asked to renew, if it minds.
    pub deadline: Option<Ticks>,
    /// Whether the Lease is read and patched through the guard.
    pub has_guard: bool,
    /// When a Lease that is not there may be created.
    pub creates: Creates,
    /// Whether the Lease that comes back must name us before we lead.
    pub checks_holder: bool,
    /// Whether leadership is looked at as each write is sent, and not some time before.
    pub has_gate: bool,
    /// Whether a write tells the API server how long it may take: no longer than leadership lasts.
    pub limits_writes: bool,
    /// What the API server itself looks at.
    pub fence: Fence,
    /// Whether an announcement replaces just the one that was seen.
    pub compares_announcements: bool,
    /// When a new leader waits before its first write.
    pub settles: Settles,
    /// Whether a leader gives the Lease back only when nothing of its own is under way.
    pub drains: bool,
    /// Whether a leader gives the Lease back only after it has settled itself.
    pub settles_before_release: bool,
    /// What the world does.
    pub world: Dangers,
}

/// When a Lease that is not there may be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Creates {
    /// When it has been absent for as long as one lasts.
    AfterAWhile,
    /// At once, as the crate does.
    AtOnce,
    /// Never.
    Never,
}

/// What the API server itself looks at before it lets a write in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// Nothing. Then nobody is announced, and the newest leader is who took the Lease last.
    Absent,
    /// Whether the writer is the leader announced. For less than a tick after an announcement,
    /// some API server still goes by the one before.
    Lags,
    /// The same, but an API server may go by an old announcement for ever.
    IsStuck,
}

/// When a new leader waits for a tick between its announcement and its first write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settles {
    /// Whoever led before.
    Always,
    /// Unless the leader before gave the Lease back.
    UnlessReleased,
    /// Never.
    Never,
}

/// What the world may do beyond what it always may: let any process be slow, or end and begin
/// anew, at any time; lose requests and answers; deliver requests for the Lease late.
#[expect(clippy::struct_excessive_bools, reason = "each is switched by itself")]
#[derive(Clone, Debug)]
pub struct Dangers {
    /// By how much two clocks may differ over the length of a Lease, at most.
    pub drift: Ticks,
    /// How far each replica's wall clock is ahead.
    pub wall_clocks: [i8; MOST],
    /// Whether a write may be under way to the API server for any time: in the network, or in a
    /// process that was frozen between its last look at the clock and sending. If not, it arrives
    /// within less than a tick, or never.
    pub delays_writes: bool,
    /// Whether an API server may take as long as it was told between letting a write in and
    /// storing it. If not, it is stored within less than a tick, or never.
    pub stalls: bool,
    /// Whether a request for the Lease may arrive whose answer nobody waits for any more.
    pub outlives_its_wait: bool,
    /// Whether what a process had under way may arrive when the next in its pod begins a term.
    pub outlives_its_process: bool,
    /// Which requests for the Lease may arrive after the Lease has changed.
    pub races: Races,
    /// Whether somebody deletes the Lease.
    pub deletes: bool,
    /// Whether somebody empties the Lease.
    pub empties: bool,
    /// How it begins.
    pub start: Start,
}

/// Which requests for the Lease may arrive, and count, after it has changed since it was read. With
/// the guard, the last three never do.
#[expect(clippy::struct_excessive_bools, reason = "each is switched by itself")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Races {
    /// Those that create it. No guard holds them up: they arrive after somebody else has created
    /// it, and a third has deleted it.
    pub creations: bool,
    /// Those that renew it.
    pub renewals: bool,
    /// Those that take it.
    pub acquisitions: bool,
    /// Those that give it back.
    pub releases: bool,
}

/// How the world begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// There was never a leader.
    Fresh,
    /// The first replica leads and writes, has just renewed, and the others know.
    Led,
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

// === impl Rules ===

impl Rules {
    /// The operator as it is, in a world that does everything that it promises to survive.
    pub const fn everything(replicas: usize) -> Self {
        Self {
            replicas,
            lease: 3,
            deadline: Some(1),
            has_guard: true,
            creates: Creates::AfterAWhile,
            checks_holder: true,
            has_gate: true,
            limits_writes: true,
            fence: Fence::Lags,
            compares_announcements: true,
            settles: Settles::Always,
            drains: true,
            settles_before_release: false,
            world: Dangers {
                drift: 1,
                wall_clocks: [0; MOST],
                delays_writes: true,
                stalls: false,
                outlives_its_wait: true,
                outlives_its_process: false,
                races: Races::ALL,
                deletes: false,
                empties: false,
                start: Start::Fresh,
            },
        }
    }

    /// The operator in a cluster that does not know the fence, in a world where a write arrives at
    /// once or never, however long the API server then takes.
    pub const fn without_fence(replicas: usize) -> Self {
        let mut rules = Self::everything(replicas);
        rules.fence = Fence::Absent;
        rules.settles = Settles::Never;
        rules.world.delays_writes = false;
        rules.world.stalls = true;
        rules
    }

    /// The crate alone, believed as it is, but for the deadline that the operator adds, and in a
    /// world where only these requests race.
    pub const fn bare(races: Races) -> Self {
        let mut rules = Self::without_fence(2);
        rules.lease = 4;
        rules.deadline = Some(3);
        rules.has_guard = false;
        rules.creates = Creates::AtOnce;
        rules.checks_holder = false;
        rules.world.races = races;
        rules.world.drift = 0;
        rules
    }

    /// For how long a leader leads from the moment it asked, at the most: where its clock is slow.
    pub fn leads_for(&self) -> Ticks {
        self.deadline.map_or(FOR_EVER, |deadline| deadline + self.world.drift)
    }

    /// For how long a standby waits, at the least: where its clock is fast.
    pub const fn waits_for(&self) -> Ticks {
        self.lease.saturating_sub(self.world.drift)
    }
}
