//! The state of a cluster, read once into the same cache that the operator's watches fill.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::jiff::Timestamp;
use kube::Client;
use serde::de::DeserializeOwned;

use crate::api::ConfigMapSync;
use crate::api::StoredConfigMapSync;
use crate::api::metadata::MetadataOnly;
use crate::api::namespace_patterns::NamespacePatterns;
use crate::api::namespaced_name::NamespacedName;
use crate::api::scope::Scope;
use crate::cache::Cache;
use crate::cache::KnownSync;
use crate::cache::Origin;
use crate::cache::Reader;
use crate::cache::StoredNamespace;
use crate::commands::error::Error;
use crate::commands::error::InputError;
use crate::decide::destinations::selector;
use crate::decide::drift::ManagedFields;
use crate::decide::observed::ObservedSync;
use crate::decide::scope::limited_to;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::named;
use crate::kubernetes::lists::List;
use crate::kubernetes::pages::each_object;
use crate::kubernetes::reads;
use crate::names;

/// The state of a cluster.
pub struct Snapshot {
    /// What the operator would know.
    pub cache: Arc<Cache>,
    /// The namespaces that were read.
    pub scope: Scope,
    /// The syncs; `None` for one that is too large to be kept.
    pub syncs: BTreeMap<NamespacedName, Option<StoredConfigMapSync>>,
    /// When each marked copy was created.
    pub created: BTreeMap<NamespacedName, Timestamp>,
}

/// Reads the syncs, the namespaces and the marked copies of the cluster.
///
/// # Errors
/// The API server rejects a list, or does not respond.
pub async fn read_copies(client: &Client) -> Result<Snapshot, Error> {
    let mut snapshot = read_syncs(client, NamespacePatterns::default(), Scope::Cluster).await?;
    snapshot.read_namespaces(client).await?;
    let marked = List::metadata::<ConfigMap>(None).labelled(names::LABEL_SYNC_UID);
    snapshot.read_config_maps(client, "list marked ConfigMaps", &marked).await?;
    Ok(snapshot)
}

/// Reads the syncs and the namespaces in `scope`.
///
/// # Errors
/// The API server rejects a list, or does not respond.
pub async fn read_syncs_and_namespaces(client: &Client, scope: Scope) -> Result<Snapshot, Error> {
    let snapshot = read_syncs(client, NamespacePatterns::default(), scope).await?;
    snapshot.read_namespaces(client).await?;
    Ok(snapshot)
}

/// Reads everything that an operator with this `scope` watches; `protected` namespaces are never
/// destinations.
///
/// # Errors
/// The API server rejects a list, or does not respond.
pub async fn read_everything(
    client: &Client,
    protected: NamespacePatterns,
    scope: Scope,
) -> Result<Snapshot, Error> {
    let mut snapshot = read_syncs(client, protected, scope.clone()).await?;
    snapshot.read_namespaces(client).await?;
    for part in scope.parts() {
        let all = List::metadata::<ConfigMap>(part);
        snapshot.read_config_maps(client, "list ConfigMaps", &all).await?;
    }
    Ok(snapshot)
}

/// Syncs come first: the cache keeps only the `ConfigMaps` that they refer to.
async fn read_syncs(
    client: &Client,
    protected: NamespacePatterns,
    scope: Scope,
) -> Result<Snapshot, Error> {
    let cache = Arc::new(Cache::new(protected));
    let mut syncs = BTreeMap::new();
    for part in scope.parts() {
        let list = List::objects::<ConfigMapSync>(part);
        list_all(client, "list ConfigMapSyncs", &list, |sync: StoredConfigMapSync| {
            if let Some(observed) = ObservedSync::of(&sync) {
                cache.apply_sync(&limited_to(&scope, observed));
            }
            if let Some(name) = sync.namespaced_name() {
                let is_large = matches!(cache.sync(&name), Some(KnownSync::Large { .. }));
                syncs.insert(name, (!is_large).then_some(sync));
            }
        })
        .await?;
    }
    Ok(Snapshot { cache, scope, syncs, created: BTreeMap::new() })
}

// === impl Snapshot ===

impl Snapshot {
    /// Checks that the operator sees the syncs in the namespace of `name`.
    ///
    /// # Errors
    /// The namespace is outside the scope.
    pub fn ensure_in_scope(&self, name: &NamespacedName) -> Result<(), InputError> {
        let is_seen = self.scope.contains(&name.namespace);
        if is_seen { Ok(()) } else { Err(InputError::OutsideScope(name.clone())) }
    }

    /// The sync `name`, if it exists: one that was not kept is read.
    ///
    /// # Errors
    /// The API server rejects the read, or does not respond.
    pub async fn sync(
        &self,
        client: &Client,
        name: &NamespacedName,
    ) -> Result<Option<StoredConfigMapSync>, ApiFailure> {
        match self.syncs.get(name) {
            None => Ok(None),
            Some(Some(kept)) => Ok(Some(kept.clone())),
            Some(None) => {
                let read = named(&name.name, reads::sync(client, name).await);
                let attempt = format!("read ConfigMapSync {name}");
                read.map(Some).map_err(|error| ApiFailure::of(&attempt, &error))
            }
        }
    }

    /// Reads the namespaces with large labels as far as they decide whether a sync adopts an orphan.
    ///
    /// # Errors
    /// The API server rejects a read, or does not respond.
    pub async fn read_adopters(&self, client: &Client) -> Result<(), ApiFailure> {
        let reader = Reader::new(client.clone(), Arc::clone(&self.cache));
        let dead = self.cache.dead_syncs();
        for (at, entry) in dead.iter().flat_map(|uid| self.cache.entries_of(uid)) {
            let sync = entry.markers.and_then(|markers| markers.sync?.parse().ok());
            if let Some(KnownSync::Whole(sync)) = sync.and_then(|name| self.cache.sync(&name))
                && let Some(selector) = selector(&sync.spec)
                && self.cache.is_selected(&selector, &at.namespace).is_none()
            {
                reader.select(&selector).await?;
            }
        }
        Ok(())
    }

    async fn read_namespaces(&self, client: &Client) -> Result<(), Error> {
        let list = List::metadata::<Namespace>(None);
        list_all(client, "list Namespaces", &list, |namespace: StoredNamespace| {
            if namespace.metadata.name.as_ref().is_some_and(|name| self.scope.contains(name)) {
                self.cache.apply_namespace(&namespace.metadata);
            }
        })
        .await?;
        Ok(())
    }

    async fn read_config_maps(
        &mut self,
        client: &Client,
        attempt: &str,
        list: &List,
    ) -> Result<(), Error> {
        list_all(client, attempt, list, |config_map: MetadataOnly<ManagedFields>| {
            let metadata = config_map.metadata;
            self.cache.apply_config_map(&metadata, Origin::Watch);
            let is_marked = metadata.label(names::LABEL_SYNC_UID).is_some();
            let created = metadata.creation_timestamp.as_ref().filter(|_| is_marked);
            self.created.extend(metadata.namespaced_name().zip(created.map(|created| created.0)));
        })
        .await?;
        Ok(())
    }
}

async fn list_all<K: DeserializeOwned>(
    client: &Client,
    attempt: &str,
    list: &List,
    each: impl FnMut(K),
) -> Result<(), ApiFailure> {
    let listed = each_object(client, list, each).await;
    listed.map_err(|error| ApiFailure::of(attempt, &error))
}
