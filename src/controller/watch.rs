//! Events: three watches, whatever the number of syncs; with a scope, two per namespace in it, and one
//! of all namespaces.
//!
//! Each updates its part of the cache, and requests reconciles of the syncs that an event affects.
//! A failed watch is reported as not ready until it is established again.

use std::convert::Infallible;
use std::iter::once_with;
use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::PolicyRule;

use crate::access::rule;
use crate::api::ConfigMapSync;
use crate::api::StoredConfigMapSync;
use crate::api::metadata::MetadataOnly;
use crate::api::metadata::Versioned;
use crate::api::namespaced_name::NamespacedName;
use crate::api::scope::Scope;
use crate::cache::Cache;
use crate::cache::ConfigMapChange;
use crate::cache::NamespaceChange;
use crate::cache::Origin;
use crate::cache::StoredNamespace;
use crate::controller::queue::Queue;
use crate::controller::queue::Trigger;
use crate::controller::startup::Part;
use crate::controller::startup::Startup;
use crate::controller::startup::Stream;
use crate::controller::trigger;
use crate::decide::drift::ManagedFields;
use crate::decide::observed::NamespaceState;
use crate::decide::observed::ObservedSync;
use crate::decide::scope::limited_to;
use crate::health::Health;
use crate::kubernetes::clients::Clients;
use crate::kubernetes::error::kind_not_installed;
use crate::kubernetes::watches;
use crate::kubernetes::watches::Change;
use crate::kubernetes::watches::Event;
use crate::kubernetes::watches::Source;
use crate::kubernetes::watches::ticking;
use crate::metrics::Metrics;
use crate::names;
use crate::orphans::DeletedSyncs;
use crate::state::State;

/// Receives the events of the watches.
pub struct Watcher {
    pub scope: Scope,
    pub cache: Arc<Cache>,
    pub queue: Arc<Queue>,
    pub startup: Arc<Startup>,
    pub state: Arc<State>,
    pub deleted_syncs: Arc<DeletedSyncs>,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
}

/// Follows one watch.
pub async fn run(watcher: Arc<Watcher>, clients: Clients, stream: Stream) {
    match stream.part {
        Part::Syncs => syncs(&watcher, clients, &stream).await,
        Part::ConfigMaps => config_maps(&watcher, clients, &stream).await,
        Part::Namespaces => namespaces(&watcher, clients, &stream).await,
    };
}

/// Watches `ConfigMapSyncs`.
async fn syncs(watcher: &Watcher, clients: Clients, stream: &Stream) -> Infallible {
    let namespace = stream.namespace.as_deref();
    let source = Source::objects::<ConfigMapSync>(clients, namespace);
    let Watcher { cache, queue, .. } = watcher;
    let handle = |change: Change<StoredConfigMapSync>| match change {
        Change::ListBegun => cache.begin_sync_list(namespace),
        Change::Listed(sync) => watcher.sync_applied(&sync),
        Change::ListComplete => {
            for name in cache.unlisted_syncs(namespace) {
                watcher.sync_deleted(&name);
            }
            queue.wake(cache.syncs(), &Trigger::List);
        }
        Change::Applied(sync) => {
            watcher.sync_applied(&sync);
            queue.wake(sync.namespaced_name(), &Trigger::Sync);
        }
        Change::Deleted(sync) => {
            if let Some(name) = sync.namespaced_name() {
                watcher.sync_deleted(&name);
            }
        }
    };
    watcher.follow(stream, &source, handle).await
}

/// Watches the metadata of `ConfigMaps`, once the list of syncs determines which are relevant.
async fn config_maps(watcher: &Watcher, clients: Clients, stream: &Stream) -> Infallible {
    let namespace = stream.namespace.as_deref();
    let source = Source::metadata::<ConfigMap>(clients, namespace);
    let Watcher { cache, queue, deleted_syncs, metrics, .. } = watcher;
    let beat = || watcher.health.beat(&stream.health_part());
    ticking(watcher.startup.wait_for(Part::Syncs), beat).await;
    let handle = |change: Change<MetadataOnly<ManagedFields>>| {
        let changes: Vec<ConfigMapChange> = match change {
            Change::ListBegun => {
                cache.begin_config_map_list(namespace);
                Vec::new()
            }
            Change::ListComplete => cache.end_config_map_list(namespace),
            Change::Listed(seen) | Change::Applied(seen) => {
                cache.apply_config_map(&seen.metadata, Origin::Watch).into_iter().collect()
            }
            Change::Deleted(gone) => {
                let uid = gone.metadata.uid.as_deref();
                let at = gone.metadata.namespaced_name();
                let removed = at.map(|at| cache.remove_config_map(&at, uid, Origin::Watch));
                removed.flatten().into_iter().collect()
            }
        };
        for change in changes {
            deleted_syncs.record_copy(&change.at, cache, Instant::now());
            let is_complete = watcher.startup.is_complete();
            let affected = is_complete.then(|| trigger::by_config_map(&change, cache));
            for sync in affected.into_iter().flatten() {
                let is_source = cache.is_source_of(&change.at, &sync);
                queue.wake([sync], if is_source { &Trigger::Source } else { &Trigger::Copy });
            }
        }
        metrics.copies.set_marked(cache.marked_copies());
    };
    watcher.follow(stream, &source, handle).await
}

/// Watches the metadata of namespaces. Those outside the scope count as missing.
async fn namespaces(watcher: &Watcher, clients: Clients, stream: &Stream) -> Infallible {
    let source = Source::metadata::<Namespace>(clients, None);
    let Watcher { cache, queue, scope, .. } = watcher;
    let handle = |change: Change<StoredNamespace>| {
        let changes: Vec<NamespaceChange> = match change {
            Change::ListBegun => {
                cache.begin_namespace_list();
                Vec::new()
            }
            Change::ListComplete => cache.end_namespace_list(),
            Change::Listed(seen) | Change::Applied(seen) => {
                let in_scope = seen.metadata.name.as_ref().filter(|name| scope.contains(name));
                in_scope.and_then(|_| cache.apply_namespace(&seen.metadata)).into_iter().collect()
            }
            Change::Deleted(gone) => {
                let name = gone.metadata.name.unwrap_or_default();
                cache.remove_namespace(&name).into_iter().collect()
            }
        };
        for change in changes {
            let affected = once_with(|| trigger::by_namespace(&change, cache));
            queue.wake(affected.flatten(), &Trigger::Namespace);
        }
    };
    watcher.follow(stream, &source, handle).await
}

// === impl Watcher ===

impl Watcher {
    /// Passes every change to `handle`, and updates health, metrics and startup.
    async fn follow<K: Versioned>(
        &self,
        stream: &Stream,
        source: &Source,
        mut handle: impl FnMut(Change<K>),
    ) -> Infallible {
        let heard = || self.metrics.watches.heard(stream.resource(), stream.namespace.as_deref());
        let health_part = stream.health_part();
        let receive = |event| {
            self.health.beat(&health_part);
            match event {
                Event::Change(change) => {
                    if !matches!(change, Change::ListBegun) {
                        heard();
                    }
                    let is_list_complete = matches!(change, Change::ListComplete);
                    handle(change);
                    if is_list_complete {
                        self.list_complete(stream);
                    }
                }
                Event::Bookmark => heard(),
                Event::Established => {
                    self.health.set(&health_part, Ok(()));
                }
                Event::Failed(error) => self.failed(stream, &error),
                Event::Waiting => {}
            }
        };
        watches::watch(source, receive).await
    }

    fn list_complete(&self, stream: &Stream) {
        if self.startup.listed(stream) {
            self.queue.wake(self.cache.syncs(), &Trigger::List);
        }
    }

    fn failed(&self, stream: &Stream, error: &watches::Error) {
        let health_part = stream.health_part();
        if let Some(namespace) = stream.namespace.as_deref().filter(|_| error.has_code(403)) {
            // Its Role is missing, or was deleted with the namespace: the others must not wait for it.
            self.list_complete(stream);
            if self.cache.namespace(namespace).0 == NamespaceState::Missing {
                self.metrics.watches.heard(stream.resource(), Some(namespace));
                self.health.set(&health_part, Ok(()));
                return;
            }
        }
        let why = match stream.part {
            Part::Syncs if error.has_code(404) => kind_not_installed("ConfigMapSync"),
            _ => error.to_string(),
        };
        if self.health.set(&health_part, Err(why.clone())) {
            tracing::warn!(error = why, "{health_part} failed; will retry");
        }
    }

    /// A sync was created or changed. A previous one with the same name was deleted.
    fn sync_applied(&self, stored: &StoredConfigMapSync) {
        let Some(sync) = ObservedSync::of(stored) else { return };
        let sync = limited_to(&self.scope, sync);
        if let Some(replaced) = self.cache.apply_sync(&sync) {
            self.sync_is_gone(&replaced);
        }
    }

    fn sync_deleted(&self, name: &NamespacedName) {
        self.queue.pop(name);
        if let Some(uid) = self.cache.remove_sync(name) {
            self.sync_is_gone(&uid);
        }
    }

    /// Its copies will be collected; its destinations are available to other syncs.
    fn sync_is_gone(&self, uid: &str) {
        self.state.forget(uid);
        self.deleted_syncs.record(uid, &self.cache, Instant::now());
        for at in self.cache.copies_of(uid) {
            self.queue.wake(self.cache.syncs_referring_to(&at), &Trigger::OtherSync);
        }
    }
}

/// Permissions for the watches.
pub fn access() -> Vec<PolicyRule> {
    let watched = |group, resource| rule(group, resource, &["list", "watch"]);
    vec![
        watched("", "configmaps"),
        watched("", "namespaces"),
        watched(names::GROUP, "configmapsyncs"),
    ]
}
