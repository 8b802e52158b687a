//! The raw writer: the operator's kind of client, ServiceAccount and permissions, without its logic.

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

use crate::write_requests;
use crate::write_requests::Data;
use crate::write_requests::MetadataOnly;
use crate::write_requests::Written;

/// The prefix of the names of its pods.
const NAME: &str = "raw-writer";
/// The deadline for the API server to receive a leader record; it usually takes milliseconds.
const ADMITTED: Duration = Duration::from_secs(30);

/// A writer with its own connections.
pub struct Writer {
    client: Client,
}

// === impl Writer ===

impl Writer {
    /// A writer with a new pod of the operator, in the leader record: its writes are subject to the same
    /// policies as the operator's. It has no open connections, as the operator at its start. Requests
    /// are not retried.
    pub async fn as_leader(control_plane: &ControlPlane) -> Result<Self> {
        let name = format!("{NAME}-{:08x}", fastrand::u32(..));
        let pod = Pod::create(control_plane, &name, None).await?;
        replica::publish_leader_record(control_plane, &pod.uid, 1).await?;
        let client = pod.client().await?;
        until("the fence allows the writes of the raw writer", ADMITTED, || async {
            let response = fence_probe().send_as(&client).await?;
            Ok(Seen::from_bool(response.is_allowed(), || response.to_string()))
        })
        .await?;
        Self::of(&pod).await
    }

    /// A writer that authenticates as `pod`. Requests are not retried.
    pub async fn of(pod: &Pod) -> Result<Self> {
        Ok(Self { client: kubeconfig::client_that_tries_once(&pod.kubeconfig).await? })
    }

    /// Creates a copy.
    pub async fn create(&self, at: &NamespacedName, data: &Data) -> Result<Written> {
        let request = write_requests::create(at, &write_requests::copy(at, data))?;
        Ok(self.client.request::<MetadataOnly>(request).await?.into())
    }

    /// Updates the content of a copy.
    pub async fn patch(&self, at: &NamespacedName, seen: &Written, data: &Data) -> Result<Written> {
        let request = write_requests::patch(at, seen, data)?;
        Ok(self.client.request::<MetadataOnly>(request).await?.into())
    }

    /// Deletes a copy.
    pub async fn delete(&self, at: &NamespacedName, seen: &Written) -> Result<()> {
        let request = write_requests::delete(at, seen)?;
        self.client.request_status::<MetadataOnly>(request).await?;
        Ok(())
    }
}

/// Runs `work` for each of `items`, at most `limit` at a time. Fails at the first error.
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
