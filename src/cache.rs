//! What is known of the cluster from its watches, and nothing more than is needed.
//!
//! It keeps two small things of the `ConfigMap` stream: each marked copy, and each name that some
//! sync refers to as source or destination. Everything else is dropped. Contents are never kept,
//! only their digests once they were read.
//!
//! Guarantees: between two complete lists, the cache never goes back to an older
//! resourceVersion of one uid, unless a live read finds that storage has; the answer of a write
//! goes in at once, and that of a read where nothing newer was told. What it says may be behind
//! the cluster, never wrong about the version it speaks of: whoever acts on it does so
//! conditionally on that version.

mod config_maps;
mod entry;
mod key;
mod namespaces;
mod packed;
mod pending_change;
pub mod reader;
mod reads_in_flight;
mod small_set;
mod syncs;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::Selector;

pub use config_maps::CachedConfigMap;
pub use entry::Entry;
pub use namespaces::NamespaceChange;
pub use namespaces::NamespaceFacts;
pub use pending_change::Origin;
pub use reader::Reader;

use crate::api::namespaced_name::NamespacedName;
use crate::cache::config_maps::ConfigMaps;
use crate::cache::namespaces::Namespaces;
use crate::cache::pending_change::PendingChange;
use crate::cache::reads_in_flight::Began;
use crate::cache::syncs::Dropped;
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

/// A live read that is under way. Dropped without an answer, it has told nothing.
#[derive(Debug)]
pub struct PendingRead<'a> {
    cache: &'a Cache,
    at: NamespacedName,
    began: Began,
}

/// Something about one `ConfigMap` has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigMapChange {
    /// Which.
    pub at: NamespacedName,
    /// The uids of the syncs that its markers named before and name now.
    pub sync_uids: BTreeSet<String>,
    /// The uid of the sync that did it in its own round, if that is so: it knows.
    pub caused_by: Option<String>,
}

// === impl ConfigMapChange ===

impl ConfigMapChange {
    /// The watch tells what a call had told before.
    fn late(at: NamespacedName, news: PendingChange) -> Self {
        Self { at, sync_uids: news.sync_uids, caused_by: news.caused_by }
    }
}

// === impl Cache ===

impl Cache {
    /// An empty cache; `protected` namespaces are never destinations.
    #[must_use]
    pub fn new(protected: BTreeSet<String>) -> Self {
        let inner = Inner {
            config_maps: ConfigMaps::default(),
            namespaces: Namespaces::new(protected),
            syncs: Syncs::default(),
        };
        Self { inner: Mutex::new(inner) }
    }

    // --- ConfigMaps ---

    /// A complete list of `ConfigMaps` begins.
    pub fn begin_config_map_list(&self) {
        self.lock().config_maps.list_begins();
    }

    /// A complete list of `ConfigMaps` has ended: what was not in it, and was not written since
    /// it began, is gone.
    pub fn end_config_map_list(&self) -> Vec<ConfigMapChange> {
        self.lock().config_maps.list_ends()
    }

    /// A `ConfigMap` was seen: by the watch, or in the answer of a write. What it means to others
    /// is told when the watch tells it.
    pub fn apply_config_map(
        &self,
        metadata: &ObjectMeta,
        origin: Origin,
    ) -> Option<ConfigMapChange> {
        let mut inner = self.lock();
        let Inner { config_maps, syncs, .. } = &mut *inner;
        config_maps.seen(metadata, origin, |name| syncs.may_refer_to(name))
    }

    /// Our patch of the version `seen` was answered with `metadata`; `content` is what it wrote,
    /// if it wrote any.
    pub fn record_patch(&self, metadata: &ObjectMeta, seen: &Version, content: Option<&Content>) {
        self.lock().config_maps.written(metadata, seen, content);
    }

    /// The `ConfigMap` with this uid is gone; without a uid, whichever stood there.
    pub fn remove_config_map(
        &self,
        at: &NamespacedName,
        uid: Option<&str>,
        origin: Origin,
    ) -> Option<ConfigMapChange> {
        let mut inner = self.lock();
        let Inner { config_maps, syncs, .. } = &mut *inner;
        config_maps.gone(at, uid, origin, |name| syncs.may_refer_to(name))
    }

    /// A live read of the `ConfigMap` at `at` begins. Its answer counts, unless something that
    /// may be newer is told before it comes.
    #[must_use]
    pub fn begin_read(&self, at: &NamespacedName) -> PendingRead<'_> {
        let began = self.lock().config_maps.begin_read(at);
        PendingRead { cache: self, at: at.clone(), began }
    }

    /// The content of the `ConfigMap` at `at` was read at `version`.
    pub fn record_content(&self, at: &NamespacedName, version: &Version, digest: Digest) {
        self.lock().config_maps.record_content(at, version, digest);
    }

    /// What is known of the `ConfigMap` at `at`.
    #[must_use]
    pub fn config_map(&self, at: &NamespacedName) -> CachedConfigMap {
        self.lock().config_maps.get(at)
    }

    /// Where `ConfigMaps` carry the uid of a sync.
    #[must_use]
    pub fn copies_of(&self, sync_uid: &str) -> Vec<NamespacedName> {
        self.lock().config_maps.copies_of(sync_uid)
    }

    /// The `ConfigMaps` that carry the uid of a sync which is not among the living.
    #[must_use]
    pub fn orphans(&self) -> Vec<(NamespacedName, Entry)> {
        let inner = self.lock();
        inner.config_maps.orphans(|uid| inner.syncs.is_alive(uid))
    }

    /// How many `ConfigMaps` carry the uid of a sync, whatever sync.
    #[must_use]
    pub fn marked_copies(&self) -> usize {
        self.lock().config_maps.marked_copies()
    }

    // --- Namespaces ---

    /// A complete list of namespaces begins.
    pub fn begin_namespace_list(&self) {
        self.lock().namespaces.list_begins();
    }

    /// A complete list of namespaces has ended: what was not in it is gone.
    pub fn end_namespace_list(&self) -> Vec<NamespaceChange> {
        self.lock().namespaces.list_ends()
    }

    /// A namespace was seen.
    pub fn apply_namespace(&self, metadata: &ObjectMeta) -> Option<NamespaceChange> {
        self.lock().namespaces.seen(metadata)
    }

    /// A namespace is gone.
    pub fn remove_namespace(&self, name: &str) -> Option<NamespaceChange> {
        self.lock().namespaces.gone(name)
    }

    /// The state of a namespace, and its uid if it exists.
    #[must_use]
    pub fn namespace(&self, name: &str) -> (NamespaceState, Option<String>) {
        let inner = self.lock();
        (inner.namespaces.state(name), inner.namespaces.uid(name))
    }

    /// The namespaces that `selector` selects.
    #[must_use]
    pub fn namespaces_matching(&self, selector: &Selector) -> BTreeSet<String> {
        self.lock().namespaces.selected(selector)
    }

    /// The syncs whose selector would select the namespace `name` if these were its facts.
    #[must_use]
    pub fn syncs_selecting(
        &self,
        name: &str,
        facts: Option<&NamespaceFacts>,
    ) -> BTreeSet<NamespacedName> {
        let inner = self.lock();
        let selects = |selector: &_| inner.namespaces.is_selected(selector, name, facts);
        inner.syncs.selecting(selects).collect()
    }

    // --- ConfigMapSyncs ---

    /// A complete list of syncs begins.
    pub fn begin_sync_list(&self) {
        self.lock().syncs.list_begins();
    }

    /// The syncs that the list under way has not shown: where it is complete, they are gone.
    #[must_use]
    pub fn unlisted_syncs(&self) -> Vec<NamespacedName> {
        self.lock().syncs.not_listed()
    }

    /// A sync was seen: from now on, what it refers to is kept. The uid of the sync that had this
    /// name before, if it was another.
    pub fn apply_sync(&self, sync: &ObservedSync) -> Option<String> {
        let mut inner = self.lock();
        let replaced = inner.syncs.replaced_by(sync);
        let dropped = inner.syncs.seen(sync);
        inner.drop_unreferred(dropped);
        replaced
    }

    /// A sync is gone: what only it referred to is dropped. Its uid, if it was known.
    pub fn remove_sync(&self, name: &NamespacedName) -> Option<String> {
        let mut inner = self.lock();
        let (uid, dropped) = inner.syncs.gone(name)?;
        inner.drop_unreferred(dropped);
        Some(uid)
    }

    /// The sync of this name, as it was last seen.
    #[must_use]
    pub fn sync(&self, name: &NamespacedName) -> Option<ObservedSync> {
        self.lock().syncs.get(name)
    }

    /// The names of all syncs.
    #[must_use]
    pub fn syncs(&self) -> Vec<NamespacedName> {
        self.lock().syncs.names()
    }

    /// The living sync with this uid.
    #[must_use]
    pub fn sync_with_uid(&self, uid: &str) -> Option<NamespacedName> {
        self.lock().syncs.with_uid(uid)
    }

    /// The syncs that refer to `at` as source or as destination.
    #[must_use]
    pub fn syncs_referring_to(&self, at: &NamespacedName) -> BTreeSet<NamespacedName> {
        let inner = self.lock();
        let selects = |selector: &_| inner.namespaces.is_selected_now(selector, &at.namespace);
        inner.syncs.referring_to(at, selects)
    }

    /// The syncs that have their one destination in `namespace`, or a copy there.
    #[must_use]
    pub fn syncs_affected_by_namespace(&self, namespace: &str) -> BTreeSet<NamespacedName> {
        let inner = self.lock();
        let mut syncs: BTreeSet<_> = inner.syncs.with_destination_in(namespace).collect();
        let owners = inner.config_maps.sync_uids_in(namespace);
        syncs.extend(owners.filter_map(|uid| inner.syncs.with_uid(uid)));
        syncs
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl PendingRead ===

impl PendingRead<'_> {
    /// The read has found a `ConfigMap`.
    pub fn found(self, metadata: &ObjectMeta) {
        let mut inner = self.cache.lock();
        let Inner { config_maps, syncs, .. } = &mut *inner;
        config_maps.found(metadata, self.began, |name| syncs.may_refer_to(name));
    }

    /// The read has found nothing.
    pub fn found_nothing(self) {
        let mut inner = self.cache.lock();
        let Inner { config_maps, syncs, .. } = &mut *inner;
        config_maps.found_nothing(&self.at, self.began, |name| syncs.may_refer_to(name));
    }
}

impl Drop for PendingRead<'_> {
    fn drop(&mut self) {
        self.cache.lock().config_maps.end_read(&self.at);
    }
}

// === impl Inner ===

impl Inner {
    fn drop_unreferred(&mut self, dropped: Dropped) {
        let Self { config_maps, syncs, .. } = self;
        for name in dropped.names {
            if !syncs.may_refer_to(&name) {
                config_maps.no_longer_referred_to(&name);
            }
        }
        if dropped.selection {
            config_maps.retain(|name| syncs.may_refer_to(name));
        }
    }
}
