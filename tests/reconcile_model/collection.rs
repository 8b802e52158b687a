//! Orphan collection: its input from the operator's cache, and its decisions.

use std::collections::BTreeMap;
use std::time::Duration;
use std::time::Instant;

use configmapsync::api::namespaced_name::NamespacedName;
use configmapsync::cache::Cache;
use configmapsync::cache::CachedConfigMap;
use configmapsync::cache::NamespaceMetadata;
use configmapsync::cache::Origin;
use configmapsync::decide::drift::FieldOwnership;
use configmapsync::decide::orphans::CollectionMode;
use configmapsync::decide::orphans::ObservedOrphans;
use configmapsync::decide::orphans::OwnerState;
use configmapsync::decide::orphans::plan_collection;
use configmapsync::names as keys;
use configmapsync::orphans::DeletedSyncs;
use configmapsync::orphans::Owners;
use configmapsync::orphans::candidates;

use crate::config::Fault;
use crate::content::user_content;
use crate::decisions::Decisions;
use crate::names::Life;
use crate::names::PLACES;
use crate::names::Place;
use crate::names::SOURCE_NAME;
use crate::names::SYNCS;
use crate::names::Sync;
use crate::names::at;
use crate::names::place_at;
use crate::names::sync_name;
use crate::object::Field;
use crate::object::Object;
use crate::oracle::Violation;
use crate::oracle::harm_of_collection;
use crate::state::ManyOrphans;
use crate::state::SeenObject;
use crate::state::StoredSync;
use crate::state::View;
use crate::state::Write;
use crate::store::Store;

const GRACE: Duration = Duration::from_mins(10);
/// Longer than a late write may take.
const LATER: Duration = Duration::from_mins(5);

/// What orphan collection decides on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CollectionInput {
    /// What is observed.
    pub view: View,
    /// The syncs that live reads find, once the candidates were read.
    pub found: Option<[Option<StoredSync>; SYNCS]>,
}

/// What orphan collection does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Collection {
    /// Live reads of these places, and of the syncs.
    Read([bool; PLACES]),
    /// These writes.
    Write([Option<Write>; PLACES]),
}

// === impl CollectionInput ===

impl CollectionInput {
    /// What orphan collection does.
    pub fn decide(&self, decisions: &Decisions) -> Collection {
        let plan = plan_collection(&self.observed(decisions));
        if self.found.is_none() {
            let unconfirmed: Vec<_> = plan.unconfirmed().filter_map(place_at).collect();
            let is_read = |place| unconfirmed.contains(&place);
            return Collection::Read(std::array::from_fn(is_read));
        }
        let has_many = self.view.many_orphans != ManyOrphans::None;
        let is_other = |at: &NamespacedName| place_at(at).is_none();
        let others = plan.steps.iter().filter(|(at, step)| is_other(at) && step.action().is_some());
        assert_eq!(others.count(), 0, "one of many orphans is collected without a person");
        let actions: BTreeMap<_, _> = plan
            .steps
            .iter()
            .filter_map(|(at, step)| Some((place_at(at)?, step.action()?)))
            .collect();
        let write = |place: Place| {
            let seen = self.view.objects[place].id;
            let mut write = decisions.write(place, seen, actions.get(&place)?)?;
            let object = decisions.store.get(seen?);
            write.harm = harm_of_collection(&object, place, write.kind);
            let SeenObject { is_left_behind, is_recent, .. } = self.view.objects[place];
            if has_many && !is_left_behind && !is_recent {
                write.harm = Some(Violation::CollectedMany);
            }
            Some(write)
        };
        Collection::Write(std::array::from_fn(write))
    }

    fn observed(&self, decisions: &Decisions) -> ObservedOrphans {
        let cache = self.view.cache(&decisions.store);
        self.add_many_orphans(&cache);
        let deleted_syncs = self.deleted_syncs(&cache, &decisions.store);
        let mut candidates = candidates(&cache, &self.owners());
        for (at, candidate) in &mut candidates {
            let has_waited = place_at(at).map_or_else(
                || self.view.many_orphans == ManyOrphans::HaveWaited,
                |place| self.view.objects[place].has_waited,
            );
            candidate.known_for = if has_waited { GRACE } else { Duration::ZERO };
            candidate.seen_alive = deleted_syncs.left_behind(&cache, at)
                || decisions.fault == Some(Fault::TrustsManagedFields)
                    && is_written_by_us(&cache, at)
                    && Life::parse(&candidate.markers.sync_uid)
                        .is_some_and(|(_, life)| life == Life::SeenAlive);
        }
        ObservedOrphans::all(candidates, cache.marked_copies(), CollectionMode::Automatic(GRACE))
    }

    /// The brake applies to more than ten orphans.
    fn add_many_orphans(&self, cache: &Cache) {
        let count = if self.view.many_orphans == ManyOrphans::None { 0 } else { 11 };
        for number in 0..count {
            let at = NamespacedName::new(format!("other-{number}"), SOURCE_NAME);
            let namespace = Some(at.namespace.clone());
            let (name, uid) = (namespace.clone(), namespace);
            let namespace = NamespaceMetadata { name, uid, ..NamespaceMetadata::default() };
            cache.apply_namespace(&namespace);
            let mut orphan = Object::of_user(user_content());
            let markers = [
                (keys::ANNOTATION_SYNC, "team/other".to_owned()),
                (keys::ANNOTATION_COPY, at.to_string()),
                (keys::ANNOTATION_CREATED, "true".to_owned()),
                (keys::ANNOTATION_DELETION_POLICY, "Delete".to_owned()),
            ];
            orphan.set(Field::Labels, keys::LABEL_SYNC_UID, "other");
            for (key, value) in markers {
                orphan.set(Field::Annotations, key, &value);
            }
            cache.apply_config_map(&orphan.metadata(at.clone(), &at.namespace), Origin::Watch);
        }
    }

    /// The results of the live reads of syncs.
    fn owners(&self) -> Owners {
        let mut owners = Owners::default();
        let Some(found) = self.found else { return owners };
        let other = NamespacedName::new("team", "other");
        owners.insert((other, "other".to_owned()), OwnerState::Deleted);
        for (sync, found) in found.into_iter().enumerate() {
            for life in Life::ALL {
                let seen = self.view.syncs[sync];
                let owner = match found {
                    None => OwnerState::Deleted,
                    Some(_) if life == Life::Current => OwnerState::Exists,
                    Some(_) if seen.is_some_and(|seen| !seen.is_former) => OwnerState::Replaced,
                    Some(_) => OwnerState::Unknown("recreated a moment ago".to_owned()),
                };
                owners.insert((sync_name(sync), life.uid(sync)), owner);
            }
        }
        owners
    }

    /// What the operator remembers of the syncs whose deletion it has observed.
    fn deleted_syncs(&self, cache: &Cache, store: &Store) -> DeletedSyncs {
        let (remembered, now) = (DeletedSyncs::default(), Instant::now());
        for sync in 0..SYNCS {
            let at_deletion = self.at_deletion(store, sync).cache(store);
            remembered.record(&Life::SeenAlive.uid(sync), &at_deletion, now);
        }
        for place in 0..PLACES {
            let delay = if self.view.objects[place].is_recent { Duration::ZERO } else { LATER };
            remembered.record_copy(&at(place), cache, now + delay);
        }
        remembered
    }

    /// What was observed when the deletion of `sync` was, of the `ConfigMaps` that still exist.
    fn at_deletion(&self, store: &Store, sync: Sync) -> View {
        let mut past = self.view;
        for seen in past.objects.iter_mut().filter(|seen| !seen.is_left_behind) {
            seen.id = None;
        }
        for seen in &mut past.objects {
            let owner = |id| store.get(id).owner();
            seen.id = seen.id.filter(|id| owner(*id) == Some((sync, Life::SeenAlive)));
        }
        past
    }
}

/// Whether managedFields name only the operator.
fn is_written_by_us(cache: &Cache, at: &NamespacedName) -> bool {
    let CachedConfigMap::Present(entry) = cache.config_map(at) else { return false };
    matches!(entry.fields, FieldOwnership::Ours { .. })
}
