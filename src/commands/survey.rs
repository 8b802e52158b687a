//! One look at a cluster, into the same cache that the operator's watches fill.

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
use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::Origin;
use crate::commands::Error;
use crate::decide::observed::ObservedSync;
use crate::kubernetes::pages::each_page;
use crate::names;

/// What there is.
pub struct Survey {
    /// What the operator would know.
    pub cache: Arc<Cache>,
    /// Each sync.
    pub syncs: BTreeMap<NamespacedName, StoredConfigMapSync>,
    /// When each marked copy was created.
    pub created: BTreeMap<NamespacedName, Timestamp>,
}

/// Looks at the syncs and the marked copies of the whole cluster.
///
/// # Errors
/// A list is refused.
pub async fn survey_copies(client: &Client) -> Result<Survey, Error> {
    let mut survey = survey_syncs(client, &[]).await?;
    let marked = ListParams::default().labels(names::LABEL_SYNC_UID);
    survey.see_config_maps(client, "list marked ConfigMaps", marked).await?;
    Ok(survey)
}

/// Looks at everything that the operator watches; `protected` namespaces are never destinations.
///
/// # Errors
/// A list is refused.
pub async fn survey_everything(client: &Client, protected: &[String]) -> Result<Survey, Error> {
    let mut survey = survey_syncs(client, protected).await?;
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let namespaces = pages("list Namespaces", ListParams::default(), async |page| {
        namespaces.list_metadata(&page).await
    });
    for namespace in namespaces.await? {
        survey.cache.apply_namespace(&namespace.metadata);
    }
    survey.see_config_maps(client, "list ConfigMaps", ListParams::default()).await?;
    Ok(survey)
}

/// Syncs first: they tell which `ConfigMaps` matter.
async fn survey_syncs(client: &Client, protected: &[String]) -> Result<Survey, Error> {
    let cache = Arc::new(Cache::new(protected.iter().cloned().collect()));
    let api: Api<StoredConfigMapSync> = Api::all(client.clone());
    let listed =
        pages("list ConfigMapSyncs", ListParams::default(), async |page| api.list(&page).await);
    let mut syncs = BTreeMap::new();
    for sync in listed.await? {
        if let Some(seen) = ObservedSync::of(&sync) {
            cache.apply_sync(&seen);
        }
        syncs.extend(sync.namespaced_name().map(|name| (name, sync)));
    }
    Ok(Survey { cache, syncs, created: BTreeMap::new() })
}

// === impl Survey ===

impl Survey {
    async fn see_config_maps(
        &mut self,
        client: &Client,
        attempt: &str,
        which: ListParams,
    ) -> Result<(), Error> {
        let api: Api<ConfigMap> = Api::all(client.clone());
        let listed = pages(attempt, which, async |page| api.list_metadata(&page).await);
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

/// All of a list, page by page.
async fn pages<K: Clone>(
    attempt: &str,
    parameters: ListParams,
    list: impl AsyncFn(ListParams) -> kube::Result<ObjectList<K>>,
) -> Result<Vec<K>, Error> {
    let mut found = Vec::new();
    let listed = each_page(parameters, list, async |page| found.extend(page)).await;
    listed.map_err(|source| Error::Read { attempt: attempt.to_owned(), source })?;
    Ok(found)
}
