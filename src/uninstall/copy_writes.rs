//! All copies: the `ConfigMaps` that carry our uid label, listed in pages, by metadata only.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;

use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;

use crate::access::rule;
use crate::api::ConfigMapSync;
use crate::api::StoredConfigMapSync;
use crate::api::metadata::MetadataOnly;
use crate::api::namespaced_name::NamespacedName;
use crate::api::scope::Scope;
use crate::cache::Entry;
use crate::decide::Action;
use crate::decide::drift::ConfigMapMetadata;
use crate::decide::drift::ManagedFields;
use crate::decide::uninstall::CopyHandling;
use crate::decide::uninstall::CopyOwner;
use crate::decide::uninstall::MarkedCopy;
use crate::decide::uninstall::uninstall_action;
use crate::kubernetes::calls;
use crate::kubernetes::discovery::unless_not_served;
use crate::kubernetes::error::CallError;
use crate::kubernetes::lists::List;
use crate::kubernetes::pages::each_object;
use crate::kubernetes::pages::each_page;
use crate::kubernetes::pages::first_object;
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
    /// Those of its labels and annotations that the write removes.
    known: [Map; 2],
}

/// Handles all copies in the scope.
pub struct CopyWriter<'a> {
    client: &'a Client,
    scope: &'a Scope,
    handling: CopyHandling,
    owners: OwnersByUid,
}

// === impl CopyWriter ===

impl<'a> CopyWriter<'a> {
    /// Reads which copy belongs to which sync, as far as `handling` depends on it.
    ///
    /// # Errors
    /// The API server rejects the list, or does not respond.
    pub async fn new(
        client: &'a Client,
        scope: &'a Scope,
        handling: CopyHandling,
    ) -> kube::Result<Self> {
        let owners = match handling {
            // Keeping copies does not depend on their syncs.
            CopyHandling::Keep => OwnersByUid::new(),
            CopyHandling::Delete => owners(client, scope).await?,
        };
        Ok(Self { client, scope, handling, owners })
    }

    /// Passes the necessary writes of each page of copies to `writes`.
    ///
    /// # Errors
    /// The API server rejects the list, or does not respond.
    pub async fn each_page(&self, mut writes: impl AsyncFnMut(Vec<CopyWrite>)) -> kube::Result<()> {
        for part in self.scope.parts() {
            let needed = |copy: MetadataOnly<ManagedFields>| self.write(copy.metadata);
            each_page(self.client, &marked(part), needed, &mut writes).await?;
        }
        Ok(())
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

    fn write(&self, metadata: ConfigMapMetadata) -> Option<CopyWrite> {
        let entry = Entry::of(&metadata)?;
        let Entry { version, deleting, managed_by, markers, marker_keys, .. } = entry;
        let at = metadata.namespaced_name()?;
        let markers = markers?;
        let owner = self.owners.get(&markers.sync_uid).cloned();
        let copy = MarkedCopy { version, deleting, markers, marker_keys, managed_by, owner };
        let action = uninstall_action(&at, &copy, self.handling)?;
        let nothing = BTreeSet::new();
        let removed = match &action {
            Action::Restamp { stamp, .. } | Action::Release { stamp, .. } => {
                [&stamp.labels.remove, &stamp.annotations.remove]
            }
            _ => [&nothing; 2],
        };
        let [mut labels, mut annotations] =
            [metadata.labels, metadata.annotations].map(Option::unwrap_or_default);
        labels.retain(|key, _| removed[0].contains(key));
        annotations.retain(|key, _| removed[1].contains(key));
        Some(CopyWrite { at, action, known: [labels, annotations] })
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
                calls::patch(self.client, at, patch).await.map(drop)
            }
            action => calls::retire(self.client, at, action).await,
        }
    }

    async fn decide_again(&self, write: &CopyWrite) -> kube::Result<Option<CopyWrite>> {
        let NamespacedName { namespace, name } = &write.at;
        // A list: the uninstall Job has no permission to get ConfigMaps, whose response has content.
        let named = marked(Some(namespace)).named(name);
        let found: Option<MetadataOnly<ManagedFields>> = first_object(self.client, &named).await?;
        Ok(found.and_then(|copy| self.write(copy.metadata)))
    }
}

fn marked(namespace: Option<&str>) -> List {
    List::metadata::<ConfigMap>(namespace).labelled(names::LABEL_SYNC_UID)
}

/// Lists all syncs. If the kind is not installed, there are none.
async fn owners(client: &Client, scope: &Scope) -> kube::Result<OwnersByUid> {
    let mut owners = OwnersByUid::new();
    for part in scope.parts() {
        let list = List::objects::<ConfigMapSync>(part);
        let listed = each_object(client, &list, |sync| owners.extend(owner(sync))).await;
        unless_not_served::<ConfigMapSync>(client, listed).await?;
    }
    Ok(owners)
}

fn owner(sync: StoredConfigMapSync) -> Option<(String, CopyOwner)> {
    let policy = sync.spec.as_ref().ok().map(|spec| spec.deletion_policy);
    let owner = CopyOwner { name: sync.namespaced_name()?, policy };
    Some((sync.metadata.uid?, owner))
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
