//! A state of the model: what the API server stores, what the operator has observed of it, and which
//! of its writes are in flight.
//!
//! There are no versions: an observation and a write in flight record whether their object has
//! changed since. There are no times: what depends on them is whether they have passed.

use crate::contention::Memory;
use crate::contention::WritePurpose;
use crate::names::NAMESPACES;
use crate::names::PLACES;
use crate::names::Place;
use crate::names::SYNCS;
use crate::names::Sync;
use crate::oracle::Violation;
use crate::spec::Edit;
use crate::spec::Spec;
use crate::store::ObjectId;

/// What writes: the reconcile of each sync, and orphan collection.
pub type Writer = usize;
/// Orphan collection.
pub const COLLECTOR: Writer = SYNCS;
/// The number of writers.
pub const WRITERS: usize = SYNCS + 1;
/// What a write is for: a place, or the finalizer of the sync.
pub type Slot = usize;
/// The finalizer.
pub const FINALIZER: Slot = PLACES;

/// A state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// What the API server stores.
    pub world: World,
    /// What the operator has observed.
    pub view: View,
    /// Its writes in flight.
    pub flight: [[Option<InFlight>; PLACES + 1]; WRITERS],
    /// The writes in flight of a crashed leader.
    pub late: [Option<InFlight>; PLACES],
    /// A backup: at each place, the last version that the operator wrote.
    pub backup: [Option<ObjectId>; PLACES],
    /// What the operator remembers of its writes, if it counts the changes by other clients.
    pub memory: Option<Memory>,
    /// How many more actions of users may happen.
    pub actions: u8,
    /// How many more faults may happen.
    pub faults: u8,
    /// What must not happen, and has.
    pub violation: Option<Violation>,
}

/// What the API server stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The syncs.
    pub syncs: [Option<StoredSync>; SYNCS],
    /// The source.
    pub source: Source,
    /// The `ConfigMap` at each place.
    pub objects: [Option<ObjectId>; PLACES],
    /// The destination namespaces.
    pub namespaces: [StoredNamespace; NAMESPACES],
}

/// A `ConfigMapSync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoredSync {
    /// `spec`
    pub spec: Spec,
    /// Whether it has the finalizer of the operator.
    pub has_finalizer: bool,
    /// Whether it is being deleted.
    pub is_deleting: bool,
    /// How often the spec has changed, if the operator counts changes by other clients.
    pub generation: u8,
}

/// The source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// It does not exist.
    Missing,
    /// It exists.
    Existing {
        /// Which content it has.
        content: u8,
        /// Whether its annotation forbids copying.
        forbids: bool,
    },
}

/// A destination namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct StoredNamespace {
    /// Whether it exists.
    pub phase: Phase,
    /// Whether it has the label that the selector selects.
    pub is_labelled: bool,
    /// Whether the operator is configured to protect it. A policy then refuses every write.
    pub is_protected: bool,
}

/// Whether a namespace exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase {
    /// It exists.
    Active,
    /// It is being deleted.
    Terminating,
    /// It does not exist.
    Missing,
}

/// What the operator has observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    /// The syncs.
    pub syncs: [Option<SeenSync>; SYNCS],
    /// The source.
    pub source: SeenSource,
    /// The `ConfigMap` at each place.
    pub objects: [SeenObject; PLACES],
    /// Many orphans of other syncs, in other namespaces. They are observed at once.
    pub many_orphans: ManyOrphans,
    /// The destination namespaces. One that is unknown counts as missing.
    pub namespaces: [StoredNamespace; NAMESPACES],
    /// For each sync: whether its deletion was observed less than a minute ago.
    pub recently_deleted: [bool; SYNCS],
}

/// An observed `ConfigMapSync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeenSync {
    /// What was observed.
    pub sync: StoredSync,
    /// Whether it does not exist any more. Another of the same name may.
    pub is_former: bool,
    /// Whether it has not changed since.
    pub is_current: bool,
}

/// An observed source.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SeenSource {
    /// What was observed.
    pub source: Source,
    /// Whether its content was read, or is known from the status.
    pub is_read: bool,
}

/// More orphans than are collected without a person, whose syncs were never observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ManyOrphans {
    /// There are none.
    None,
    /// They are new.
    New,
    /// They have been known for the grace period.
    HaveWaited,
}

/// An observed place.
#[expect(clippy::struct_excessive_bools, reason = "each is set independently")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SeenObject {
    /// The `ConfigMap` that was observed.
    pub id: Option<ObjectId>,
    /// Whether it has not changed since.
    pub is_current: bool,
    /// Whether it still exists, changed or not.
    pub is_same_object: bool,
    /// Whether its content was read.
    pub is_read: bool,
    /// Whether it existed when the deletion of its sync was observed.
    pub is_left_behind: bool,
    /// Whether it appeared less than a minute after that deletion.
    pub is_recent: bool,
    /// Whether it has been known as an orphan for the grace period.
    pub has_waited: bool,
}

/// A write that was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    /// What it does.
    pub kind: Kind,
    /// The `ConfigMap` that results from it.
    pub result: Option<ObjectId>,
    /// What must not happen, and happens if the write is stored.
    pub harm: Option<Violation>,
    /// What it is for, if the operator counts changes by other clients.
    pub purpose: Option<WritePurpose>,
}

/// What a write does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Creates a copy.
    Create,
    /// Changes a copy.
    Update,
    /// Changes the metadata of a copy.
    Restamp,
    /// Deletes a copy and creates it again.
    Replace,
    /// Removes the markers.
    Release,
    /// Deletes a copy.
    Delete,
    /// Adds the finalizer to a sync.
    AddFinalizer,
    /// Removes the finalizer from a sync.
    RemoveFinalizer,
}

/// A write in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct InFlight {
    /// The write.
    pub write: Write,
    /// Whether its object has not changed since it was decided.
    pub is_current: bool,
}

// === impl StoredSync ===

impl StoredSync {
    /// A new one.
    pub const fn new(spec: Spec) -> Self {
        Self { spec, has_finalizer: false, is_deleting: false, generation: 0 }
    }

    /// A field of the spec changes.
    pub fn edit(&mut self, edit: Edit, has_generations: bool) {
        let edited = self.spec.edited(edit);
        self.generation += u8::from(has_generations && edited != self.spec);
        self.spec = edited;
    }
}

// === impl StoredNamespace ===

impl StoredNamespace {
    /// Whether copies may be written in it.
    pub fn is_usable(self) -> bool {
        self.phase == Phase::Active && !self.is_protected
    }
}

// === impl Source ===

impl Source {
    /// The index of its content, if it exists and may be copied.
    pub const fn usable_content(self) -> Option<u8> {
        match self {
            Self::Existing { content, forbids: false } => Some(content),
            Self::Existing { forbids: true, .. } | Self::Missing => None,
        }
    }
}

// === impl State ===

impl State {
    /// The `ConfigMap` at `place` changes, for others than the one that changes it.
    pub fn store(&mut self, place: Place, id: Option<ObjectId>, is_same_object: bool) {
        self.world.objects[place] = id;
        let seen = &mut self.view.objects[place];
        seen.is_current = false;
        seen.is_same_object &= is_same_object;
        let of_leader = self.flight.iter_mut().filter_map(|writes| writes[place].as_mut());
        for write in of_leader.chain(&mut self.late[place]) {
            write.is_current = false;
        }
    }

    /// A sync changes, for others than the one that changes it.
    pub fn store_sync(&mut self, sync: Sync, stored: Option<StoredSync>) {
        self.world.syncs[sync] = stored;
        if let Some(seen) = &mut self.view.syncs[sync] {
            seen.is_current = false;
        }
        if let Some(write) = &mut self.flight[sync][FINALIZER] {
            write.is_current = false;
        }
    }

    /// The operator observes the present `ConfigMap` at `place`. Returns whether it is another one
    /// than before.
    pub fn observe(&mut self, place: Place) -> bool {
        let (seen, id) = (&mut self.view.objects[place], self.world.objects[place]);
        if seen.is_current {
            return false;
        }
        let is_known = seen.is_same_object;
        *seen = SeenObject {
            id,
            is_current: true,
            is_same_object: true,
            is_read: false,
            is_left_behind: is_known && seen.is_left_behind,
            is_recent: is_known && seen.is_recent,
            has_waited: is_known && seen.has_waited,
        };
        !is_known
    }

    /// Whether a write of this writer to a copy is in flight.
    pub fn has_copies_in_flight(&self, writer: Writer) -> bool {
        self.flight[writer][..PLACES].iter().any(Option::is_some)
    }

    /// Whether any write of the leader is in flight.
    pub fn has_writes_in_flight(&self) -> bool {
        self.flight.iter().flatten().any(Option::is_some)
    }

    /// Replaces the number of every `ConfigMap`.
    pub fn renumber(&mut self, number: impl Fn(ObjectId) -> ObjectId) {
        let of_views = self.view.objects.iter_mut().map(|seen| &mut seen.id);
        let of_writes = self.flight.iter_mut().flatten().chain(&mut self.late).flatten();
        let of_writes = of_writes.map(|write| &mut write.write.result);
        let places = self.world.objects.iter_mut().chain(&mut self.backup);
        for id in places.chain(of_views).chain(of_writes) {
            *id = id.map(&number);
        }
    }
}
