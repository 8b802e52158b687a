//! Our finalizer on `ConfigMapSyncs`, listed in pages, by metadata only.

use k8s_openapi::api::rbac::v1::PolicyRule;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::Client;
use kube::api::ListParams;

use crate::access::rule;
use crate::api::StoredConfigMapSync;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::observed::Version;
use crate::kubernetes::calls;
use crate::kubernetes::discovery::unless_not_served;
use crate::kubernetes::pages::each_page;
use crate::kubernetes::requests;
use crate::names;
use crate::uninstall::progress::Counts;
use crate::uninstall::progress::Progress;
use crate::uninstall::write_batch::BatchResult;

/// A sync that carries our finalizer.
pub struct SyncWithFinalizer {
    name: NamespacedName,
    version: Version,
    finalizers: Vec<String>,
}

/// Passes the syncs of each page that carry our finalizer to `syncs`. If the kind is not installed,
/// there are none.
///
/// # Errors
/// The API server rejects the list, or does not respond.
pub async fn each_page_of_syncs(
    client: &Client,
    mut syncs: impl AsyncFnMut(Vec<SyncWithFinalizer>),
) -> kube::Result<()> {
    let api: Api<StoredConfigMapSync> = Api::all(client.clone());
    let list = async |page| api.list_metadata(&page).await;
    let listed = each_page(ListParams::default(), list, async |page| {
        let page = page.into_iter().filter_map(|sync| SyncWithFinalizer::of(sync.metadata));
        syncs(page.collect()).await;
    });
    unless_not_served::<StoredConfigMapSync>(client, listed.await).await
}

/// Lists all syncs once, and removes our finalizer from each.
///
/// # Errors
/// The API server rejects the list, or does not respond.
pub async fn pass(
    client: &Client,
    counts: &mut Counts,
    progress: Progress<'_>,
) -> kube::Result<BatchResult> {
    let mut result = BatchResult::default();
    each_page_of_syncs(client, async |syncs| {
        if syncs.is_empty() {
            return;
        }
        let remove = async |SyncWithFinalizer { name, version, finalizers }: &_| {
            let patch = requests::remove_finalizer(version, finalizers);
            calls::patch_finalizers(client, name, patch).await.map(drop)
        };
        result.send(syncs, remove, |_| counts.finalizers_removed += 1).await;
        let removed = counts.finalizers_removed;
        progress(&format!("ConfigMapSyncs so far: our finalizer removed from {removed}"));
    })
    .await?;
    Ok(result)
}

// === impl SyncWithFinalizer ===

impl SyncWithFinalizer {
    fn of(metadata: ObjectMeta) -> Option<Self> {
        let finalizers = metadata.finalizers?;
        let has_ours = finalizers.iter().any(|finalizer| finalizer == names::FINALIZER);
        let name = NamespacedName::new(metadata.namespace?, metadata.name?);
        let version = Version { uid: metadata.uid?, resource_version: metadata.resource_version? };
        has_ours.then_some(Self { name, version, finalizers })
    }
}

/// Permissions for finding syncs, and for removing our finalizer.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    vec![rule(names::GROUP, "configmapsyncs", &["list", "patch"])]
}
