//! One look at a cluster, into the same inventory that the operator's watches fill.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Debug;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::Client;
use kube::api::ListParams;
use kube::core::ObjectList;
use serde::de::DeserializeOwned;

use crate::api::StoredConfigMapSync;
use crate::commands::Error;
use crate::controller::inventory::Inventory;
use crate::names;
use crate::names::NamespacedName;

/// How many objects one answer holds.
const PAGE: u32 = 500;

/// What there is.
pub struct Survey {
    /// The syncs and the marked copies.
    pub inventory: Inventory,
    /// When each marked copy was created.
    pub created: BTreeMap<NamespacedName, Timestamp>,
}

/// Lists the syncs and the marked copies of the whole cluster.
///
/// # Errors
/// A list is refused.
pub async fn survey(client: &Client) -> Result<Survey, Error> {
    let inventory = Inventory::new(BTreeSet::new());
    let syncs: Api<StoredConfigMapSync> = Api::all(client.clone());
    let syncs =
        pages("list ConfigMapSyncs", ListParams::default(), async |page| syncs.list(&page).await);
    for sync in syncs.await? {
        inventory.sync_seen(&sync);
    }
    let copies: Api<ConfigMap> = Api::all(client.clone());
    let marked = ListParams::default().labels(names::LABEL_SYNC_UID);
    let copies =
        pages("list marked ConfigMaps", marked, async |page| copies.list_metadata(&page).await);
    let mut created = BTreeMap::new();
    for copy in copies.await? {
        inventory.config_map_seen(&copy.metadata);
        let metadata = copy.metadata;
        if let (Some(namespace), Some(name), Some(at)) =
            (metadata.namespace, metadata.name, metadata.creation_timestamp)
        {
            created.insert(NamespacedName::new(namespace, name), at.0);
        }
    }
    Ok(Survey { inventory, created })
}

/// All of a list, page by page.
async fn pages<K: Clone + Debug + DeserializeOwned>(
    attempt: &str,
    parameters: ListParams,
    list: impl AsyncFn(ListParams) -> kube::Result<ObjectList<K>>,
) -> Result<Vec<K>, Error> {
    let mut parameters = parameters.limit(PAGE);
    let mut found = Vec::new();
    loop {
        let page = list(parameters.clone()).await;
        let page = page.map_err(|source| Error::Read { attempt: attempt.to_owned(), source })?;
        found.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => parameters = parameters.continue_token(&token),
            None => return Ok(found),
        }
    }
}
