//! The raw writer: the operator's kind of client, account and rights, and nothing to decide.

use std::time::Duration;

use anyhow::Result;
use configmapsync::api::namespaced_name::NamespacedName;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use harness::attempt::fence_probe;
use harness::replica;
use harness::replica::Pod;
use kube::Client;
use testbed::control_plane::ControlPlane;
use testbed::kubeconfig;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::bodies;
use crate::bodies::Data;
use crate::bodies::MetadataOnly;
use crate::bodies::Written;

/// How the names of its pods begin.
const NAME: &str = "raw-writer";
/// An API server takes milliseconds to hear of an announcement, as a rule.
const LET_THROUGH: Duration = Duration::from_secs(30);

/// A writer with connections of its own.
pub struct Writer {
    client: Client,
}

// === impl Writer ===

impl Writer {
    /// A writer that is one more of the operator's pods, and announced as the leader: what it
    /// writes passes whatever the operator's writes pass. It has not connected yet, as the
    /// operator has not when it starts. Nothing is tried again.
    pub async fn announced(control_plane: &ControlPlane) -> Result<Self> {
        let name = format!("{NAME}-{:08x}", fastrand::u32(..));
        let pod = Pod::create(control_plane, &name, None).await?;
        replica::publish_leader_record(control_plane, &pod.uid, 1).await?;
        let client = pod.client().await?;
        until("the raw writer is let through", LET_THROUGH, || async {
            let answer = fence_probe().send_as(&client).await?;
            Ok(Seen::from_bool(answer.is_allowed(), || answer.to_string()))
        })
        .await?;
        Self::of(&pod).await
    }

    /// A writer that is one of the operator's pods. Nothing is tried again.
    pub async fn of(pod: &Pod) -> Result<Self> {
        Ok(Self { client: kubeconfig::client_that_tries_once(&pod.kubeconfig).await? })
    }

    /// Creates a copy.
    pub async fn create(&self, at: &NamespacedName, data: &Data) -> Result<Written> {
        let request = bodies::create(at, &bodies::copy(at, data))?;
        Ok(self.client.request::<MetadataOnly>(request).await?.into())
    }

    /// Changes a copy.
    pub async fn patch(&self, at: &NamespacedName, seen: &Written, data: &Data) -> Result<Written> {
        let request = bodies::patch(at, seen, data)?;
        Ok(self.client.request::<MetadataOnly>(request).await?.into())
    }

    /// Deletes a copy.
    pub async fn delete(&self, at: &NamespacedName, seen: &Written) -> Result<()> {
        let request = bodies::delete(at, seen)?;
        self.client.request_status::<MetadataOnly>(request).await?;
        Ok(())
    }
}

/// Does `work` on every one of `items`, so many at a time.
pub async fn in_flight<Item, Done, Working>(
    limit: usize,
    items: impl IntoIterator<Item = Item>,
    work: impl Fn(Item) -> Working,
) -> Result<Vec<Done>>
where
    Working: Future<Output = Result<Done>>,
{
    stream::iter(items.into_iter().map(work)).buffer_unordered(limit).try_collect().await
}
