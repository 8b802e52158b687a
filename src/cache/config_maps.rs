//! `ConfigMaps`, from their metadata.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;

use crate::decide::drift::ConfigMapMetadata;

use crate::api::namespaced_name::NamespacedName;
use crate::api::uid::Uid;
use crate::cache::change::ConfigMapChange;
use crate::cache::change::Origin;
use crate::cache::change::PendingChange;
use crate::cache::entry::Entry;
use crate::cache::key::Key;
use crate::cache::lists::Lists;
use crate::cache::packed_entry::PackedEntry;
use crate::cache::reads_in_flight::ReadStart;
use crate::cache::reads_in_flight::ReadsInFlight;
use crate::cache::small_set::Few;
use crate::decide::Content;
use crate::decide::content::Digest;
use crate::decide::drift::FieldOwnership;
use crate::decide::observed::Version;

/// What is known of the `ConfigMap` at one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CachedConfigMap {
    /// It exists.
    Present(Box<Entry>),
    /// A live read has shown that it does not exist.
    Absent,
    /// No list, event or read has shown it since a sync first referred to the name.
    Unknown,
}

#[derive(Debug, Default)]
pub(super) struct ConfigMaps {
    entries: HashMap<Key, Slot>,
    by_sync: HashMap<Uid, Few<Key>>,
    /// Names that a sync refers to, and for which a live read returned 404.
    absent: HashSet<Key>,
    reads: ReadsInFlight,
    marked: usize,
    lists: Lists,
}

#[derive(Debug)]
struct Slot {
    entry: PackedEntry,
    is_marked: bool,
    /// The latest list, complete or in progress, since which this was observed.
    list: u64,
    /// A change that was observed in a response, and that the watch has not delivered yet.
    pending: Option<Box<PendingChange>>,
}

// === impl ConfigMaps ===

impl ConfigMaps {
    /// A list of `namespace` begins; without one, of the whole cluster.
    pub(super) fn begin_list(&mut self, namespace: Option<&str>) {
        self.lists.begin(namespace);
    }

    pub(super) fn end_list(&mut self, namespace: Option<&str>) -> Vec<ConfigMapChange> {
        self.lists.end(namespace);
        let listed = self.entries.iter().filter(|(at, _)| namespace.is_none_or(|it| at.is_in(it)));
        let unlisted =
            listed.filter(|(at, slot)| slot.list != self.lists.of(at.namespace()).number);
        let unlisted: Vec<_> = unlisted.map(|(at, _)| at.name()).collect();
        unlisted.iter().filter_map(|at| self.remove(at, None, Origin::Watch, |_| false)).collect()
    }

    /// Records an observed `ConfigMap`, unless it is older than the known version, or neither
    /// marked nor referred to by a sync. Returns the change, if it is one.
    pub(super) fn apply(
        &mut self,
        metadata: &ConfigMapMetadata,
        origin: Origin,
        is_referred_to: impl FnOnce(&NamespacedName) -> bool,
    ) -> Option<ConfigMapChange> {
        let at = NamespacedName::new(metadata.namespace.clone()?, metadata.name.clone()?);
        let key = Key::from(&at);
        let entry = Entry::of(metadata)?;
        self.reads.record_observation(&key);
        if origin == Origin::Watch {
            self.lists.delivered(&at.namespace, entry.version.number());
        }
        if origin == Origin::Write && self.is_overtaken_by_watch(&key, &entry.version) {
            return None;
        }
        let list = self.lists.of(&at.namespace).number;
        if let Some(slot) = self.entries.get_mut(&key) {
            let known = slot.entry.unpack(&key);
            let is_first_in_list = slot.list != list;
            slot.list = list;
            let is_same = known.as_ref().is_some_and(|known| known.version == entry.version);
            let is_older = known.is_some_and(|known| entry.is_not_newer_than(&known));
            // After a restore of etcd, a list or a live read returns lower resourceVersions.
            let may_go_back = is_first_in_list || origin == Origin::Read;
            if is_same && origin == Origin::Watch {
                let pending = slot.pending.take();
                return pending.map(|pending| ConfigMapChange::delivered(at, *pending));
            }
            if is_same || (is_older && !may_go_back) {
                return None;
            }
        }
        if entry.markers.is_none() && !is_referred_to(&at) {
            return self.remove(&at, None, Origin::Read, |_| false);
        }
        self.insert(at, key, &entry, origin)
    }

    fn insert(
        &mut self,
        at: NamespacedName,
        key: Key,
        entry: &Entry,
        origin: Origin,
    ) -> Option<ConfigMapChange> {
        let packed = PackedEntry::of(&key, entry)?;
        let mut sync_uids = BTreeSet::from_iter(entry.sync_uid().cloned());
        self.absent.remove(&key);
        let (known, before) = self.take(&key).unzip();
        sync_uids.extend(known.as_ref().and_then(|known| known.sync_uid().cloned()));
        let before = before.flatten();
        let pending = PendingChange::after(origin, &sync_uids, entry.sync_uid(), before.as_deref());
        sync_uids.extend(before.into_iter().flat_map(|before| before.sync_uids));
        if let Some(uid) = entry.sync_uid() {
            let uid = Uid::from(&**uid);
            let copies = self.by_sync.remove(&uid);
            self.by_sync.insert(uid, Few::insert(copies, key.clone()));
            self.marked += 1;
        }
        let is_marked = entry.markers.is_some();
        let list = self.lists.of(&at.namespace).number;
        self.entries.insert(key, Slot { entry: packed, is_marked, list, pending });
        Some(ConfigMapChange { at, sync_uids, caused_by: None })
    }

    /// Removes the `ConfigMap` with this uid; without a uid, whichever is at `at`.
    pub(super) fn remove(
        &mut self,
        at: &NamespacedName,
        uid: Option<&str>,
        origin: Origin,
        is_referred_to: impl FnOnce(&NamespacedName) -> bool,
    ) -> Option<ConfigMapChange> {
        let key = Key::from(at);
        self.reads.record_observation(&key);
        let Some(slot) = self.entries.get(&key) else {
            // A reconcile removed it earlier: the event of the watch enqueues the other syncs.
            let is_delivered = origin == Origin::Watch && is_referred_to(at);
            return is_delivered
                .then(|| ConfigMapChange::delivered(at.clone(), PendingChange::default()));
        };
        if let Some((uid, known)) = uid.zip(slot.entry.unpack(&key))
            && known.version.uid != uid
        {
            return None;
        }
        let (known, pending) = self.take(&key)?;
        let mut sync_uids = BTreeSet::from_iter(known.sync_uid().cloned());
        sync_uids.extend(pending.into_iter().flat_map(|pending| pending.sync_uids));
        Some(ConfigMapChange { at: at.clone(), sync_uids, caused_by: None })
    }

    pub(super) fn begin_read(&mut self, at: &NamespacedName) -> ReadStart {
        self.reads.begin(Key::from(at))
    }

    pub(super) fn end_read(&mut self, at: &NamespacedName) {
        self.reads.end(&Key::from(at));
    }

    /// Records the response to a live read that began at `start`. If nothing was observed since,
    /// the response counts even with a lower resourceVersion: etcd was restored.
    pub(super) fn record_found(
        &mut self,
        metadata: &ConfigMapMetadata,
        start: ReadStart,
        is_referred_to: impl FnOnce(&NamespacedName) -> bool,
    ) {
        let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) else { return };
        let key = Key::from(&NamespacedName::new(namespace, name));
        if !self.reads.is_overtaken(&key, start) || self.is_later_version(&key, metadata) {
            self.apply(metadata, Origin::Read, is_referred_to);
        }
    }

    /// Records that a live read that began at `start` returned 404.
    pub(super) fn record_not_found(
        &mut self,
        at: &NamespacedName,
        start: ReadStart,
        is_referred_to: impl FnOnce(&NamespacedName) -> bool,
    ) {
        let key = Key::from(at);
        if self.reads.is_overtaken(&key, start) {
            return;
        }
        self.remove(at, None, Origin::Read, |_| false);
        if is_referred_to(at) {
            self.absent.insert(key);
        }
    }

    /// Drops the unmarked `ConfigMaps` except those that `is_kept` accepts.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&NamespacedName) -> bool) {
        self.absent.retain(|at| is_kept(&at.name()));
        self.entries.retain(|at, slot| slot.is_marked || is_kept(&at.name()));
    }

    /// Drops the `ConfigMap` at `at` if it is unmarked.
    pub(super) fn drop_unmarked(&mut self, at: &NamespacedName) {
        let key = Key::from(at);
        self.absent.remove(&key);
        if self.entries.get(&key).is_some_and(|slot| !slot.is_marked) {
            self.entries.remove(&key);
        }
    }

    /// Records the digest of content that was read at `version`, if that is the known version.
    pub(super) fn record_content(
        &mut self,
        at: &NamespacedName,
        version: &Version,
        digest: Digest,
    ) {
        let key = Key::from(at);
        if let Some(slot) = self.entries.get_mut(&key)
            && let Some(mut entry) = slot.entry.unpack(&key)
            && entry.version == *version
        {
            entry.read = Some(digest);
            slot.replace(&key, &entry);
        }
    }

    /// Records the response `metadata` to our patch of the version `seen`. The patch wrote
    /// `content`, or left the content unchanged: either way the content is known, even where
    /// metadata alone would not suffice.
    pub(super) fn record_patch(
        &mut self,
        metadata: &ConfigMapMetadata,
        seen: &Version,
        content: Option<&Content>,
    ) {
        let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) else { return };
        let key = Key::from(&NamespacedName::new(namespace, name));
        let before = self.entry(&key).filter(|before| before.version == *seen);
        let before = before.and_then(|before| before.read);
        self.apply(metadata, Origin::Write, |_| true);
        if let Some(slot) = self.entries.get_mut(&key)
            && let Some(mut entry) = slot.entry.unpack(&key)
            && entry.fields == FieldOwnership::Suspect
            && Some(&entry.version.resource_version) == metadata.resource_version.as_ref()
        {
            entry.read = content.map(Content::digest).or(before);
            slot.replace(&key, &entry);
        }
    }

    pub(super) fn get(&self, at: &NamespacedName) -> CachedConfigMap {
        let key = Key::from(at);
        match self.entry(&key) {
            Some(entry) => CachedConfigMap::Present(Box::new(entry)),
            None if self.absent.contains(&key) => CachedConfigMap::Absent,
            None => CachedConfigMap::Unknown,
        }
    }

    pub(super) fn copies_of(&self, sync_uid: &str) -> Vec<NamespacedName> {
        self.keys_of(sync_uid).map(Key::name).collect()
    }

    pub(super) fn count_copies_of(&self, sync_uid: &Uid) -> usize {
        self.by_sync.get(sync_uid).map_or(0, Few::len)
    }

    /// The uids of all syncs that have marked copies.
    pub(super) fn sync_uids(&self) -> impl Iterator<Item = &Uid> {
        self.by_sync.keys()
    }

    /// The marked copies of a sync.
    pub(super) fn entries_of(&self, sync_uid: &str) -> Vec<(NamespacedName, Entry)> {
        self.keys_of(sync_uid).filter_map(|at| Some((at.name(), self.entry(at)?))).collect()
    }

    fn keys_of(&self, sync_uid: &str) -> impl Iterator<Item = &Key> {
        self.by_sync.get(&Uid::from(sync_uid)).into_iter().flat_map(Few::iter)
    }

    pub(super) fn marked_copies(&self) -> usize {
        self.marked
    }

    /// The uids of the syncs that have a copy in `namespace`.
    pub(super) fn sync_uids_in<'a>(
        &'a self,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a Uid> + 'a {
        let first = Key::from(&NamespacedName::new(namespace, ""));
        let has_copy = move |copies: &Few<Key>| {
            copies.first_from(&first).is_some_and(|at| at.is_in(namespace))
        };
        let syncs = self.by_sync.iter().filter(move |(_, copies)| has_copy(copies));
        syncs.map(|(uid, _)| uid)
    }

    /// Whether the watch has already delivered the `written` version, and its deletion: recording
    /// the late response would revive a deleted object. Events arrive in the order of their
    /// resourceVersions (Kubernetes API concepts, "efficient detection of changes").
    fn is_overtaken_by_watch(&self, key: &Key, written: &Version) -> bool {
        let watched = self.lists.of(key.namespace()).watched;
        let is_delivered = written.number().is_some_and(|number| Some(number) <= watched);
        is_delivered && self.entry(key).is_none_or(|known| known.version.uid != written.uid)
    }

    /// Whether `metadata` is of the known object, and newer.
    fn is_later_version(&self, key: &Key, metadata: &ConfigMapMetadata) -> bool {
        self.entry(key).zip(Entry::of(metadata)).is_some_and(|(known, found)| {
            known.version.uid == found.version.uid && !found.is_not_newer_than(&known)
        })
    }

    fn entry(&self, key: &Key) -> Option<Entry> {
        self.entries.get(key)?.entry.unpack(key)
    }

    fn take(&mut self, key: &Key) -> Option<(Entry, Option<Box<PendingChange>>)> {
        let slot = self.entries.remove(key)?;
        let entry = slot.entry.unpack(key)?;
        if let Some(uid) = entry.sync_uid()
            && let Some((uid, copies)) = self.by_sync.remove_entry(&Uid::from(&**uid))
        {
            self.marked -= 1;
            if let Some(left) = copies.without(key) {
                self.by_sync.insert(uid, left);
            }
        }
        Some((entry, slot.pending))
    }
}

// === impl Slot ===

impl Slot {
    /// Replaces the entry by one of the same version.
    fn replace(&mut self, key: &Key, entry: &Entry) {
        if let Some(packed) = PackedEntry::of(key, entry) {
            self.entry = packed;
        }
    }
}
