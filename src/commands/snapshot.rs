//! The state of a cluster, read once into the same cache that the operator's watches fill.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::Client;
use kube::api::ListParams;
use kube::core::ObjectList;

use crate::api::StoredConfigMapSync;
use crate::api::namespace_patterns::NamespacePatterns;
use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::Origin;
use crate::commands::error::Error;
use crate::decide::observed::ObservedSync;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::pages::each_page;
use crate::names;

/// The state of a cluster.
pub struct Snapshot {
    /// What the operator would know.
    pub cache: Arc<Cache>,
    /// The syncs.
    pub syncs: BTreeMap<NamespacedName, StoredConfigMapSync>,
    /// When each marked copy was created.
    pub created: BTreeMap<NamespacedName, Timestamp>,
}

/// Reads the syncs, the namespaces and the marked copies of the cluster.
///
/// # Errors
/// The API server rejects a list, or does not respond.
pub async fn read_copies(client: &Client) -> Result<Snapshot, Error> {
    let mut snapshot = read_syncs(client, NamespacePatterns::default()).await?;
    snapshot.read_namespaces(client).await?;
    let marked = ListParams::default().labels(names::LABEL_SYNC_UID);
    snapshot.read_config_maps(client, "list marked ConfigMaps", marked).await?;
    Ok(snapshot)
}

/// Reads the syncs and the namespaces of the cluster.
///
/// # Errors
/// The API server rejects a list, or does not respond.
pub async fn read_syncs_and_namespaces(client: &Client) -> Result<Snapshot, Error> {
    let snapshot = read_syncs(client, NamespacePatterns::default()).await?;
    snapshot.read_namespaces(client).await?;
    Ok(snapshot)
}

/// Reads everything that the operator watches; `protected` namespaces are never destinations.
///
/// # Errors
/// The API server rejects a list, or does not respond.
pub async fn read_everything(
    client: &Client,
    protected: NamespacePatterns,
) -> Result<Snapshot, Error> {
    let mut snapshot = read_syncs(client, protected).await?;
    snapshot.read_namespaces(client).await?;
    snapshot.read_config_maps(client, "list ConfigMaps", ListParams::default()).await?;
    Ok(snapshot)
}

/// Syncs come first: the cache keeps only the `ConfigMaps` that they refer to.
async fn read_syncs(client: &Client, protected: NamespacePatterns) -> Result<Snapshot, Error> {
    let cache = Arc::new(Cache::new(protected));
    let api: Api<StoredConfigMapSync> = Api::all(client.clone());
    let listed =
        list_all("list ConfigMapSyncs", ListParams::default(), async |page| api.list(&page).await);
    let mut syncs = BTreeMap::new();
    for sync in listed.await? {
        if let Some(observed) = ObservedSync::of(&sync) {
            cache.apply_sync(&observed);
        }
        syncs.extend(sync.namespaced_name().map(|name| (name, sync)));
    }
    Ok(Snapshot { cache, syncs, created: BTreeMap::new() })
}

// === impl Snapshot ===

impl Snapshot {
    async fn read_namespaces(&self, client: &Client) -> Result<(), Error> {
        let api: Api<Namespace> = Api::all(client.clone());
        let listed = list_all("list Namespaces", ListParams::default(), async |page| {
            api.list_metadata(&page).await
        });
        for namespace in listed.await? {
            self.cache.apply_namespace(&namespace.metadata);
        }
        Ok(())
    }

    async fn read_config_maps(
        &mut self,
        client: &Client,
        attempt: &str,
        parameters: ListParams,
    ) -> Result<(), Error> {
        let api: Api<ConfigMap> = Api::all(client.clone());
        let listed = list_all(attempt, parameters, async |page| api.list_metadata(&page).await);
        for config_map in listed.await? {
            self.cache.apply_config_map(&config_map.metadata, Origin::Watch);
            let ObjectMeta { namespace, name, creation_timestamp, labels, .. } =
                config_map.metadata;
            let is_marked = labels.is_some_and(|it| it.contains_key(names::LABEL_SYNC_UID));
            if let (Some(namespace), Some(name), Some(created), true) =
                (namespace, name, creation_timestamp, is_marked)
            {
                self.created.insert(NamespacedName::new(namespace, name), created.0);
            }
        }
        Ok(())
    }
}

async fn list_all<K: Clone>(
    attempt: &str,
    parameters: ListParams,
    list: impl AsyncFn(ListParams) -> kube::Result<ObjectList<K>>,
) -> Result<Vec<K>, ApiFailure> {
    let mut objects = Vec::new();
    let listed = each_page(parameters, list, async |page| objects.extend(page)).await;
    listed.map_err(|error| ApiFailure::of(attempt, &error))?;
    Ok(objects)
}
