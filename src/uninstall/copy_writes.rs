//! All copies: the `ConfigMaps` that carry our uid label, listed in pages, by metadata only.

use std::collections::BTreeMap;
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
use crate::kubernetes::error::CallError;
use crate::kubernetes::pages::each_page;
use crate::kubernetes::requests;
use crate::names;
use crate::uninstall::progress::Counts;
use crate::uninstall::progress::Progress;
use crate::uninstall::write_batch::BatchResult;
use crate::uninstall::write_batch::Writer;

/// The existing syncs by uid.
type OwnersByUid = HashMap<String, CopyOwner>;
type Map = BTreeMap<String, String>;

/// A copy, and what to do with it.
pub struct CopyWrite {
    /// The copy.
    pub at: NamespacedName,
    /// The write that it requires.
    pub action: Action,
    /// Its labels and annotations.
    known: [Map; 2],
}

/// Handles all copies.
pub struct CopyWriter<'a> {
    client: &'a Client,
    handling: CopyHandling,
    owners: OwnersByUid,
}

// === impl CopyWriter ===

impl<'a> CopyWriter<'a> {
    /// Reads which copy belongs to which sync, as far as `handling` depends on it.
    ///
    /// # Errors
    /// The API server rejects the list, or does not respond.
    pub async fn new(client: &'a Client, handling: CopyHandling) -> kube::Result<Self> {
        let owners = match handling {
            // Keeping copies does not depend on their syncs.
            CopyHandling::Keep => OwnersByUid::new(),
            CopyHandling::Delete => owners(client).await?,
        };
        Ok(Self { client, handling, owners })
    }

    /// Passes the necessary writes of each page of copies to `writes`.
    ///
    /// # Errors
    /// The API server rejects the list, or does not respond.
    pub async fn each_page(&self, mut writes: impl AsyncFnMut(Vec<CopyWrite>)) -> kube::Result<()> {
        let api: Api<ConfigMap> = Api::all(self.client.clone());
        let list = async |page| api.list_metadata(&page).await;
        each_page(marked(), list, async |page| {
            writes(page.into_iter().filter_map(|copy| self.write(copy.metadata)).collect()).await;
        })
        .await
    }

    /// Lists all copies once, and makes the necessary writes.
    ///
    /// # Errors
    /// The API server rejects the list, or does not respond.
    pub async fn pass(
        &self,
        result: &mut BatchResult,
        counts: &mut Counts,
        progress: Progress<'_>,
    ) -> kube::Result<()> {
        self.each_page(async |writes| {
            if writes.is_empty() {
                return;
            }
            result.send(self, writes, |write| counts.add(&write.action)).await;
            let Counts { kept, deleted, released, .. } = counts;
            let so_far = format!("{kept} kept, {deleted} deleted, {released} released");
            progress(&format!("Copies so far: {so_far}"));
        })
        .await
    }

    fn write(&self, metadata: ObjectMeta) -> Option<CopyWrite> {
        let entry = Entry::of(&metadata)?;
        let Entry { version, deleting, managed_by, markers, marker_keys, .. } = entry;
        let at = NamespacedName::new(metadata.namespace?, metadata.name?);
        let markers = markers?;
        let owner = self.owners.get(&markers.sync_uid).cloned();
        let copy = MarkedCopy { version, deleting, markers, marker_keys, managed_by, owner };
        let action = uninstall_action(&at, &copy, self.handling)?;
        let known = [metadata.labels, metadata.annotations].map(Option::unwrap_or_default);
        Some(CopyWrite { at, action, known })
    }
}

impl Writer for CopyWriter<'_> {
    type Write = CopyWrite;

    fn object<'a>(&self, write: &'a CopyWrite) -> &'a NamespacedName {
        &write.at
    }

    async fn send(&self, write: &CopyWrite) -> Result<(), CallError> {
        let CopyWrite { at, action, known } = write;
        match action {
            Action::Restamp { seen, stamp } | Action::Release { seen, stamp } => {
                let patch = requests::remove_metadata(&seen.uid, stamp, known);
                calls::patch(self.client, at, patch, None).await.map(drop)
            }
            action => calls::retire(self.client, at, action).await,
        }
    }

    async fn decide_again(&self, write: &CopyWrite) -> kube::Result<Option<CopyWrite>> {
        let NamespacedName { namespace, name } = &write.at;
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        // A list: the uninstall Job has no permission to get ConfigMaps, whose response has content.
        let named = marked().fields(&format!("metadata.name={name}"));
        let found = api.list_metadata(&named).await?.items.into_iter().next();
        Ok(found.and_then(|copy| self.write(copy.metadata)))
    }
}

fn marked() -> ListParams {
    ListParams::default().labels(names::LABEL_SYNC_UID)
}

/// Lists all syncs. If the kind is not installed, there are none.
async fn owners(client: &Client) -> kube::Result<OwnersByUid> {
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
