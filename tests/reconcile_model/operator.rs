//! Steps of the operator, and of the API server that stores its writes.

use crate::collection::Collection;
use crate::collection::CollectionInput;
use crate::config::Fault;
use crate::contention::Memory;
use crate::decisions::Pass;
use crate::decisions::Writes;
use crate::model::ReconcileModel;
use crate::names::Life;
use crate::names::Namespace;
use crate::names::PLACES;
use crate::names::Place;
use crate::names::SYNCS;
use crate::names::Sync;
use crate::names::namespace_of;
use crate::names::place;
use crate::oracle::harm_of_outdated;
use crate::state::COLLECTOR;
use crate::state::FINALIZER;
use crate::state::InFlight;
use crate::state::Kind;
use crate::state::ManyOrphans;
use crate::state::Phase;
use crate::state::SeenObject;
use crate::state::SeenSource;
use crate::state::SeenSync;
use crate::state::Slot;
use crate::state::State;
use crate::state::StoredSync;
use crate::state::View;
use crate::state::WRITERS;
use crate::state::Write;
use crate::state::Writer;
use crate::view::PassInput;

/// The result of one read can require another.
const MAX_TURNS: usize = 5;

impl ReconcileModel {
    // --- Observation ---

    pub(crate) fn observe_sync(&self, state: &mut State, sync: Sync) {
        let stored = state.world.syncs[sync];
        if state.view.syncs[sync].is_some_and(|seen| seen.is_former) {
            self.observe_deletion(state, sync);
        }
        state.view.syncs[sync] =
            stored.map(|sync| SeenSync { sync, is_former: false, is_current: true });
    }

    /// The copies that are known now are left behind by the deleted sync. Of several deleted syncs of
    /// one name, only the last is distinguished from those that were never observed.
    fn observe_deletion(&self, state: &mut State, sync: Sync) {
        state.forget_copies_of(sync);
        self.rename(state, sync, Life::SeenAlive, Life::NeverSeen);
        let store = &self.decisions.store;
        for seen in &mut state.view.objects {
            seen.is_recent = false;
            let is_copy =
                seen.id.is_some_and(|id| store.get(id).owner() == Some((sync, Life::Former)));
            seen.is_left_behind |= is_copy;
        }
        self.rename(state, sync, Life::Former, Life::SeenAlive);
        state.view.recently_deleted[sync] = true;
    }

    pub(crate) fn observe_config_maps(&self, state: &mut State) {
        for place in 0..PLACES {
            self.observe_place(state, place);
        }
        if state.view.source.source != state.world.source {
            state.view.source = SeenSource { source: state.world.source, is_read: false };
        }
    }

    fn observe_place(&self, state: &mut State, place: Place) {
        if !state.observe(place) {
            return;
        }
        let id = state.view.objects[place].id;
        if let Some((sync, Life::SeenAlive)) =
            id.and_then(|id| self.decisions.store.get(id).owner())
        {
            state.view.objects[place].is_recent = state.view.recently_deleted[sync];
        }
    }

    /// Another process leads, and lists everything.
    pub(crate) fn restart(&self, state: &mut State) {
        let lost = std::mem::replace(&mut state.flight, [[None; PLACES + 1]; WRITERS]);
        if self.config.writes_late {
            for writes in lost {
                for (late, write) in state.late.iter_mut().zip(writes) {
                    *late = write.or(*late);
                }
            }
        }
        state.memory = state.memory.map(|_| Memory::default());
        for sync in 0..SYNCS {
            self.rename(state, sync, Life::Former, Life::NeverSeen);
            self.rename(state, sync, Life::SeenAlive, Life::NeverSeen);
            state.view.syncs[sync] = None;
            self.observe_sync(state, sync);
        }
        for place in 0..PLACES {
            state.view.objects[place] = SeenObject::default();
            state.observe(place);
        }
        state.view.source = SeenSource { source: state.world.source, is_read: false };
        state.view.namespaces = state.world.namespaces;
        state.view.recently_deleted = [false; SYNCS];
        if state.view.many_orphans == ManyOrphans::HaveWaited {
            state.view.many_orphans = ManyOrphans::New;
        }
    }

    pub(crate) fn rename(&self, state: &mut State, sync: Sync, from: Life, to: Life) {
        state.renumber(|id| self.decisions.store.with_uid(id, sync, from, to));
    }

    // --- Decisions ---

    /// One pass: reads until no read is required, and sends the writes of the plan.
    pub(crate) fn reconcile(&self, state: &mut State, sync: Sync) {
        let Some(seen) = state.view.syncs[sync] else { return };
        let is_done = seen.sync.is_deleting && !seen.sync.has_finalizer;
        if is_done || state.flight[sync][FINALIZER].is_some() {
            return;
        }
        let mut source_was_read = false;
        for _ in 0..MAX_TURNS {
            let input = pass_input(state, sync, source_was_read);
            match self.decisions.pass(input) {
                Pass::Read { source, places } => {
                    if source {
                        source_was_read = true;
                        state.view.source =
                            SeenSource { source: state.world.source, is_read: true };
                    }
                    self.read(state, places, true);
                }
                Pass::Write(writes) if writes == Writes::default() => {
                    self.end_reconcile(state, sync, input);
                    return;
                }
                Pass::Write(writes) => {
                    let write = |kind| Write { kind, result: None, harm: None, purpose: None };
                    let finalizer = writes.finalizer.map(write);
                    for (slot, write) in writes.places.into_iter().chain([finalizer]).enumerate() {
                        let write = write.map(|write| state.decided(sync, write));
                        send(state, sync, slot, write);
                    }
                    return;
                }
            }
        }
        panic!("the required reads do not end");
    }

    /// Live reads of metadata, and of content.
    fn read(&self, state: &mut State, places: [bool; PLACES], reads_content: bool) {
        for place in (0..PLACES).filter(|place| places[*place]) {
            self.observe_place(state, place);
            let seen = &mut state.view.objects[place];
            seen.is_read |= reads_content && seen.id.is_some();
        }
    }

    pub(crate) fn collect(&self, state: &mut State) {
        if state.has_copies_in_flight(COLLECTOR) {
            return;
        }
        let view = ignoring_versions(&state.view);
        let input = CollectionInput { view, found: None };
        if let Collection::Read(places) = self.decisions.collection(input) {
            if places == [false; PLACES] && state.view.many_orphans == ManyOrphans::None {
                return;
            }
            self.read(state, places, false);
        }
        let view = ignoring_versions(&state.view);
        let input = CollectionInput { view, found: Some(state.world.syncs) };
        if let Collection::Write(writes) = self.decisions.collection(input) {
            for (slot, write) in writes.into_iter().enumerate() {
                send(state, COLLECTOR, slot, write);
            }
        }
    }

    /// Whether the operator knows a `ConfigMap` with the uid of a sync that it does not know.
    pub(crate) fn has_orphans(&self, state: &State) -> bool {
        let has_many = state.view.many_orphans != ManyOrphans::None;
        has_many || state.view.objects.iter().any(|seen| self.is_orphan(state, seen))
    }

    fn is_orphan(&self, state: &State, seen: &SeenObject) -> bool {
        let owner = seen.id.and_then(|id| self.decisions.store.get(id).owner());
        owner.is_some_and(|(sync, life)| {
            state.view.syncs[sync].is_none_or(|seen| seen.life() != life)
        })
    }

    // --- Time ---

    pub(crate) fn minute_passes(state: &mut State) {
        let knows_all = state.view.syncs.iter().flatten().all(|seen| !seen.is_former);
        if knows_all && !state.has_writes_in_flight() {
            state.view.recently_deleted = [false; SYNCS];
            state.late = [None; PLACES];
        }
    }

    pub(crate) fn grace_passes(&self, state: &mut State) {
        Self::minute_passes(state);
        if state.has_writes_in_flight() || state.view.recently_deleted.contains(&true) {
            return;
        }
        for place in 0..PLACES {
            let is_orphan = self.is_orphan(state, &state.view.objects[place]);
            state.view.objects[place].has_waited |= is_orphan;
        }
        if state.view.many_orphans == ManyOrphans::New {
            state.view.many_orphans = ManyOrphans::HaveWaited;
        }
        state.renumber(|id| self.decisions.store.aged(id));
    }

    // --- The API server ---

    /// A write in flight arrives.
    pub(crate) fn store_write(&self, state: &mut State, writer: Writer, slot: Slot) {
        let Some(InFlight { write, is_current }) = state.flight[writer][slot].take() else {
            return;
        };
        if slot == FINALIZER {
            if is_current {
                self.store_finalizer(state, writer, write.kind);
            }
            return;
        }
        let seen = state.view.objects[slot];
        let sent = InFlight { write, is_current };
        let is_stored = self.store_copy(state, slot, sent);
        self.record_response(state, writer, slot, sent, is_stored);
        // The response contains the metadata; after a conflict, it is read.
        self.observe_place(state, slot);
        if !is_stored {
            return;
        }
        let writes_content = matches!(write.kind, Kind::Update | Kind::Create);
        state.view.objects[slot].is_read = writes_content || (seen.is_read && seen.is_current);
        if write.kind == Kind::Replace {
            // The second request.
            let write = Write { kind: Kind::Create, ..write };
            state.flight[writer][slot] = Some(InFlight { write, is_current: true });
        }
    }

    /// A write of a crashed leader arrives. The operator observes its result later.
    pub(crate) fn store_late(&self, state: &mut State, place: Place) {
        let Some(late) = state.late[place].take() else { return };
        if self.store_copy(state, place, late) {
            // To this process, the former leader is another client.
            state.changed_by_others(place);
        }
    }

    /// Stores a write of a copy. Returns whether it succeeds.
    fn store_copy(&self, state: &mut State, place: Place, sent: InFlight) -> bool {
        let InFlight { write, is_current } = sent;
        let namespace = state.world.namespaces[namespace_of(place)];
        let found = state.world.objects[place].map(|id| self.decisions.store.get(id));
        let is_creation = write.kind == Kind::Create;
        let harm = match found {
            // The policy refuses it.
            _ if namespace.is_protected => return false,
            None if is_creation && namespace.phase == Phase::Active => write.harm,
            Some(_) if !is_creation && is_current => write.harm,
            Some(found) if !is_creation && self.is_unconditional() => {
                harm_of_outdated(&found, place, write.kind)
            }
            _ => return false,
        };
        state.violation = state.violation.or(harm);
        let result = write.result.filter(|_| write.kind != Kind::Replace);
        state.store(place, result, !is_creation && result.is_some());
        if result.is_some() && write.kind != Kind::Release {
            state.backup[place] = result;
        }
        true
    }

    fn is_unconditional(&self) -> bool {
        self.config.fault == Some(Fault::NoPreconditions)
    }

    fn store_finalizer(&self, state: &mut State, sync: Sync, kind: Kind) {
        let Some(mut stored) = state.world.syncs[sync] else { return };
        stored.has_finalizer = kind == Kind::AddFinalizer;
        state.store_sync(sync, Some(stored));
        if let Some(seen) = &mut state.view.syncs[sync] {
            *seen = SeenSync { sync: stored, is_former: false, is_current: true };
        }
        self.end_if_finalized(state, sync);
    }

    /// A sync that is being deleted ends when it has no finalizer.
    pub(crate) fn end_if_finalized(&self, state: &mut State, sync: Sync) {
        let is_gone = |it: StoredSync| it.is_deleting && !it.has_finalizer;
        if !state.world.syncs[sync].is_some_and(is_gone) {
            return;
        }
        state.store_sync(sync, None);
        let life = match &mut state.view.syncs[sync] {
            Some(seen) if !seen.is_former => {
                seen.is_former = true;
                Life::Former
            }
            _ => Life::NeverSeen,
        };
        self.rename(state, sync, Life::Current, life);
    }

    pub(crate) fn finish_namespace(state: &mut State, namespace: Namespace) {
        for has_other_name in [false, true] {
            let place = place(namespace, has_other_name);
            if state.world.objects[place].is_some() {
                state.store(place, None, false);
            }
        }
        state.world.namespaces[namespace].phase = Phase::Missing;
        state.forget_copies_in(namespace);
    }
}

fn send(state: &mut State, writer: Writer, slot: Slot, write: Option<Write>) {
    let Some(write) = write else { return };
    let is_current = match slot {
        FINALIZER => state.view.syncs[writer].is_some_and(|seen| seen.is_current),
        place => state.view.objects[place].is_current,
    };
    state.flight[writer][slot] = Some(InFlight { write, is_current });
}

/// What a pass decides on.
pub fn pass_input(state: &State, sync: Sync, source_was_read: bool) -> PassInput {
    let mut view = ignoring_versions(&state.view);
    for seen in &mut view.objects {
        (seen.is_left_behind, seen.is_recent, seen.has_waited) = (false, false, false);
    }
    (view.recently_deleted, view.many_orphans) = ([false; SYNCS], ManyOrphans::None);
    let in_flight = std::array::from_fn(|place: Place| state.flight[sync][place].is_some());
    PassInput { sync, view, source_was_read, in_flight }
}

/// The part of an observation that decisions depend on.
fn ignoring_versions(view: &View) -> View {
    let mut view = *view;
    for seen in &mut view.objects {
        (seen.is_current, seen.is_same_object) = (false, false);
    }
    for seen in view.syncs.iter_mut().flatten() {
        seen.is_current = false;
    }
    view
}
