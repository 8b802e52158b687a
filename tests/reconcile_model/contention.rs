//! What the operator remembers of its writes of copies, and whether it counts them as changes by
//! other clients.
//!
//! [`is_change_of_others`] and its arguments are the operator's own. What is remembered follows
//! `state` and `state::retries`, within the minute over which changes are counted: the memory of a deletion does
//! not end. Beside it, where the operator cannot read it, is recorded whether others have changed the
//! copy.

use configmapsync::decide::Action;
use configmapsync::decide::Plan;
use configmapsync::decide::contention::OurLastWrite;
use configmapsync::decide::contention::Purpose;
use configmapsync::decide::contention::Response;
use configmapsync::decide::contention::Wanted;
use configmapsync::decide::contention::is_change_of_others;
use configmapsync::decide::status::Settled;

use crate::config::Fault;
use crate::model::ReconcileModel;
use crate::names::Namespace;
use crate::names::PLACES;
use crate::names::Place;
use crate::names::SYNCS;
use crate::names::Sync;
use crate::names::at;
use crate::names::namespace_of;
use crate::oracle::Violation;
use crate::state::InFlight;
use crate::state::Kind;
use crate::state::Phase;
use crate::state::State;
use crate::state::Write;
use crate::state::Writer;
use crate::store::Numbered;
use crate::view::PassInput;

/// The number of a [`Wanted`].
pub type WantedId = u16;

/// What is remembered of each sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Memory {
    /// What its last reconcile that wanted copies wanted.
    wanted: [Option<WantedId>; SYNCS],
    /// What is remembered of each copy.
    copies: [[Remembered; PLACES]; SYNCS],
}

/// What is remembered of one copy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Remembered {
    /// The last write, as far as the operator remembers it.
    last: Option<Last>,
    /// Whether a change by others was counted, rightly or not. From then on, the operator remembers
    /// its last write.
    has_counted: bool,
    /// What the last write that was stored made the copy equal to.
    written: Option<WantedId>,
    /// Whether others have changed the copy since, or since it was observed to need no write.
    is_changed: bool,
    /// Whether the copy has needed no write since, when the operator last wanted copies.
    was_ready: bool,
}

/// [`OurLastWrite`]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Last {
    Copied(WantedId),
    Retired,
}

/// [`Purpose`]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WritePurpose {
    /// To make the copy equal to what is wanted.
    Copy {
        /// What is wanted.
        wanted: WantedId,
        /// Whether the last reconcile of the sync wanted the same.
        was_wanted: bool,
    },
    /// To delete or release it.
    Retire,
}

/// The end of a reconcile, after a pass without writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// What is wanted, if copies are.
    pub wanted: Option<WantedId>,
    /// The places that still need a write.
    pub needs_write: [bool; PLACES],
    /// The places of the copies that are as desired.
    pub is_ready: [bool; PLACES],
}

impl ReconcileModel {
    /// Ends a reconcile after a pass without writes: remembers what was wanted, and forgets what
    /// follows from it.
    pub(crate) fn end_reconcile(&self, state: &mut State, sync: Sync, input: PassInput) {
        let Some(memory) = &mut state.memory else { return };
        let Some(end) = self.decisions.end(input) else { return };
        if self.config.fault != Some(Fault::ForgetsWanted) {
            memory.wanted[sync] = end.wanted.or(memory.wanted[sync]);
        }
        for (place, remembered) in memory.copies[sync].iter_mut().enumerate() {
            let is_current = state.view.objects[place].is_current;
            remembered.reconcile_ended(end.needs_write[place] || input.in_flight[place]);
            // A write in flight was decided before.
            remembered.is_changed &= !(end.is_ready[place] && is_current) || input.in_flight[place];
            if end.wanted.is_some() {
                remembered.was_ready = end.is_ready[place];
            }
        }
    }

    /// The response to a write of a copy by the reconcile of a sync is recorded.
    pub(crate) fn record_response(
        &self,
        state: &mut State,
        writer: Writer,
        place: Place,
        sent: InFlight,
        is_stored: bool,
    ) {
        let response =
            if is_stored { Some(Response::Written) } else { conflict(state, place, sent) };
        let (Some(memory), Some(purpose), Some(response)) =
            (&mut state.memory, sent.write.purpose, response)
        else {
            return;
        };
        // After the first request of a replacement, the second one is sent.
        if is_stored && sent.write.kind == Kind::Replace {
            return;
        }
        let remembered = &mut memory.copies[writer][place];
        let counts = remembered.counts(&self.decisions.wanted, purpose, response);
        let violation = remembered.violation(counts, purpose, response);
        state.violation = state.violation.or(violation);
        remembered.record(counts, purpose, response, self.config.fault);
    }
}

/// The response to a write that was not stored; `None` if it was rejected.
fn conflict(state: &State, place: Place, sent: InFlight) -> Option<Response> {
    let namespace = state.world.namespaces[namespace_of(place)];
    let is_creation = sent.write.kind == Kind::Create;
    let exists = state.world.objects[place].is_some();
    if namespace.is_protected || namespace.phase == Phase::Missing || (is_creation && !exists) {
        return None;
    }
    Some(if is_creation { Response::AlreadyExists } else { Response::Conflict })
}

// === impl Remembered ===

impl Remembered {
    /// Whether the operator counts this write as a change by another client.
    fn counts(&self, known: &Numbered<Wanted>, purpose: WritePurpose, response: Response) -> bool {
        let last = self.last.map(|last| match last {
            Last::Copied(wanted) => OurLastWrite::Copied(known.get(wanted)),
            Last::Retired => OurLastWrite::Retired,
        });
        let purpose = match purpose {
            WritePurpose::Copy { wanted, was_wanted } => {
                Purpose::Copy { wanted: known.get(wanted), was_wanted }
            }
            WritePurpose::Retire => Purpose::Retire,
        };
        is_change_of_others(last.as_ref(), &purpose, response)
    }

    /// What is wrong with the answer of [`Self::counts`].
    fn violation(
        &self,
        counts: bool,
        purpose: WritePurpose,
        response: Response,
    ) -> Option<Violation> {
        if counts {
            // At first, what the sync wanted stands for the memory of the last write of this copy.
            let is_unfounded = self.has_counted && !self.is_changed;
            return is_unfounded.then_some(Violation::CountedOwnWrite);
        }
        let WritePurpose::Copy { wanted, .. } = purpose else { return None };
        let is_undone = self.is_changed && self.was_ready && self.written == Some(wanted);
        let is_ignored = is_undone && response == Response::Written;
        is_ignored.then_some(Violation::IgnoredChange)
    }

    /// As `Retries::answered`.
    fn record(
        &mut self,
        counts: bool,
        purpose: WritePurpose,
        response: Response,
        fault: Option<Fault>,
    ) {
        self.has_counted |= counts;
        if response != Response::Written {
            return;
        }
        let (last, written) = match purpose {
            WritePurpose::Copy { wanted, .. } => (Some(Last::Copied(wanted)), Some(wanted)),
            WritePurpose::Retire if fault == Some(Fault::ForgetsRetirements) => (None, None),
            WritePurpose::Retire => (Some(Last::Retired), None),
        };
        let has_counted = self.has_counted;
        *self = Self { last, has_counted, written, is_changed: false, was_ready: true };
    }

    /// As `Retries::settled`, less than a minute later.
    fn reconcile_ended(&mut self, needs_write: bool) {
        if !self.has_counted && !needs_write && self.last != Some(Last::Retired) {
            self.last = None;
        }
    }
}

// === impl State ===

impl State {
    /// A write that the reconcile of a sync decides now.
    pub fn decided(&self, sync: Sync, mut write: Write) -> Write {
        let memory = self.memory.as_ref();
        if let Some(WritePurpose::Copy { wanted, was_wanted }) = &mut write.purpose {
            *was_wanted = memory.is_some_and(|memory| memory.wanted[sync] == Some(*wanted));
        }
        write
    }

    /// Someone other than the operator has changed the copy at `place`.
    pub fn changed_by_others(&mut self, place: Place) {
        for copies in self.memory.iter_mut().flat_map(|memory| &mut memory.copies) {
            copies[place].is_changed = true;
        }
    }

    /// Another sync of the same name has its own memory. Responses to writes of the former one are
    /// not recorded any more.
    pub fn forget_copies_of(&mut self, sync: Sync) {
        if let Some(memory) = &mut self.memory {
            memory.wanted[sync] = None;
            memory.copies[sync] = Default::default();
        }
        for sent in self.flight[sync].iter_mut().flatten() {
            sent.write.purpose = None;
        }
    }

    /// Another namespace of the same name has its own memory.
    pub fn forget_copies_in(&mut self, namespace: Namespace) {
        let forgotten = Remembered { is_changed: true, ..Remembered::default() };
        for copies in self.memory.iter_mut().flat_map(|memory| &mut memory.copies) {
            for place in (0..PLACES).filter(|place| namespace_of(*place) == namespace) {
                copies[place] = forgotten;
            }
        }
    }
}

// === impl Memory ===

impl Memory {
    /// Whether a change by another client was counted.
    pub fn has_counted(&self) -> bool {
        self.copies.iter().flatten().any(|remembered| remembered.has_counted)
    }
}

// === impl End ===

impl End {
    /// The end of a reconcile after `plan`.
    pub fn of(wanted: Option<WantedId>, plan: &Plan, is_hold: bool) -> Self {
        let is_ready = |place| plan.steps.get(&at(place)) == Some(&Action::Keep);
        let settled = Settled::of(plan.clone());
        let needs_write = |place| is_hold || settled.is_left(&at(place));
        Self {
            wanted,
            needs_write: std::array::from_fn(needs_write),
            is_ready: std::array::from_fn(is_ready),
        }
    }
}
