//! What users do: random edits, deletions and restores. A refused edit is part of the run.

use std::time::Duration;

use anyhow::Result;
use configmapsync::names;
use fastrand::Rng;
use harness::fixture::Fixture;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;

use crate::workload::APPS;
use crate::workload::Item;
use crate::workload::group;

/// How long a user waits for the cleanup of a deleted `ConfigMapSync`.
const CLEANED_UP: Duration = Duration::from_secs(3);

/// An edit by a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum UserEdit {
    EditSource,
    EditCopy,
    DeleteCopy,
    DeleteSource,
    RecreateSource,
    EditKeys,
    Move,
    Suspend,
    RecreateSync,
    Relabel,
    Restore,
}

// === impl UserEdit ===

impl UserEdit {
    /// The names in the summary.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EditSource => "edit a source",
            Self::EditCopy => "edit a copy",
            Self::DeleteCopy => "delete a copy",
            Self::DeleteSource => "delete a source",
            Self::RecreateSource => "create a source again",
            Self::EditKeys => "change spec.keys",
            Self::Move => "change the destination",
            Self::Suspend => "suspend or resume",
            Self::RecreateSync => "delete and create a ConfigMapSync",
            Self::Relabel => "change the labels of a namespace",
            Self::Restore => "restore from a backup",
        }
    }

    /// A random edit: edits of sources and copies are the most frequent.
    pub fn draw(random: &mut Rng) -> Self {
        match random.u32(0..100) {
            0..40 => Self::EditSource,
            40..52 => Self::EditCopy,
            52..60 => Self::DeleteCopy,
            60..64 => Self::DeleteSource,
            64..72 => Self::RecreateSource,
            72..78 => Self::EditKeys,
            78..83 => Self::Move,
            83..88 => Self::Suspend,
            88..93 => Self::RecreateSync,
            93..97 => Self::Relabel,
            _ => Self::Restore,
        }
    }

    /// Makes the edit. `value` is new data, unique in the run.
    pub async fn make(
        self,
        fixture: &Fixture,
        item: Item,
        value: &str,
        random: &mut Rng,
    ) -> Result<()> {
        let (namespace, name) = (item.namespace(), item.name());
        let data = json!({"data": {"a": value}});
        match self {
            Self::EditSource if item.is_immutable() => replace_source(fixture, item, value).await,
            Self::EditSource => fixture.patch_config_map(namespace, &name, &data).await.map(drop),
            Self::EditCopy => {
                let (at, copy) = (item.destination(), item.copy_name());
                fixture.patch_config_map(at, &copy, &data).await.map(drop)
            }
            Self::DeleteCopy => {
                fixture.delete_config_map(item.destination(), &item.copy_name()).await
            }
            Self::DeleteSource => fixture.delete_config_map(namespace, &name).await,
            Self::RecreateSource => replace_source(fixture, item, value).await,
            Self::EditKeys => {
                let keys = if random.bool() { json!(["a"]) } else { json!(null) };
                fixture.patch_sync(namespace, &name, &json!({"spec": {"keys": keys}})).await?;
                Ok(())
            }
            Self::Move => {
                let destination = APPS[random.usize(0..APPS.len())];
                let spec = json!({"spec": {
                    "destinationNamespace": destination, "destinationNamespaceSelector": null,
                }});
                fixture.patch_sync(namespace, &name, &spec).await.map(drop)
            }
            Self::Suspend => {
                let spec = json!({"spec": {"suspend": random.bool()}});
                fixture.patch_sync(namespace, &name, &spec).await.map(drop)
            }
            Self::RecreateSync => {
                // It may be missing already.
                let _ = fixture.delete_sync(namespace, &name).await;
                fixture.wait_no_sync(namespace, &name, CLEANED_UP).await?;
                fixture.create_sync(namespace, &name, item.spec()).await.map(drop)
            }
            Self::Relabel => {
                let labels = json!({"group": group(random.usize(0..2))});
                fixture.label_namespace(APPS[random.usize(0..APPS.len())], &labels).await
            }
            Self::Restore => restore(fixture, item).await,
        }
    }
}

async fn replace_source(fixture: &Fixture, item: Item, value: &str) -> Result<()> {
    // It may be missing already.
    let _ = fixture.delete_config_map(item.namespace(), &item.name()).await;
    fixture.clone_config_map(&item.source(value)).await.map(drop)
}

/// Loses a `ConfigMapSync` and its copies, and restores them as a backup tool does: the copies first,
/// with their old markers; then the `ConfigMapSync`, with a new uid.
async fn restore(fixture: &Fixture, item: Item) -> Result<()> {
    let (namespace, name) = (item.namespace(), item.name());
    let Some(sync) = fixture.sync(namespace, &name).await? else {
        return fixture.create_sync(namespace, &name, item.spec()).await.map(drop);
    };
    let uid = sync.metadata.uid.unwrap_or_default();
    let ours = ListParams::default().labels(&format!("{}={uid}", names::LABEL_SYNC_UID));
    let copies = Api::<ConfigMap>::all(fixture.client()).list(&ours).await?.items;
    fixture.delete_sync_without_finalizers(namespace, &name).await?;
    for copy in &copies {
        let at = copy.metadata.namespace.as_deref().unwrap_or_default();
        let copy_name = copy.metadata.name.as_deref().unwrap_or_default();
        // The operator may have collected it.
        let _ = fixture.delete_config_map(at, copy_name).await;
        fixture.clone_config_map(&without_version(copy)).await?;
    }
    fixture.create_sync(namespace, &name, sync.spec).await.map(drop)
}

fn without_version(copy: &ConfigMap) -> ConfigMap {
    let mut copy = copy.clone();
    copy.metadata.resource_version = None;
    copy.metadata.uid = None;
    copy
}
