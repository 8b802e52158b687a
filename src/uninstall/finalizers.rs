//! Our finalizer on `ConfigMapSyncs`, listed in pages, by metadata only.

use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;

use crate::access::rule;
use crate::api::ConfigMapSync;
use crate::api::metadata::Metadata;
use crate::api::metadata::MetadataOnly;
use crate::api::namespaced_name::NamespacedName;
use crate::api::scope::Scope;
use crate::kubernetes::calls;
use crate::kubernetes::discovery::unless_not_served;
use crate::kubernetes::error::CallError;
use crate::kubernetes::lists::List;
use crate::kubernetes::pages::each_page;
use crate::kubernetes::pages::first_object;
use crate::kubernetes::requests;
use crate::names;
use crate::uninstall::progress::Counts;
use crate::uninstall::progress::Progress;
use crate::uninstall::write_batch::BatchResult;
use crate::uninstall::write_batch::Writer;

/// A sync that carries our finalizer.
pub struct SyncWithFinalizer {
    /// The sync.
    pub name: NamespacedName,
    /// All its finalizers.
    pub finalizers: Vec<String>,
    uid: String,
}

/// Removes our finalizer from all syncs in the scope.
pub struct FinalizerWriter<'a> {
    /// The client.
    pub client: &'a Client,
    /// The scope.
    pub scope: &'a Scope,
}

// === impl FinalizerWriter ===

impl FinalizerWriter<'_> {
    /// Passes the syncs of each page that carry our finalizer to `syncs`. If the kind is not
    /// installed, there are none.
    ///
    /// # Errors
    /// The API server rejects the list, or does not respond.
    pub async fn each_page(
        &self,
        mut syncs: impl AsyncFnMut(Vec<SyncWithFinalizer>),
    ) -> kube::Result<()> {
        for part in self.scope.parts() {
            let list = List::metadata::<ConfigMapSync>(part);
            let with_finalizer = |sync: MetadataOnly| SyncWithFinalizer::of(sync.metadata);
            let listed = each_page(self.client, &list, with_finalizer, &mut syncs).await;
            unless_not_served::<ConfigMapSync>(self.client, listed).await?;
        }
        Ok(())
    }

    /// Lists all syncs once, and removes our finalizer from each.
    ///
    /// # Errors
    /// The API server rejects the list, or does not respond.
    pub async fn pass(
        &self,
        result: &mut BatchResult,
        counts: &mut Counts,
        progress: Progress<'_>,
    ) -> kube::Result<()> {
        self.each_page(async |syncs| {
            if syncs.is_empty() {
                return;
            }
            result.send(self, syncs, |_| counts.finalizers_removed += 1).await;
            let removed = counts.finalizers_removed;
            progress(&format!("ConfigMapSyncs so far: our finalizer removed from {removed}"));
        })
        .await
    }
}

impl Writer for FinalizerWriter<'_> {
    type Write = SyncWithFinalizer;

    fn object<'a>(&self, sync: &'a SyncWithFinalizer) -> &'a NamespacedName {
        &sync.name
    }

    async fn send(&self, sync: &SyncWithFinalizer) -> Result<(), CallError> {
        let patch = requests::remove_finalizer_of(&sync.uid, &sync.finalizers);
        calls::patch_finalizers(self.client, &sync.name, patch).await.map(drop)
    }

    async fn decide_again(
        &self,
        sync: &SyncWithFinalizer,
    ) -> kube::Result<Option<SyncWithFinalizer>> {
        let NamespacedName { namespace, name } = &sync.name;
        let named = List::metadata::<ConfigMapSync>(Some(namespace)).named(name);
        let found: Option<MetadataOnly> = first_object(self.client, &named).await?;
        Ok(found.and_then(|sync| SyncWithFinalizer::of(sync.metadata)))
    }
}

// === impl SyncWithFinalizer ===

impl SyncWithFinalizer {
    fn of(metadata: Metadata) -> Option<Self> {
        let finalizers = metadata.finalizers?;
        let has_ours = finalizers.iter().any(|finalizer| finalizer == names::FINALIZER);
        let name = NamespacedName::new(metadata.namespace?, metadata.name?);
        let uid = metadata.uid?;
        has_ours.then_some(Self { name, finalizers, uid })
    }
}

/// Permissions for finding syncs, and for removing our finalizer.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    vec![rule(names::GROUP, "configmapsyncs", &["list", "patch"])]
}
