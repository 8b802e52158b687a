//! Events: three watches, whatever the number of syncs.
//!
//! Each updates its part of the cache, and requests reconciles of the syncs that an event affects.
//! A failed watch is restarted with backoff, and reported as not ready.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use futures::Stream;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Api;
use kube::Client;
use kube::Resource;
use kube::ResourceExt as _;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher;
use kube::runtime::watcher::Event;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use crate::access::rule;
use crate::api::StoredConfigMapSync;
use crate::api::namespaced_name::NamespacedName;
use crate::backoff::watch::time_to_next_error;
use crate::backoff::watch::watch_backoff;
use crate::cache::Cache;
use crate::cache::ConfigMapChange;
use crate::cache::NamespaceChange;
use crate::cache::Origin;
use crate::controller::queue::Queue;
use crate::controller::startup::Part;
use crate::controller::startup::Startup;
use crate::controller::trigger;
use crate::decide::observed::ObservedSync;
use crate::health::Health;
use crate::kubernetes::error::explain as explain_error;
use crate::kubernetes::error::explain_status;
use crate::kubernetes::error::has_code;
use crate::kubernetes::error::kind_not_installed;
use crate::metrics::Metrics;
use crate::names;
use crate::orphans::DeletedSyncs;
use crate::state::State;
use crate::telemetry::describe;

/// Objects per page of a list: a page is decoded as a whole, with all `managedFields`.
const PAGE_SIZE: u32 = 100;

/// Receives the events of the watches.
pub struct Watcher {
    pub cache: Arc<Cache>,
    pub queue: Arc<Queue>,
    pub startup: Arc<Startup>,
    pub state: Arc<State>,
    pub deleted_syncs: Arc<DeletedSyncs>,
    pub health: Arc<Health>,
    pub metrics: Arc<Metrics>,
}

/// Watches `ConfigMapSyncs`.
pub async fn syncs(watcher: Arc<Watcher>, client: Client) {
    let events = events::<StoredConfigMapSync>(client);
    let Watcher { cache, queue, .. } = &*watcher;
    watcher
        .follow(Part::Syncs, events, |event| match event {
            Event::Init => cache.begin_sync_list(),
            Event::InitApply(sync) => watcher.sync_applied(&sync),
            Event::InitDone => {
                for name in cache.unlisted_syncs() {
                    watcher.sync_deleted(&name);
                }
                queue.wake(cache.syncs());
            }
            Event::Apply(sync) => {
                watcher.sync_applied(&sync);
                queue.wake(sync.namespaced_name());
            }
            Event::Delete(sync) => {
                if let Some(name) = sync.namespaced_name() {
                    watcher.sync_deleted(&name);
                }
            }
        })
        .await;
}

/// Watches the metadata of `ConfigMaps`, once the list of syncs determines which are relevant.
pub async fn config_maps(watcher: Arc<Watcher>, client: Client) {
    watcher.startup.wait_for(Part::Syncs).await;
    let events = events::<PartialObjectMeta<ConfigMap>>(client);
    let Watcher { cache, queue, deleted_syncs, metrics, .. } = &*watcher;
    watcher
        .follow(Part::ConfigMaps, events, |event| {
            let changes: Vec<ConfigMapChange> = match event {
                Event::Init => {
                    cache.begin_config_map_list();
                    Vec::new()
                }
                Event::InitDone => cache.end_config_map_list(),
                Event::InitApply(seen) | Event::Apply(seen) => {
                    cache.apply_config_map(&seen.metadata, Origin::Watch).into_iter().collect()
                }
                Event::Delete(gone) => {
                    let namespace = gone.namespace().unwrap_or_default();
                    let at = NamespacedName::new(namespace, gone.name_any());
                    let uid = gone.metadata.uid.as_deref();
                    cache.remove_config_map(&at, uid, Origin::Watch).into_iter().collect()
                }
            };
            for change in changes {
                deleted_syncs.record_copy(&change.at, cache, Instant::now());
                queue.wake(trigger::by_config_map(&change, cache));
            }
            metrics.copies.set_marked(cache.marked_copies());
        })
        .await;
}

/// Watches the metadata of namespaces.
pub async fn namespaces(watcher: Arc<Watcher>, client: Client) {
    let events = events::<PartialObjectMeta<Namespace>>(client);
    let Watcher { cache, queue, .. } = &*watcher;
    watcher
        .follow(Part::Namespaces, events, |event| {
            let changes: Vec<NamespaceChange> = match event {
                Event::Init => {
                    cache.begin_namespace_list();
                    Vec::new()
                }
                Event::InitDone => cache.end_namespace_list(),
                Event::InitApply(seen) | Event::Apply(seen) => {
                    cache.apply_namespace(&seen.metadata).into_iter().collect()
                }
                Event::Delete(gone) => {
                    cache.remove_namespace(&gone.name_any()).into_iter().collect()
                }
            };
            for change in changes {
                queue.wake(trigger::by_namespace(&change, cache));
            }
        })
        .await;
}

fn events<K>(client: Client) -> impl Stream<Item = watcher::Result<Event<K>>>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let config = watcher::Config::default().page_size(PAGE_SIZE);
    watcher::watcher(Api::<K>::all(client), config).backoff(watch_backoff())
}

// === impl Watcher ===

impl Watcher {
    /// Passes every event to `handle`, and updates health and startup. Ends with the stream.
    ///
    /// A restarted watch is silent until the next event, while another failure is reported. So a
    /// silence longer than the delay before the next attempt counts as success.
    async fn follow<K: Debug>(
        &self,
        part: Part,
        events: impl Stream<Item = watcher::Result<Event<K>>>,
        mut handle: impl FnMut(Event<K>),
    ) {
        let mut events = std::pin::pin!(events);
        let mut errors = 0;
        loop {
            let next = match errors {
                0 => Ok(events.next().await),
                errors => timeout(time_to_next_error(errors), events.next()).await,
            };
            match next {
                Ok(None) => return,
                Ok(Some(Err(error))) => {
                    errors += 1;
                    self.failed(part, &error);
                }
                Ok(Some(Ok(event))) => {
                    errors = 0;
                    let is_list_complete = matches!(event, Event::InitDone);
                    if !matches!(event, Event::Init) {
                        self.health.set(part.health_part(), Ok(()));
                    }
                    handle(event);
                    if is_list_complete && self.startup.listed(part) {
                        self.queue.wake(self.cache.syncs());
                    }
                }
                Err(_silence) => {
                    errors = 0;
                    if self.startup.is_listed(part) {
                        self.health.set(part.health_part(), Ok(()));
                    }
                }
            }
        }
    }

    fn failed(&self, part: Part, error: &watcher::Error) {
        let why = explain(part, error);
        if self.health.set(part.health_part(), Err(why.clone())) {
            tracing::warn!(error = why, "{} failed; will retry", part.health_part());
        }
    }

    /// A sync was created or changed. A previous one with the same name was deleted.
    fn sync_applied(&self, stored: &StoredConfigMapSync) {
        let Some(sync) = ObservedSync::of(stored) else { return };
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
            self.queue.wake(self.cache.syncs_referring_to(&at));
        }
    }
}

/// The cause of the error in one line, and what to do about it.
fn explain(part: Part, error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => match part {
            Part::Syncs if has_code(error, 404) => kind_not_installed("ConfigMapSync"),
            _ => explain_error(error),
        },
        watcher::Error::WatchError(status) => explain_status(status),
        watcher::Error::NoResourceVersion => describe(error),
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
