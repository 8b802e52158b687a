//! What is copied, and by which syncs.

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
use crate::bodies::four_kibibytes;
use crate::writer::in_flight;

/// How often a sync is looked at: seldom enough not to slow down what is measured.
const PAUSE: Duration = Duration::from_millis(100);

impl BenchCluster {
    /// Makes the source `central/NAME`, of 4 KiB.
    pub async fn make_source(&self, name: &str) -> Result<()> {
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let data = Some(four_kibibytes(0));
        let source = ConfigMap { metadata, data, ..ConfigMap::default() };
        let api = Api::<ConfigMap>::namespaced(self.control_plane.client(), CENTRAL);
        let made = api.create(&PostParams::default(), &source).await;
        made.with_context(|| format!("making the source {name}"))?;
        Ok(())
    }

    /// Deletes the source `central/NAME`.
    pub async fn delete_source(&self, name: &str) -> Result<()> {
        self.fixture().delete_config_map(CENTRAL, name).await
    }

    /// A spec that copies the source `name` to every namespace with this label.
    pub fn fan_out(name: &str, label: &str) -> ConfigMapSyncSpec {
        ConfigMapSyncSpec {
            source_namespace: CENTRAL.to_owned(),
            config_map_name: name.to_owned(),
            destination_namespace_selector: Some(Self::selector(label)),
            ..ConfigMapSyncSpec::default()
        }
    }

    /// Makes `count` syncs, each with a source of its own and with one destination, spread over
    /// `namespaces` namespaces. They are called `NAME-0`, `NAME-1` and so on.
    pub async fn make_pairs(&self, name: &str, count: u32, namespaces: u32) -> Result<()> {
        let syncs = Api::<ConfigMapSync>::namespaced(self.control_plane.client(), CENTRAL);
        in_flight(PREPARING, 0..count, async |index| {
            let name = format!("{name}-{index}");
            self.make_source(&name).await?;
            let spec = one_to_one(CENTRAL, &name, &Self::namespace(index % namespaces));
            let made = syncs.create(&PostParams::default(), &ConfigMapSync::new(&name, spec)).await;
            made.with_context(|| format!("making the sync {name}"))
        })
        .await?;
        Ok(())
    }

    /// Waits until the sync is `Synced`, with another content than that of this hash.
    pub async fn wait_synced(&self, name: &str, other_than: Option<&str>) -> Result<ConfigMapSync> {
        until_every(PAUSE, format!("{name} is Synced"), LONG, || async {
            let found = self.fixture().sync(CENTRAL, name).await?;
            let status = found.as_ref().and_then(|sync| sync.status.clone()).unwrap_or_default();
            let ready = status.conditions.iter().find(|condition| condition.type_ == "Ready");
            let is_new = status.content_hash.as_deref() != other_than;
            let is_done = is_new && ready.is_some_and(|ready| ready.reason == "Synced");
            Ok(Seen::from_option(found.filter(|_| is_done), || format!("{status:?}")))
        })
        .await
    }

    /// Deletes the sync, and waits until it is gone.
    pub async fn delete_sync(&self, name: &str) -> Result<()> {
        let syncs = Api::<ConfigMapSync>::namespaced(self.control_plane.client(), CENTRAL);
        syncs.delete(name, &DeleteParams::default()).await?;
        until_every(PAUSE, format!("the sync {name} is gone"), LONG, || async {
            let found = syncs.get_metadata_opt(name).await?;
            Ok(Seen::from_bool(found.is_none(), || "it is there".to_owned()))
        })
        .await
    }
}

/// The hash that the status tells.
pub fn hash(sync: &ConfigMapSync) -> Option<String> {
    sync.status.as_ref()?.content_hash.clone()
}
