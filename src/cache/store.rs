//! The cache as one value behind one lock.

use std::collections::BTreeSet;

use crate::decide::drift::ConfigMapMetadata;
use kube::core::Selector;
use parking_lot::Mutex;

use crate::api::namespace_patterns::NamespacePatterns;
use crate::api::namespaced_name::NamespacedName;
use crate::api::uid::Uid;
use crate::cache::change::ConfigMapChange;
use crate::cache::change::Origin;
use crate::cache::config_maps::CachedConfigMap;
use crate::cache::config_maps::ConfigMaps;
use crate::cache::entry::Entry;
use crate::cache::namespaces::NamespaceChange;
use crate::cache::namespaces::NamespaceFacts;
use crate::cache::namespaces::Namespaces;
use crate::cache::namespaces::Selected;
use crate::cache::reads_in_flight::ReadStart;
use crate::cache::stored_namespace::NamespaceLabels;
use crate::cache::stored_namespace::NamespaceMetadata;
use crate::cache::syncs::Dropped;
use crate::cache::syncs::KnownSync;
use crate::cache::syncs::Syncs;
use crate::decide::Content;
use crate::decide::content::Digest;
use crate::decide::observed::NamespaceState;
use crate::decide::observed::ObservedSync;
use crate::decide::observed::Version;

/// What is known of the cluster.
#[derive(Debug)]
pub struct Cache {
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    config_maps: ConfigMaps,
    namespaces: Namespaces,
    syncs: Syncs,
}

/// A live read in flight. If it is dropped without a response, the cache is unchanged.
#[derive(Debug)]
pub struct PendingRead<'a> {
    cache: &'a Cache,
    at: NamespacedName,
    start: ReadStart,
}

// === impl Cache ===

impl Cache {
    /// An empty cache; `protected` namespaces are never destinations.
    #[must_use]
    pub fn new(protected: NamespacePatterns) -> Self {
        let inner = Inner {
            config_maps: ConfigMaps::default(),
            namespaces: Namespaces::new(protected),
            syncs: Syncs::default(),
        };
        Self { inner: Mutex::new(inner) }
    }

    // --- ConfigMaps ---

    /// A complete list of the `ConfigMaps` in `namespace` begins; without one, of the whole cluster.
    pub fn begin_config_map_list(&self, namespace: Option<&str>) {
        self.inner.lock().config_maps.begin_list(namespace);
    }

    /// A complete list of `ConfigMaps` ends. Entries that it did not contain, and that were not
    /// written since it began, are removed.
    pub fn end_config_map_list(&self, namespace: Option<&str>) -> Vec<ConfigMapChange> {
        self.inner.lock().config_maps.end_list(namespace)
    }

    /// Records a `ConfigMap` observed by `origin`. Returns the change, if it is one: after a read
    /// or a write, the watch delivers it again for the other syncs that it concerns.
    pub fn apply_config_map(
        &self,
        metadata: &ConfigMapMetadata,
        origin: Origin,
    ) -> Option<ConfigMapChange> {
        let mut inner = self.inner.lock();
        let Inner { config_maps, syncs, .. } = &mut *inner;
        config_maps.apply(metadata, origin, |name| syncs.may_refer_to(name))
    }

    /// Records the response `metadata` to our patch of the version `seen`. `content` is what the
    /// patch wrote, if it wrote content.
    pub fn record_patch(
        &self,
        metadata: &ConfigMapMetadata,
        seen: &Version,
        content: Option<&Content>,
    ) {
        self.inner.lock().config_maps.record_patch(metadata, seen, content);
    }

    /// Removes the `ConfigMap` with this uid; without a uid, whichever is at `at`.
    pub fn remove_config_map(
        &self,
        at: &NamespacedName,
        uid: Option<&str>,
        origin: Origin,
    ) -> Option<ConfigMapChange> {
        let mut inner = self.inner.lock();
        let Inner { config_maps, syncs, .. } = &mut *inner;
        config_maps.remove(at, uid, origin, |name| syncs.may_refer_to(name))
    }

    /// Begins a live read of the `ConfigMap` at `at`. Its response is recorded unless something
    /// newer is observed while the read is in flight.
    #[must_use]
    pub fn begin_read(&self, at: &NamespacedName) -> PendingRead<'_> {
        let start = self.inner.lock().config_maps.begin_read(at);
        PendingRead { cache: self, at: at.clone(), start }
    }

    /// Records the digest of the content of the `ConfigMap` at `at`, read at `version`.
    pub fn record_content(&self, at: &NamespacedName, version: &Version, digest: Digest) {
        self.inner.lock().config_maps.record_content(at, version, digest);
    }

    /// What is known of the `ConfigMap` at `at`.
    #[must_use]
    pub fn config_map(&self, at: &NamespacedName) -> CachedConfigMap {
        self.inner.lock().config_maps.get(at)
    }

    /// The `ConfigMaps` that carry the uid of the sync.
    #[must_use]
    pub fn copies_of(&self, sync_uid: &str) -> Vec<NamespacedName> {
        self.inner.lock().config_maps.copies_of(sync_uid)
    }

    /// The uids that `ConfigMaps` carry of syncs which do not exist, in ascending order. The cost grows
    /// with the number of syncs, not of copies.
    #[must_use]
    pub fn dead_syncs(&self) -> Vec<String> {
        let inner = self.inner.lock();
        let dead = inner.config_maps.sync_uids().filter(|uid| !inner.syncs.exists(uid));
        let mut dead: Vec<_> = dead.map(Uid::to_string).collect();
        dead.sort_unstable();
        dead
    }

    /// The number of `ConfigMaps` that carry the uid of the sync.
    #[must_use]
    pub fn count_copies_of(&self, sync_uid: &str) -> usize {
        self.inner.lock().config_maps.count_copies_of(&Uid::from(sync_uid))
    }

    /// The `ConfigMaps` that carry the uid of the sync, with what is known of them.
    #[must_use]
    pub fn entries_of(&self, sync_uid: &str) -> Vec<(NamespacedName, Entry)> {
        self.inner.lock().config_maps.entries_of(sync_uid)
    }

    /// The number of `ConfigMaps` that carry the uid of any sync.
    #[must_use]
    pub fn marked_copies(&self) -> usize {
        self.inner.lock().config_maps.marked_copies()
    }

    // --- Namespaces ---

    /// A complete list of namespaces begins.
    pub fn begin_namespace_list(&self) {
        self.inner.lock().namespaces.begin_list();
    }

    /// A complete list of namespaces ends. Namespaces that it did not contain are removed.
    pub fn end_namespace_list(&self) -> Vec<NamespaceChange> {
        self.inner.lock().namespaces.end_list()
    }

    /// Records a namespace. Returns the change, if it is one.
    pub fn apply_namespace(&self, metadata: &NamespaceMetadata) -> Option<NamespaceChange> {
        self.inner.lock().namespaces.apply(metadata)
    }

    /// Removes a namespace.
    pub fn remove_namespace(&self, name: &str) -> Option<NamespaceChange> {
        self.inner.lock().namespaces.remove(name)
    }

    /// The state of a namespace, and its uid if it exists.
    #[must_use]
    pub fn namespace(&self, name: &str) -> (NamespaceState, Option<String>) {
        let inner = self.inner.lock();
        (inner.namespaces.state(name), inner.namespaces.uid(name))
    }

    /// The namespaces that `selector` selects.
    #[must_use]
    pub fn select(&self, selector: &Selector) -> Selected {
        self.inner.lock().namespaces.select(selector)
    }

    /// Whether `selector` selects the namespace `name`; `None` if that is not known.
    #[must_use]
    pub fn is_selected(&self, selector: &Selector, name: &str) -> Option<bool> {
        self.inner.lock().namespaces.is_selected_now(selector, name)
    }

    /// Records whether `selector` matches these `labels` of the namespace `name`, from a live read.
    pub fn record_match(
        &self,
        selector: &Selector,
        name: &str,
        uid: Option<&str>,
        labels: &NamespaceLabels,
        is_match: bool,
    ) {
        self.inner.lock().namespaces.record_match(selector, name, uid, labels, is_match);
    }

    /// The syncs whose known selector would, or might, select the namespace `name` if it had these
    /// facts.
    #[must_use]
    pub fn syncs_selecting(
        &self,
        name: &str,
        facts: Option<&NamespaceFacts>,
    ) -> BTreeSet<NamespacedName> {
        let inner = self.inner.lock();
        let selects =
            |selector: &_| inner.namespaces.is_selected(selector, name, facts) != Some(false);
        inner.syncs.selecting(selects).collect()
    }

    // --- ConfigMapSyncs ---

    /// A complete list of the syncs in `namespace` begins; without one, of the whole cluster.
    pub fn begin_sync_list(&self, namespace: Option<&str>) {
        self.inner.lock().syncs.begin_list(namespace);
    }

    /// The syncs that the current list of `namespace` has not contained so far. At its end, they are
    /// gone.
    #[must_use]
    pub fn unlisted_syncs(&self, namespace: Option<&str>) -> Vec<NamespacedName> {
        self.inner.lock().syncs.unlisted(namespace)
    }

    /// Records a sync, and keeps from now on the `ConfigMaps` that it refers to. Returns the uid of
    /// the sync that had the same name before, if it was another.
    pub fn apply_sync(&self, sync: &ObservedSync) -> Option<String> {
        let mut inner = self.inner.lock();
        let replaced = inner.syncs.replaced_by(sync);
        let dropped = inner.syncs.apply(sync);
        inner.drop_unreferred(dropped);
        replaced
    }

    /// Removes a sync, and the `ConfigMaps` that only it referred to. Returns its uid, if it was
    /// known.
    pub fn remove_sync(&self, name: &NamespacedName) -> Option<String> {
        let mut inner = self.inner.lock();
        let (uid, dropped) = inner.syncs.remove(name)?;
        inner.drop_unreferred(dropped);
        Some(uid)
    }

    /// The latest known version of the sync `name`.
    #[must_use]
    pub fn sync(&self, name: &NamespacedName) -> Option<KnownSync> {
        self.inner.lock().syncs.get(name)
    }

    /// Whether `source` is the source of the sync `name`.
    #[must_use]
    pub fn is_source_of(&self, source: &NamespacedName, name: &NamespacedName) -> bool {
        self.inner.lock().syncs.is_source_of(source, name)
    }

    /// The syncs whose selector is too large to be kept: they may select any namespace.
    #[must_use]
    pub fn syncs_with_unknown_selection(&self) -> BTreeSet<NamespacedName> {
        self.inner.lock().syncs.with_unknown_selection().collect()
    }

    /// How many destinations the sync `name` has, as far as is known: those that it selects, or those
    /// where it has copies, whichever are more.
    #[must_use]
    pub fn destination_count(&self, name: &NamespacedName) -> usize {
        let inner = self.inner.lock();
        let Some((uid, selector)) = inner.syncs.uid_and_selector(name) else { return 0 };
        let selected = selector.map_or(0, |selector| inner.namespaces.count_selected(selector));
        selected.max(inner.config_maps.count_copies_of(uid))
    }

    /// The names of all syncs.
    #[must_use]
    pub fn syncs(&self) -> Vec<NamespacedName> {
        self.inner.lock().syncs.names()
    }

    /// The existing sync with this uid.
    #[must_use]
    pub fn sync_with_uid(&self, uid: &str) -> Option<NamespacedName> {
        self.inner.lock().syncs.named(&Uid::from(uid))
    }

    /// The syncs that refer to `at` as source or as destination, and those that may because their selector,
    /// or the labels of the namespace, are too large to be kept.
    #[must_use]
    pub fn syncs_referring_to(&self, at: &NamespacedName) -> BTreeSet<NamespacedName> {
        let inner = self.inner.lock();
        let namespace = &at.namespace;
        let selects =
            |selector: &_| inner.namespaces.is_selected_now(selector, namespace) != Some(false);
        inner.syncs.referring_to(at, selects)
    }

    /// The syncs that name `namespace` as their destination, or have a copy in it.
    #[must_use]
    pub fn syncs_affected_by_namespace(&self, namespace: &str) -> BTreeSet<NamespacedName> {
        let inner = self.inner.lock();
        let mut syncs: BTreeSet<_> = inner.syncs.with_destination_in(namespace).collect();
        let owners = inner.config_maps.sync_uids_in(namespace);
        syncs.extend(owners.filter_map(|uid| inner.syncs.named(uid)));
        syncs
    }
}

// === impl PendingRead ===

impl PendingRead<'_> {
    /// The read has returned a `ConfigMap`.
    pub fn found(self, metadata: &ConfigMapMetadata) {
        let mut inner = self.cache.inner.lock();
        let Inner { config_maps, syncs, .. } = &mut *inner;
        config_maps.record_found(metadata, self.start, |name| syncs.may_refer_to(name));
    }

    /// The read has shown that the `ConfigMap` does not exist.
    pub fn not_found(self) {
        let mut inner = self.cache.inner.lock();
        let Inner { config_maps, syncs, .. } = &mut *inner;
        config_maps.record_not_found(&self.at, self.start, |name| syncs.may_refer_to(name));
    }
}

impl Drop for PendingRead<'_> {
    fn drop(&mut self) {
        self.cache.inner.lock().config_maps.end_read(&self.at);
    }
}

// === impl Inner ===

impl Inner {
    fn drop_unreferred(&mut self, dropped: Dropped) {
        let Self { config_maps, syncs, .. } = self;
        for name in dropped.names {
            if !syncs.may_refer_to(&name) {
                config_maps.drop_unmarked(&name);
            }
        }
        if dropped.selection {
            config_maps.retain(|name| syncs.may_refer_to(name));
        }
    }
}
