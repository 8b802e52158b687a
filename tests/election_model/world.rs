//! What there is at one moment: the Lease, the replicas, what is under way between them.
//!
//! Only what makes a difference later is kept, so that there are finitely many worlds, however long
//! they run: times are ages that stop growing where nobody looks further; a resourceVersion is
//! whether the object is still as it was read; a process that has ended is nobody in particular.

use crate::oracle::Terms;
use crate::rules::MOST;
use crate::rules::Ticks;

/// The pod of a replica. Processes come and go in it.
pub type Pod = usize;

/// All that there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct World {
    /// The Lease, if there is one.
    pub lease: Option<Lease>,
    /// The replicas: as many as the rules say, the others stay as they are.
    pub replicas: [Replica; MOST],
    /// Who is announced as the leader.
    pub announced: Option<Pod>,
    /// Whom some API server still takes for the leader announced.
    pub outdated: Outdated,
    /// Who led, and who has written since.
    pub terms: Terms,
    /// What went wrong besides.
    pub wrong: Option<Wrong>,
}

/// What went wrong, and is no write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wrong {
    /// Somebody leads by a Lease that is not its own.
    LedByAnothers,
    /// A leader has been replaced by one that led before it.
    DeposedByFormer,
}

/// The Lease, as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Lease {
    /// Who holds it.
    pub holder: Holder,
    /// Whether its holder gave it back.
    pub is_released: bool,
    /// How long ago it was renewed. Nobody looks at it through the guard, where it stays 0.
    pub age: Ticks,
    /// How far the wall clock was ahead by which it was renewed.
    pub ahead: i8,
}

/// Who holds the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Holder {
    /// Nobody: it was given back, or emptied.
    Nobody,
    /// The process that runs in the pod.
    Process(Pod),
    /// A process that has ended.
    Gone,
}

/// One replica: a process, and what its pod has under way. Of each kind that is one thing: an older
/// one is lost when a newer one begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Replica {
    /// What the process does.
    pub role: Role,
    /// The request for the Lease whose answer it waits for.
    pub call: Option<Request>,
    /// A request for the Lease whose answer nobody waits for.
    pub late: Option<Request>,
    /// Its announcement.
    pub announcement: Option<Announcement>,
    /// Its write.
    pub write: Option<Write>,
}

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// It waits for the Lease to get free.
    Standby {
        /// What it has seen of it.
        seen: Seen,
    },
    /// It leads.
    Leader {
        /// For so long, unless it renews.
        left: Ticks,
        /// How far it has come.
        stage: Stage,
    },
}

/// What a standby knows of the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Seen {
    /// Nothing.
    Nothing,
    /// What it was before it changed, long ago.
    Former,
    /// What it is, or that it is not there, since so long.
    Same(Ticks),
}

/// How far a leader has come. It may have the Lease from one that gave it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Stage {
    /// It has the Lease, and has yet to announce itself.
    Won {
        /// Whether the Lease had been given back.
        was_released: bool,
    },
    /// It announces itself.
    Announcing {
        /// Whether the Lease had been given back.
        was_released: bool,
    },
    /// It is announced, and waits for a tick.
    Settling,
    /// It writes.
    Writing,
}

/// A request that changes the Lease, under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Request {
    /// What it asks for.
    pub ask: Ask,
    /// How long ago it was asked for, as long as anybody waits.
    pub age: Ticks,
    /// Whether the process that sent it has ended.
    pub is_orphan: bool,
}

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ask {
    /// A Lease of our own where there is none.
    Create,
    /// The Lease for us.
    Acquire {
        /// Whether it had been given back.
        was_released: bool,
    },
    /// Our Lease for longer.
    Renew,
    /// Our Lease for nobody.
    Release,
}

/// An announcement under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Announcement {
    /// Whether its sender waits for the answer.
    pub is_awaited: bool,
    /// Whether somebody else has been announced since its sender looked.
    pub is_outrun: bool,
}

/// A write under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Write {
    /// Whether the API server has let it in.
    pub is_let_in: bool,
    /// Within so long from when it is let in it is stored, or never.
    pub time: Ticks,
    /// Whether the process that sent it has ended.
    pub is_orphan: bool,
}

/// The announcements before the newest that some API server still goes by, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Outdated(u8);

// === impl Outdated ===

impl Outdated {
    /// Adds an announcement, or that there was none.
    pub fn add(&mut self, announced: Option<Pod>) {
        self.0 |= bit(announced);
    }

    /// Whether a write from `pod` passes by one of them.
    pub fn let_in(self, pod: Pod) -> bool {
        self.0 & (bit(Some(pod)) | bit(None)) != 0
    }

    /// Whether a write from `pod` is refused by one of them.
    pub fn refuse(self, pod: Pod) -> bool {
        self.0 & !(bit(Some(pod)) | bit(None)) != 0
    }

    /// The same, with the pods renamed.
    pub fn renamed(self, name: impl Fn(Pod) -> Pod) -> Self {
        let mut renamed = Self(self.0 & bit(None));
        for pod in (0..MOST).filter(|pod| self.0 & bit(Some(*pod)) != 0) {
            renamed.add(Some(name(pod)));
        }
        renamed
    }
}

fn bit(announced: Option<Pod>) -> u8 {
    announced.map_or(1, |pod| 2 << pod)
}

// === impl Role ===

impl Default for Role {
    fn default() -> Self {
        Self::Standby { seen: Seen::Nothing }
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
    /// Whether nothing but requests for the Lease is under way.
    pub const fn is_drained(&self) -> bool {
        self.write.is_none() && self.announcement.is_none()
    }

    /// The process waits no longer for the answer to its request.
    pub fn give_up(&mut self) {
        if let Some(request) = self.call.take() {
            self.late = Some(Request { age: 0, ..request });
        }
    }

    /// The process waits no longer to be announced.
    pub fn forget_announcement(&mut self) {
        if let Some(announcement) = &mut self.announcement {
            announcement.is_awaited = false;
        }
        if let Role::Leader { stage, .. } = &mut self.role
            && let Stage::Announcing { was_released } = *stage
        {
            *stage = Stage::Won { was_released };
        }
    }

    /// The process ends, and another begins in the same pod. What is under way goes on.
    pub fn restart(&mut self) {
        self.give_up();
        self.forget_announcement();
        self.role = Role::default();
        if let Some(request) = &mut self.late {
            request.is_orphan = true;
        }
        if let Some(write) = &mut self.write {
            write.is_orphan = true;
        }
    }
}

// === impl World ===

impl World {
    /// The process of `pod` ends, and another begins: its predecessor's Lease is not its own.
    pub fn restart(&mut self, pod: Pod) {
        self.replicas[pod].restart();
        if let Some(lease) = &mut self.lease
            && lease.holder == Holder::Process(pod)
        {
            lease.holder = Holder::Gone;
        }
    }

    /// The same world, with the pods renamed.
    pub fn renamed(&self, name: impl Fn(Pod) -> Pod + Copy) -> Self {
        let mut renamed = *self;
        for pod in 0..MOST {
            renamed.replicas[name(pod)] = self.replicas[pod];
        }
        if let Some(lease) = &mut renamed.lease
            && let Holder::Process(pod) = lease.holder
        {
            lease.holder = Holder::Process(name(pod));
        }
        renamed.announced = self.announced.map(name);
        renamed.outdated = self.outdated.renamed(name);
        renamed.terms = self.terms.renamed(name);
        renamed
    }
}
