//! Events: three watches, whatever the number of syncs.
//!
//! Each keeps its part of the cache up to date, and requests a reconcile of the syncs that an
//! event concerns. A watch that fails is started again under backoff; health reports why.

mod backoff;

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
use kube::ResourceExt as _;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher;
use kube::runtime::watcher::Event;
use tokio::time::timeout;

use crate::access::rule;
use crate::api::StoredConfigMapSync;
use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::ConfigMapChange;
use crate::cache::NamespaceChange;
use crate::cache::Origin;
use crate::controller::deaths::Deaths;
use crate::controller::queue::Queue;
use crate::controller::startup::Part;
use crate::controller::startup::Startup;
use crate::controller::state::State;
use crate::controller::trigger;
use crate::controller::watch::backoff::time_to_next_error;
use crate::controller::watch::backoff::watch_backoff;
use crate::decide::observed::ObservedSync;
use crate::health::Health;
use crate::kubernetes::error::KIND_IS_MISSING;
use crate::metrics::Metrics;
use crate::names;
use crate::telemetry::describe;

/// Objects per page of a list.
const PAGE_SIZE: u32 = 100;

/// Where the watches take their events.
pub struct Watcher {
    /// Takes what they contain.
    pub cache: Arc<Cache>,
    /// Takes the requests for reconciles.
    pub queue: Arc<Queue>,
    /// Learns which lists are complete.
    pub startup: Arc<Startup>,
    /// Forgets the syncs that are deleted.
    pub state: Arc<State>,
    /// Records them.
    pub deaths: Arc<Deaths>,
    /// Learns whether the watches work.
    pub health: Arc<Health>,
    /// Count the copies.
    pub metrics: Arc<Metrics>,
}

/// Watches `ConfigMapSyncs`.
pub async fn syncs(watcher: Arc<Watcher>, client: Client) {
    let api: Api<StoredConfigMapSync> = Api::all(client);
    let events = watcher::watcher(api, in_small_pages()).backoff(watch_backoff());
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

/// Watches the metadata of `ConfigMaps`, after the list of syncs determines which of them matter.
pub async fn config_maps(watcher: Arc<Watcher>, client: Client) {
    watcher.startup.wait_for(Part::Syncs).await;
    let api: Api<PartialObjectMeta<ConfigMap>> = Api::all(client);
    let events = watcher::watcher(api, in_small_pages()).backoff(watch_backoff());
    let Watcher { cache, queue, metrics, .. } = &*watcher;
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
                queue.wake(trigger::by_config_map(&change, cache));
            }
            metrics.copies.set_marked(cache.marked_copies());
        })
        .await;
}

/// Watches the metadata of namespaces.
pub async fn namespaces(watcher: Arc<Watcher>, client: Client) {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client);
    let events = watcher::watcher(api, in_small_pages()).backoff(watch_backoff());
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

/// A page is decoded as a whole, with all `managedFields`, before anything of it is used.
fn in_small_pages() -> watcher::Config {
    watcher::Config::default().page_size(PAGE_SIZE)
}

// === impl Watcher ===

impl Watcher {
    /// Passes every event to `handle`, and keeps health and startup informed. Ends with the
    /// stream.
    ///
    /// A watch that was restarted after an error is silent until something happens, while one that
    /// fails again reports it. So a silence that is longer than the delay before the next attempt
    /// counts as success.
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
            tracing::warn!(
                error = why,
                "{} fails; trying again until it works",
                part.health_part()
            );
        }
    }

    /// A sync was created or changed. If another one had its name, that one was deleted.
    fn sync_applied(&self, stored: &StoredConfigMapSync) {
        let Some(sync) = ObservedSync::of(stored) else { return };
        if let Some(replaced) = self.cache.apply_sync(&sync) {
            self.sync_died(&replaced);
        }
    }

    fn sync_deleted(&self, name: &NamespacedName) {
        self.queue.forget(name);
        if let Some(uid) = self.cache.remove_sync(name) {
            self.sync_died(&uid);
        }
    }

    /// What the sync left behind will be collected, and its destinations are free for others.
    fn sync_died(&self, uid: &str) {
        self.state.forget(uid);
        self.deaths.sync_died(uid, &self.cache, Instant::now());
        for at in self.cache.copies_of(uid) {
            self.queue.wake(self.cache.syncs_referring_to(&at));
        }
    }
}

/// One line that says what to do.
fn explain(part: Part, error: &watcher::Error) -> String {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => status,
        other => return describe(other),
    };
    match (status.code, part) {
        (404, Part::Syncs) => KIND_IS_MISSING.to_owned(),
        (401 | 403, _) => format!("{}: grant it to the operator's ServiceAccount", status.message),
        _ => status.message.clone(),
    }
}

/// Permissions for the watches.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    let watched = |group, resource| rule(group, resource, &["list", "watch"]);
    vec![
        watched("", "configmaps"),
        watched("", "namespaces"),
        watched(names::GROUP, "configmapsyncs"),
    ]
}
