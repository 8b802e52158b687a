//! What users do.

use std::collections::BTreeSet;

use configmapsync::names as keys;

use crate::content::CONTENTS;
use crate::content::copied;
use crate::content::user_content;
use crate::model::ReconcileModel;
use crate::names::Life;
use crate::names::NAMESPACES;
use crate::names::Namespace;
use crate::names::PLACES;
use crate::names::Place;
use crate::names::SYNCS;
use crate::names::Sync;
use crate::names::at;
use crate::names::namespace_of;
use crate::names::source;
use crate::names::sync_name;
use crate::object::Field;
use crate::object::MARKERS;
use crate::object::Object;
use crate::object::Origin;
use crate::object::Restored;
use crate::spec::Edit;
use crate::spec::STAMPED_LABEL;
use crate::spec::Spec;
use crate::state::ManyOrphans;
use crate::state::Phase;
use crate::state::Source;
use crate::state::State;
use crate::state::StoredSync;
use crate::store::ObjectId;

/// An action of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Act {
    /// Creates a sync.
    CreateSync(Sync),
    /// Deletes a sync.
    DeleteSync(Sync),
    /// Removes the finalizer of a sync.
    RemoveFinalizer(Sync),
    /// Changes the spec of a sync.
    EditSpec(Sync, Edit),
    /// Changes the content of the source, or creates it.
    WriteSource(u8),
    /// Deletes the source.
    DeleteSource,
    /// Forbids or allows to copy the source.
    ForbidSource,
    /// Creates a `ConfigMap`.
    Create(Place, Flavour),
    /// Changes the content of a `ConfigMap`.
    Edit(Place),
    /// Changes the label that `destinationMetadata` sets.
    EditLabel(Place),
    /// Deletes a `ConfigMap`.
    Delete(Place),
    /// Creates a `ConfigMap` with labels, annotations and content of another one.
    Clone(Place, Place),
    /// Creates the `ConfigMap` in the backup, with or without its managedFields.
    Restore(Place, bool),
    /// Restores many copies of other syncs.
    RestoreMany,
    /// Removes a marker.
    RemoveMarker(Place, usize),
    /// Adds a marker.
    AddMarker(Place, usize),
    /// Adds or removes the label that the selector selects.
    LabelNamespace(Namespace),
    /// Deletes a namespace.
    DeleteNamespace(Namespace),
    /// Creates a namespace.
    CreateNamespace(Namespace),
    /// Configures the operator to protect a namespace, or not to, and restarts it.
    ProtectNamespace(Namespace),
}

/// A `ConfigMap` that a user creates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// Nothing special.
    Plain,
    /// It has an owner reference.
    Owned,
    /// It is immutable.
    Immutable,
    /// Another tool manages it, by its label.
    Managed,
}

impl ReconcileModel {
    /// The actions that users may take.
    pub(crate) fn acts(&self, state: &State, mut push: impl FnMut(Act)) {
        self.acts_on_syncs(state, &mut push);
        self.acts_on_config_maps(state, &mut push);
        let users = &self.config.users;
        if users.restore_many {
            push(Act::RestoreMany);
        }
        if users.edit_source {
            push(Act::DeleteSource);
            push(Act::ForbidSource);
            (0..CONTENTS).for_each(|content| push(Act::WriteSource(content)));
        }
        for namespace in 0..NAMESPACES {
            if users.edit_namespaces || users.label_namespaces {
                push(Act::LabelNamespace(namespace));
            }
            if users.edit_namespaces {
                push(Act::DeleteNamespace(namespace));
                push(Act::CreateNamespace(namespace));
            }
            if users.protect_namespaces {
                push(Act::ProtectNamespace(namespace));
            }
        }
    }

    fn acts_on_syncs(&self, state: &State, push: &mut impl FnMut(Act)) {
        let users = &self.config.users;
        for sync in 0..SYNCS {
            if state.world.syncs[sync].is_none() {
                if users.delete_syncs && self.config.syncs[sync].is_some() {
                    push(Act::CreateSync(sync));
                }
                continue;
            }
            if users.delete_syncs {
                push(Act::DeleteSync(sync));
            }
            if users.remove_finalizers {
                push(Act::RemoveFinalizer(sync));
            }
            if users.edit_specs {
                Edit::all().for_each(|edit| push(Act::EditSpec(sync, edit)));
            } else if users.edit_conflict_policy {
                push(Act::EditSpec(sync, Edit::ConflictPolicy));
            }
        }
    }

    fn acts_on_config_maps(&self, state: &State, push: &mut impl FnMut(Act)) {
        let users = &self.config.users;
        let is_usable =
            |place: &Place| state.world.namespaces[namespace_of(*place)].phase == Phase::Active;
        for place in self.config.places.iter().copied().filter(is_usable) {
            let Some(id) = state.world.objects[place] else {
                if users.create_foreign {
                    for flavour in Flavour::ALL {
                        push(Act::Create(place, flavour));
                    }
                }
                if users.restore && state.backup[place].is_some() {
                    push(Act::Restore(place, false));
                    push(Act::Restore(place, true));
                }
                continue;
            };
            let object = self.decisions.store.get(id);
            if users.edit_copies {
                push(Act::Edit(place));
                push(Act::EditLabel(place));
            }
            if users.delete_copies {
                push(Act::Delete(place));
            }
            if users.clone {
                (0..PLACES).for_each(|to| push(Act::Clone(place, to)));
            }
            for (marker, (field, key)) in MARKERS.into_iter().enumerate() {
                match object.map(field).contains_key(key) {
                    true if users.remove_markers => push(Act::RemoveMarker(place, marker)),
                    false if users.add_markers => push(Act::AddMarker(place, marker)),
                    _ => {}
                }
            }
        }
    }

    /// A user acts. What is impossible changes nothing.
    pub(crate) fn act(&self, state: &mut State, act: Act) {
        match act {
            Act::CreateSync(sync) => self.create_sync(state, sync),
            Act::DeleteSync(sync) => self.edit_sync(state, sync, |it| it.is_deleting = true),
            Act::RemoveFinalizer(sync) => {
                self.edit_sync(state, sync, |it| it.has_finalizer = false);
            }
            Act::EditSpec(sync, edit) => {
                let has_generations = state.memory.is_some();
                self.edit_sync(state, sync, |it| it.edit(edit, has_generations));
            }
            Act::WriteSource(content) => {
                state.world.source = Source::Existing { content, forbids: false };
            }
            Act::DeleteSource => state.world.source = Source::Missing,
            Act::ForbidSource => {
                if let Source::Existing { forbids, .. } = &mut state.world.source {
                    *forbids ^= true;
                }
            }
            Act::Create(place, flavour) => self.create(state, place, flavour.object()),
            Act::Edit(place) => {
                self.edit(state, place, |object| object.set(Field::Data, "a", "edited"));
            }
            Act::EditLabel(place) => {
                let other = (STAMPED_LABEL.0, "edited");
                self.edit(state, place, |object| object.set(Field::Labels, other.0, other.1));
            }
            Act::Delete(place) => {
                state.store(place, None, false);
                state.changed_by_others(place);
            }
            Act::Clone(from, to) => {
                let Some(id) = state.world.objects[from] else { return };
                let original = (*self.decisions.store.get(id)).clone();
                let origin = if from == to { original.origin } else { Origin::User };
                let ours = BTreeSet::new();
                self.create(state, to, Object { ours, origin, ..original });
            }
            Act::Restore(place, keeps_managers) => self.restore(state, place, keeps_managers),
            Act::RestoreMany => {
                if state.view.many_orphans == ManyOrphans::None {
                    state.view.many_orphans = ManyOrphans::New;
                }
            }
            Act::RemoveMarker(place, marker) => {
                let (field, key) = MARKERS[marker];
                self.edit(state, place, |object| object.remove(field, key));
            }
            Act::AddMarker(place, marker) => self.add_marker(state, place, marker),
            Act::LabelNamespace(namespace) => {
                state.world.namespaces[namespace].is_labelled ^= true;
            }
            Act::DeleteNamespace(namespace) => {
                let phase = &mut state.world.namespaces[namespace].phase;
                if *phase == Phase::Active {
                    *phase = Phase::Terminating;
                }
            }
            Act::CreateNamespace(namespace) => {
                let phase = &mut state.world.namespaces[namespace].phase;
                if *phase == Phase::Missing {
                    *phase = Phase::Active;
                }
            }
            Act::ProtectNamespace(namespace) => {
                state.world.namespaces[namespace].is_protected ^= true;
                self.restart(state);
            }
        }
    }

    fn create_sync(&self, state: &mut State, sync: Sync) {
        let Some(spec) = self.config.syncs[sync] else { return };
        if state.world.syncs[sync].is_none() {
            state.store_sync(sync, Some(StoredSync::new(spec)));
        }
    }

    fn edit_sync(&self, state: &mut State, sync: Sync, edit: impl FnOnce(&mut StoredSync)) {
        let Some(before) = state.world.syncs[sync] else { return };
        let mut after = before;
        edit(&mut after);
        if after != before {
            state.store_sync(sync, Some(after));
            self.end_if_finalized(state, sync);
        }
    }

    fn create(&self, state: &mut State, place: Place, object: Object) {
        let namespace = state.world.namespaces[namespace_of(place)];
        if state.world.objects[place].is_none() && namespace.phase == Phase::Active {
            state.store(place, Some(self.decisions.store.id(object)), false);
            state.changed_by_others(place);
        }
    }

    fn edit(&self, state: &mut State, place: Place, edit: impl FnOnce(&mut Object)) {
        let Some(id) = state.world.objects[place] else { return };
        let after = self.decisions.store.changed(id, edit);
        if after != id {
            state.store(place, Some(after), true);
            state.changed_by_others(place);
        }
    }

    fn restore(&self, state: &mut State, place: Place, keeps_managers: bool) {
        let Some(id) = state.backup[place] else { return };
        let mut object = (*self.decisions.store.get(id)).clone();
        if !keeps_managers {
            object.ours.clear();
        }
        object.restored = self.restored(state, id);
        self.create(state, place, object);
    }

    /// Whether a copy that is restored now could still be a late write.
    fn restored(&self, state: &State, id: ObjectId) -> Restored {
        match self.decisions.store.get(id).owner() {
            Some((_, Life::NeverSeen)) => Restored::Recently,
            Some((sync, Life::SeenAlive)) if !state.view.recently_deleted[sync] => {
                Restored::Recently
            }
            _ => Restored::No,
        }
    }

    fn add_marker(&self, state: &mut State, place: Place, marker: usize) {
        let (field, key) = MARKERS[marker];
        let sync = 0;
        let exists = state.world.syncs[sync].is_some();
        let life = if exists { Life::Current } else { Life::NeverSeen };
        let value = match key {
            keys::LABEL_SYNC_UID => life.uid(sync),
            keys::ANNOTATION_SYNC => sync_name(sync).to_string(),
            keys::ANNOTATION_COPY => at(place).to_string(),
            keys::ANNOTATION_SOURCE => source().to_string(),
            keys::ANNOTATION_CREATED => "true".to_owned(),
            keys::ANNOTATION_DELETION_POLICY => "Delete".to_owned(),
            _ => "v1:of-a-user".to_owned(),
        };
        self.edit(state, place, |object| {
            object.set(field, key, &value);
            if key == keys::ANNOTATION_CREATED {
                object.origin = Origin::Claimed;
            }
        });
    }
}

// === impl Flavour ===

impl Flavour {
    const ALL: [Self; 4] = [Self::Plain, Self::Owned, Self::Immutable, Self::Managed];

    fn object(self) -> Object {
        // Equal to what would be copied, so that an immutable one needs no change.
        let data = match self {
            Self::Immutable => copied(0, Spec::SINGLE),
            _ => user_content(),
        };
        let mut object = Object::of_user(data);
        match self {
            Self::Plain => {}
            Self::Owned => object.has_owner = true,
            Self::Immutable => object.is_immutable = true,
            Self::Managed => object.set(Field::Labels, keys::LABEL_MANAGED_BY, "helm"),
        }
        object
    }
}
