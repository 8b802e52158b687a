//! Creates and deletes sources and `ConfigMapSync`s.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use configmapsync::api::ConfigMapSync;
use configmapsync::api::ConfigMapSyncSpec;
use harness::fixture::one_to_one;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Api;
use kube::api::DeleteParams;
use kube::api::PostParams;
use testbed::wait::Seen;
use testbed::wait::until_every;

use crate::bench_cluster::BenchCluster;
use crate::bench_cluster::CENTRAL;
use crate::bench_cluster::LONG;
use crate::bench_cluster::PREPARING;
use crate::raw_writer::in_flight;
use crate::write_requests::Data;
use crate::write_requests::four_kibibytes;

/// Pause between two reads of a `ConfigMapSync`: long enough not to slow down the operator.
const PAUSE: Duration = Duration::from_millis(100);

impl BenchCluster {
    /// Creates the source `central/NAME`, of 4 KiB.
    pub async fn create_source(&self, name: &str) -> Result<()> {
        self.create_source_with(name, four_kibibytes(0)).await
    }

    /// Creates the source `central/NAME` with this `data`.
    pub async fn create_source_with(&self, name: &str, data: Data) -> Result<()> {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let data = Some(data);
        let source = ConfigMap { metadata, data, ..ConfigMap::default() };
        let api = Api::<ConfigMap>::namespaced(self.control_plane.client(), CENTRAL);
        let created = api.create(&PostParams::default(), &source).await;
        created.with_context(|| format!("creating the source {CENTRAL}/{name}"))?;
        Ok(())
    }

    /// Deletes the source `central/NAME`.
    pub async fn delete_source(&self, name: &str) -> Result<()> {
        self.fixture().delete_config_map(CENTRAL, name).await
    }

    /// A spec that copies the source `name` to every namespace with `label`.
    pub fn fan_out(name: &str, label: &str) -> ConfigMapSyncSpec {
        ConfigMapSyncSpec {
            source_namespace: CENTRAL.to_owned(),
            config_map_name: name.to_owned(),
            destination_namespace_selector: Some(Self::selector(label)),
            ..ConfigMapSyncSpec::default()
        }
    }

    /// Creates `count` sources and `ConfigMapSync`s with one destination each, spread over `namespaces`
    /// namespaces, with the names `NAME-0`, `NAME-1` and so on.
    pub async fn create_pairs(&self, name: &str, count: u32, namespaces: u32) -> Result<()> {
        let syncs = Api::<ConfigMapSync>::namespaced(self.control_plane.client(), CENTRAL);
        in_flight(PREPARING, 0..count, async |index| {
            let name = format!("{name}-{index}");
            self.create_source(&name).await?;
            let spec = one_to_one(CENTRAL, &name, &Self::namespace(index % namespaces));
            let created =
                syncs.create(&PostParams::default(), &ConfigMapSync::new(&name, spec)).await;
            created.with_context(|| format!("creating the ConfigMapSync {CENTRAL}/{name}"))
        })
        .await?;
        Ok(())
    }

    /// Waits until the `ConfigMapSync` is `Synced`, with a content hash other than `other_than`.
    pub async fn wait_synced(&self, name: &str, other_than: Option<&str>) -> Result<ConfigMapSync> {
        until_every(
            PAUSE,
            format!("the ConfigMapSync {CENTRAL}/{name} has the reason Synced"),
            LONG,
            || async {
                let found = self.fixture().sync(CENTRAL, name).await?;
                let status =
                    found.as_ref().and_then(|sync| sync.status.clone()).unwrap_or_default();
                let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
                let is_new = status.content_hash.as_deref() != other_than;
                let is_done = is_new && ready.is_some_and(|ready| ready.reason == "Synced");
                Ok(Seen::from_option(found.filter(|_| is_done), || format!("{status:?}")))
            },
        )
        .await
    }

    /// Deletes the `ConfigMapSync`, and waits until it does not exist.
    pub async fn delete_sync(&self, name: &str) -> Result<()> {
        let syncs = Api::<ConfigMapSync>::namespaced(self.control_plane.client(), CENTRAL);
        syncs.delete(name, &DeleteParams::default()).await?;
        until_every(
            PAUSE,
            format!("the ConfigMapSync {CENTRAL}/{name} is deleted"),
            LONG,
            || async {
                let found = syncs.get_metadata_opt(name).await?;
                Ok(Seen::from_bool(found.is_none(), || "it exists".to_owned()))
            },
        )
        .await
    }
}

/// The content hash in the status.
pub fn hash(sync: &ConfigMapSync) -> Option<String> {
    sync.status.as_ref()?.content_hash.clone()
}
