//! Events: three watches, whatever the number of syncs.
//!
//! Each keeps its share of the cache, and wakes the syncs that an event concerns. A watch that
//! fails is tried again under backoff for as long as we lead; health tells why.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;
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
use crate::cache::ConfigMapChange;
use crate::cache::NamespaceChange;
use crate::cache::Origin;
use crate::controller::Context;
use crate::controller::startup::Part;
use crate::controller::trigger;
use crate::decide::observed::ObservedSync;
use crate::kubernetes::error::KIND_IS_MISSING;
use crate::names;
use crate::telemetry::describe;

/// How many objects one answer to a list holds.
const PAGE: u32 = 100;

/// Watches `ConfigMapSyncs`, whole.
pub async fn syncs(context: Arc<Context>, client: Client) {
    let api: Api<StoredConfigMapSync> = Api::all(client);
    let events = watcher(api, in_small_pages()).default_backoff();
    follow(&context, Part::Syncs, events, |event| match event {
        Event::Init => context.cache.begin_sync_list(),
        Event::InitApply(sync) => sync_seen(&context, &sync),
        Event::InitDone => {
            for name in context.cache.unlisted_syncs() {
                sync_gone(&context, &name);
            }
            context.wake(context.cache.syncs());
        }
        Event::Apply(sync) => {
            sync_seen(&context, &sync);
            context.wake(sync.namespaced_name());
        }
        Event::Delete(sync) => {
            if let Some(name) = sync.namespaced_name() {
                sync_gone(&context, &name);
            }
        }
    })
    .await;
}

/// Watches the metadata of `ConfigMaps`, once it is known which of them matter.
pub async fn config_maps(context: Arc<Context>, client: Client) {
    context.startup.wait_for(Part::Syncs).await;
    let api: Api<PartialObjectMeta<ConfigMap>> = Api::all(client);
    let events = watcher(api, in_small_pages()).default_backoff();
    follow(&context, Part::ConfigMaps, events, |event| {
        let cache = &context.cache;
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
                let at = NamespacedName::new(gone.namespace().unwrap_or_default(), gone.name_any());
                let uid = gone.metadata.uid.as_deref();
                cache.remove_config_map(&at, uid, Origin::Watch).into_iter().collect()
            }
        };
        for change in changes {
            context.wake(trigger::by_config_map(&change, cache));
        }
        context.metrics.copies.set_marked(cache.marked_copies());
    })
    .await;
}

/// Watches the metadata of namespaces.
pub async fn namespaces(context: Arc<Context>, client: Client) {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client);
    let events = watcher(api, in_small_pages()).default_backoff();
    follow(&context, Part::Namespaces, events, |event| {
        let cache = &context.cache;
        let changes: Vec<NamespaceChange> = match event {
            Event::Init => {
                cache.begin_namespace_list();
                Vec::new()
            }
            Event::InitDone => cache.end_namespace_list(),
            Event::InitApply(seen) | Event::Apply(seen) => {
                cache.apply_namespace(&seen.metadata).into_iter().collect()
            }
            Event::Delete(gone) => cache.remove_namespace(&gone.name_any()).into_iter().collect(),
        };
        for change in changes {
            context.wake(trigger::by_namespace(&change, cache));
        }
    })
    .await;
}

/// A page is unpacked as a whole, with all of its `managedFields`, before any of it is looked at.
fn in_small_pages() -> watcher::Config {
    watcher::Config::default().page_size(PAGE)
}

/// Hands every event to `handle`, and keeps health and startup informed. Ends with the stream.
///
/// A watch that was begun again after an error says nothing until something happens, while one
/// that fails again says so. So a silence that is longer than the pause before the next attempt
/// counts as success.
async fn follow<K: Debug>(
    context: &Context,
    part: Part,
    events: impl Stream<Item = watcher::Result<Event<K>>>,
    mut handle: impl FnMut(Event<K>),
) {
    let mut events = std::pin::pin!(events);
    let mut errors = 0;
    loop {
        let next = match errors {
            0 => Ok(events.next().await),
            errors => timeout(longest_pause(errors), events.next()).await,
        };
        match next {
            Ok(None) => return,
            Ok(Some(Err(error))) => {
                errors += 1;
                complain(context, part, &error);
            }
            Ok(Some(Ok(event))) => {
                errors = 0;
                let is_list_complete = matches!(event, Event::InitDone);
                if !matches!(event, Event::Init) {
                    context.health.set(part.health_part(), Ok(()));
                }
                handle(event);
                if is_list_complete && context.startup.listed(part) {
                    context.wake(context.cache.syncs());
                }
            }
            Err(_silence) => {
                errors = 0;
                if context.startup.is_listed(part) {
                    context.health.set(part.health_part(), Ok(()));
                }
            }
        }
    }
}

/// How long the next attempt after so many errors in a row may be in coming: kube's pause doubles
/// from 0.8 s to 30 s, and may be as long again; then there is the attempt itself.
fn longest_pause(errors: u32) -> Duration {
    let pause = Duration::from_millis(800).saturating_mul(2_u32.saturating_pow(errors));
    pause.min(Duration::from_secs(30)) * 2 + Duration::from_secs(20)
}

fn complain(context: &Context, part: Part, error: &watcher::Error) {
    let why = explain(part, error);
    if context.health.set(part.health_part(), Err(why.clone())) {
        tracing::warn!(error = why, "{} fails; trying again until it works", part.health_part());
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

/// A sync is there; another one of the same name, if there was one, no longer is.
fn sync_seen(context: &Context, stored: &StoredConfigMapSync) {
    let Some(sync) = ObservedSync::of(stored) else { return };
    if let Some(uid) = context.cache.apply_sync(&sync) {
        sync_died(context, &uid);
    }
}

fn sync_gone(context: &Context, name: &NamespacedName) {
    context.queue.forget(name);
    if let Some(uid) = context.cache.remove_sync(name) {
        sync_died(context, &uid);
    }
}

/// What it left behind is swept, and what its copies stood in the way of may now be done.
fn sync_died(context: &Context, uid: &str) {
    let cache = &context.cache;
    context.memory.forget(uid);
    context.sweeper.sync_died(uid, cache, Instant::now());
    for at in cache.copies_of(uid) {
        context.wake(cache.syncs_referring_to(&at));
    }
}

/// What watching needs.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    let seen = |group, resource| rule(group, resource, &["list", "watch"]);
    vec![seen("", "configmaps"), seen("", "namespaces"), seen(names::GROUP, "configmapsyncs")]
}
