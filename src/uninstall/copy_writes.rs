//! All copies: the `ConfigMaps` that carry our uid label, listed in pages, by metadata only.

use std::collections::HashMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::Client;
use kube::api::ListParams;

use crate::access::rule;
use crate::api::StoredConfigMapSync;
use crate::api::namespaced_name::NamespacedName;
use crate::cache::Entry;
use crate::decide::Action;
use crate::decide::uninstall::CopyHandling;
use crate::decide::uninstall::CopyOwner;
use crate::decide::uninstall::MarkedCopy;
use crate::decide::uninstall::uninstall_action;
use crate::kubernetes::calls;
use crate::kubernetes::discovery::unless_not_served;
use crate::kubernetes::pages::each_page;
use crate::names;
use crate::uninstall::progress::Counts;
use crate::uninstall::progress::Progress;
use crate::uninstall::write_batch::BatchResult;

/// The existing syncs by uid.
pub type OwnersByUid = HashMap<String, CopyOwner>;

/// A copy, and what to do with it.
pub type CopyWrite = (NamespacedName, Action);

/// Passes the necessary writes of each page of copies to `writes`.
///
/// # Errors
/// The API server rejects the list, or does not respond.
pub async fn each_write(
    client: &Client,
    handling: CopyHandling,
    owners: &OwnersByUid,
    mut writes: impl AsyncFnMut(Vec<CopyWrite>),
) -> kube::Result<()> {
    let api: Api<ConfigMap> = Api::all(client.clone());
    let marked = ListParams::default().labels(names::LABEL_SYNC_UID);
    let list = async |page| api.list_metadata(&page).await;
    each_page(marked, list, async |page| {
        let needed = page.iter().filter_map(|copy| write(&copy.metadata, owners, handling));
        writes(needed.collect()).await;
    })
    .await
}

/// Lists all copies once, and makes the necessary writes.
///
/// # Errors
/// The API server rejects the list, or does not respond.
pub async fn pass(
    client: &Client,
    handling: CopyHandling,
    owners: &OwnersByUid,
    counts: &mut Counts,
    progress: Progress<'_>,
) -> kube::Result<BatchResult> {
    let mut result = BatchResult::default();
    each_write(client, handling, owners, async |writes| {
        if writes.is_empty() {
            return;
        }
        let retire = async |(at, action): &CopyWrite| calls::retire(client, at, action).await;
        result.send(writes, retire, |(_, action)| counts.add(action)).await;
        let Counts { kept, deleted, released, .. } = counts;
        progress(&format!("Copies so far: {kept} kept, {deleted} deleted, {released} released"));
    })
    .await?;
    Ok(result)
}

fn write(metadata: &ObjectMeta, owners: &OwnersByUid, handling: CopyHandling) -> Option<CopyWrite> {
    let ObjectMeta { namespace, name, .. } = metadata;
    let at = NamespacedName::new(namespace.clone()?, name.clone()?);
    let Entry { version, deleting, managed_by, markers, marker_keys, .. } = Entry::of(metadata)?;
    let markers = markers?;
    let owner = owners.get(&markers.sync_uid).cloned();
    let copy = MarkedCopy { version, deleting, markers, marker_keys, managed_by, owner };
    let action = uninstall_action(&at, &copy, handling)?;
    Some((at, action))
}

/// Lists all syncs. If the kind is not installed, there are none.
///
/// # Errors
/// The API server rejects the list, or does not respond.
pub async fn owners(client: &Client) -> kube::Result<OwnersByUid> {
    let api: Api<StoredConfigMapSync> = Api::all(client.clone());
    let mut owners = OwnersByUid::new();
    let list = async |page| api.list(&page).await;
    let listed = each_page(ListParams::default(), list, async |page| {
        owners.extend(page.iter().filter_map(|sync| {
            let policy = sync.spec.as_ref().ok().map(|spec| spec.deletion_policy);
            let owner = CopyOwner { name: sync.namespaced_name()?, policy };
            Some((sync.metadata.uid.clone()?, owner))
        }));
    });
    unless_not_served::<StoredConfigMapSync>(client, listed.await).await?;
    Ok(owners)
}

/// Permissions for finding copies, and for taking markers off.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    vec![rule("", "configmaps", &["list", "patch"])]
}

/// Permissions for deleting copies, in addition to [`access`].
#[must_use]
pub fn access_to_delete() -> Vec<PolicyRule> {
    vec![rule("", "configmaps", &["delete"])]
}
