//! What is known of `ConfigMaps`, from their metadata.

mod orphans;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::collections::HashSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::api::namespaced_name::NamespacedName;
use crate::cache::ConfigMapChange;
use crate::cache::Entry;
use crate::cache::key::Key;
use crate::cache::packed::Packed;
use crate::cache::pending_change::Origin;
use crate::cache::pending_change::PendingChange;
use crate::cache::reads_in_flight::Began;
use crate::cache::reads_in_flight::ReadsInFlight;
use crate::cache::small_set::Few;
use crate::decide::Content;
use crate::decide::content::Digest;
use crate::decide::drift::FieldOwnership;
use crate::decide::observed::Version;

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CachedConfigMap {
    /// A `ConfigMap` stands there.
    Present(Box<Entry>),
    /// Nothing stands there.
    Absent,
    /// Nobody has looked since a sync first referred to it.
    Unknown,
}

#[derive(Debug, Default)]
pub(super) struct ConfigMaps {
    entries: HashMap<Key, Kept>,
    by_sync: HashMap<Box<str>, Few<Key>>,
    /// Names that a sync refers to, and where a look found nothing.
    absent: HashSet<Key>,
    reads: ReadsInFlight,
    marked: usize,
    list: u64,
    is_listing: bool,
    /// The resourceVersion up to which the watch has told everything, since the last list.
    watched: Option<u128>,
}

#[derive(Debug)]
struct Kept {
    entry: Packed<Entry>,
    is_marked: bool,
    /// The list, complete or under way, during which this was last seen.
    list: u64,
    /// What a call told before the watch.
    news: Option<Box<PendingChange>>,
}

// === impl ConfigMaps ===

impl ConfigMaps {
    pub(super) fn list_begins(&mut self) {
        self.list += 1;
        self.is_listing = true;
        self.watched = None;
    }

    pub(super) fn list_ends(&mut self) -> Vec<ConfigMapChange> {
        self.is_listing = false;
        let unseen = self.entries.iter().filter(|(_, kept)| kept.list != self.list);
        let unseen: Vec<_> = unseen.map(|(at, _)| at.name()).collect();
        unseen.iter().filter_map(|at| self.gone(at, None, Origin::Watch, |_| false)).collect()
    }

    pub(super) fn seen(
        &mut self,
        metadata: &ObjectMeta,
        origin: Origin,
        is_referred_to: impl FnOnce(&NamespacedName) -> bool,
    ) -> Option<ConfigMapChange> {
        let at = NamespacedName::new(metadata.namespace.clone()?, metadata.name.clone()?);
        let key = Key::from(&at);
        let entry = Entry::of(metadata)?;
        self.reads.tell(&key);
        if origin == Origin::Watch && !self.is_listing {
            self.watched = self.watched.max(entry.version.number());
        }
        if origin == Origin::Write && self.is_overtaken(&key, &entry.version) {
            return None;
        }
        if let Some(kept) = self.entries.get_mut(&key) {
            let known = kept.entry.unpack();
            let first_in_this_list = kept.list != self.list;
            kept.list = self.list;
            let is_same = known.as_ref().is_some_and(|known| known.version == entry.version);
            let is_older = known.is_some_and(|known| entry.is_not_newer_than(&known));
            let is_believed = first_in_this_list || origin == Origin::Read;
            if is_same && origin == Origin::Watch {
                return kept.news.take().map(|news| ConfigMapChange::late(at, *news));
            }
            if is_same || (is_older && !is_believed) {
                return None;
            }
        }
        if entry.markers.is_none() && !is_referred_to(&at) {
            return self.gone(&at, None, Origin::Read, |_| false);
        }
        let packed = Packed::of(&entry)?;
        let mut sync_uids = BTreeSet::from_iter(entry.sync_uid().cloned());
        self.absent.remove(&key);
        let before = self.remove(&key);
        let (known, old_news) = before.unzip();
        sync_uids.extend(known.as_ref().and_then(|known| known.sync_uid().cloned()));
        let old_news = old_news.flatten();
        let news = PendingChange::after(origin, &sync_uids, entry.sync_uid(), old_news.as_deref());
        sync_uids.extend(old_news.into_iter().flat_map(|news| news.sync_uids));
        if let Some(uid) = entry.sync_uid() {
            let places = self.by_sync.remove(uid.as_str());
            self.by_sync.insert(uid.as_str().into(), Few::insert(places, key.clone()));
            self.marked += 1;
        }
        let is_marked = entry.markers.is_some();
        self.entries.insert(key, Kept { entry: packed, is_marked, list: self.list, news });
        Some(ConfigMapChange { at, sync_uids, caused_by: None })
    }

    pub(super) fn gone(
        &mut self,
        at: &NamespacedName,
        uid: Option<&str>,
        origin: Origin,
        is_referred_to: impl FnOnce(&NamespacedName) -> bool,
    ) -> Option<ConfigMapChange> {
        let key = Key::from(at);
        self.reads.tell(&key);
        let Some(kept) = self.entries.get(&key) else {
            // Whoever deleted it, or looked, knew before: the others learn it now.
            let concerns = origin == Origin::Watch && is_referred_to(at);
            return concerns.then(|| ConfigMapChange::late(at.clone(), PendingChange::default()));
        };
        if let Some((uid, known)) = uid.zip(kept.entry.unpack())
            && known.version.uid != uid
        {
            return None;
        }
        let (known, news) = self.remove(&key)?;
        let mut sync_uids = BTreeSet::from_iter(known.sync_uid().cloned());
        sync_uids.extend(news.into_iter().flat_map(|news| news.sync_uids));
        Some(ConfigMapChange { at: at.clone(), sync_uids, caused_by: None })
    }

    pub(super) fn begin_read(&mut self, at: &NamespacedName) -> Began {
        self.reads.begin(Key::from(at))
    }

    pub(super) fn end_read(&mut self, at: &NamespacedName) {
        self.reads.end(&Key::from(at));
    }

    /// A read has found this. Where nothing was told since it began, it is believed, even if its
    /// resourceVersion is lower than what is known: storage was restored to an earlier state.
    pub(super) fn found(
        &mut self,
        metadata: &ObjectMeta,
        began: Began,
        is_referred_to: impl FnOnce(&NamespacedName) -> bool,
    ) {
        let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) else { return };
        let key = Key::from(&NamespacedName::new(namespace, name));
        if !self.reads.is_overtaken(&key, began) || self.is_later_version(&key, metadata) {
            self.seen(metadata, Origin::Read, is_referred_to);
        }
    }

    /// A read has found nothing.
    pub(super) fn found_nothing(
        &mut self,
        at: &NamespacedName,
        began: Began,
        is_referred_to: impl FnOnce(&NamespacedName) -> bool,
    ) {
        let key = Key::from(at);
        if self.reads.is_overtaken(&key, began) {
            return;
        }
        self.gone(at, None, Origin::Read, |_| false);
        if is_referred_to(at) {
            self.absent.insert(key);
        }
    }

    /// Drops what carries no mark and is not to be kept.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&NamespacedName) -> bool) {
        self.absent.retain(|at| is_kept(&at.name()));
        self.entries.retain(|at, kept| kept.is_marked || is_kept(&at.name()));
    }

    pub(super) fn no_longer_referred_to(&mut self, at: &NamespacedName) {
        let key = Key::from(at);
        self.absent.remove(&key);
        if self.entries.get(&key).is_some_and(|kept| !kept.is_marked) {
            self.entries.remove(&key);
        }
    }

    pub(super) fn record_content(&mut self, at: &NamespacedName, version: &Version, read: Digest) {
        if let Some(kept) = self.entries.get_mut(&Key::from(at))
            && let Some(mut entry) = kept.entry.unpack()
            && entry.version == *version
        {
            entry.read = Some(read);
            kept.keep(&entry);
        }
    }

    /// Our patch of the version `seen` was answered with `metadata`. It wrote `content`, or left
    /// the content as it was: where metadata cannot tell, that is known without a read.
    pub(super) fn written(
        &mut self,
        metadata: &ObjectMeta,
        seen: &Version,
        content: Option<&Content>,
    ) {
        let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) else { return };
        let key = Key::from(&NamespacedName::new(namespace, name));
        let before = self.entry(&key).filter(|before| before.version == *seen);
        let before = before.and_then(|before| before.read);
        self.seen(metadata, Origin::Write, |_| true);
        if let Some(kept) = self.entries.get_mut(&key)
            && let Some(mut entry) = kept.entry.unpack()
            && entry.fields == FieldOwnership::Suspect
            && Some(&entry.version.resource_version) == metadata.resource_version.as_ref()
        {
            entry.read = content.map(Content::digest).or(before);
            kept.keep(&entry);
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
        self.by_sync.get(sync_uid).into_iter().flat_map(Few::iter).map(Key::name).collect()
    }

    pub(super) fn marked_copies(&self) -> usize {
        self.marked
    }

    pub(super) fn sync_uids_in<'a>(
        &'a self,
        namespace: &'a str,
    ) -> impl Iterator<Item = &'a str> + 'a {
        let first = Key::from(&NamespacedName::new(namespace, ""));
        let has_one = move |places: &Few<Key>| {
            places.first_from(&first).is_some_and(|at| at.is_in(namespace))
        };
        let syncs = self.by_sync.iter().filter(move |(_, places)| has_one(places));
        syncs.map(|(uid, _)| &**uid)
    }

    /// Whether the watch has told of a written version before its answer came, and that it is gone
    /// again: the answer would bring back what is not there. Events come in the order of their
    /// resourceVersions (Kubernetes API concepts, "efficient detection of changes").
    fn is_overtaken(&self, key: &Key, written: &Version) -> bool {
        let is_told = written.number().is_some_and(|number| Some(number) <= self.watched);
        is_told && self.entry(key).is_none_or(|known| known.version.uid != written.uid)
    }

    /// Whether this is of the object that is known, and newer.
    fn is_later_version(&self, key: &Key, metadata: &ObjectMeta) -> bool {
        self.entry(key).zip(Entry::of(metadata)).is_some_and(|(known, found)| {
            known.version.uid == found.version.uid && !found.is_not_newer_than(&known)
        })
    }

    fn entry(&self, key: &Key) -> Option<Entry> {
        self.entries.get(key)?.entry.unpack()
    }

    fn remove(&mut self, key: &Key) -> Option<(Entry, Option<Box<PendingChange>>)> {
        let kept = self.entries.remove(key)?;
        let entry = kept.entry.unpack()?;
        if let Some(uid) = entry.sync_uid()
            && let Some(places) = self.by_sync.remove(uid.as_str())
        {
            self.marked -= 1;
            if let Some(left) = places.without(key) {
                self.by_sync.insert(uid.as_str().into(), left);
            }
        }
        Some((entry, kept.news))
    }
}

// === impl Kept ===

impl Kept {
    /// Keeps more of the same version.
    fn keep(&mut self, entry: &Entry) {
        if let Some(packed) = Packed::of(entry) {
            self.entry = packed;
        }
    }
}
