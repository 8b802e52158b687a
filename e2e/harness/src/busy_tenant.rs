//! A tenant who writes to objects in a loop.

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::fixture::SOON;
use anyhow::Result;
use configmapsync::api::ConfigMapSync;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::Client;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::Value;
use serde_json::json;
use testbed::wait::Seen;
use testbed::wait::until;
use tokio::task::JoinSet;
use tokio::time::interval;

/// 50 writes a second to each object.
const PERIOD: Duration = Duration::from_millis(20);

/// Writes until it is dropped.
pub struct BusyTenant {
    _tasks: JoinSet<()>,
    written: Arc<AtomicU32>,
}

impl BusyTenant {
    /// Changes an annotation of these ConfigMaps in `app`, and of these ConfigMapSyncs in `central`.
    pub async fn touching(client: &Client, copies: &[&str], syncs: &[&str]) -> Result<Self> {
        let touch =
            |number: u32| json!({"metadata": {"annotations": {"touched": number.to_string()}}});
        Self::start(client, copies, syncs, touch).await
    }

    /// Sets the finalizers of these ConfigMapSyncs in `central`.
    pub async fn finalizing(client: &Client, syncs: &[&str], finalizers: Value) -> Result<Self> {
        let touch = move |_| json!({"metadata": {"finalizers": finalizers}});
        Self::start(client, &[], syncs, touch).await
    }

    async fn start(
        client: &Client,
        copies: &[&str],
        syncs: &[&str],
        touch: impl Fn(u32) -> Value + Clone + Send + 'static,
    ) -> Result<Self> {
        let (mut tasks, written) = (JoinSet::new(), Arc::<AtomicU32>::default());
        let maps = Api::<ConfigMap>::namespaced(client.clone(), "app");
        let all = Api::<ConfigMapSync>::namespaced(client.clone(), "central");
        for name in copies {
            tasks.spawn(write(
                maps.clone(),
                (*name).to_owned(),
                touch.clone(),
                Arc::clone(&written),
            ));
        }
        for name in syncs {
            tasks.spawn(write(
                all.clone(),
                (*name).to_owned(),
                touch.clone(),
                Arc::clone(&written),
            ));
        }
        until("the tenant writes", SOON, || async {
            let count = written.load(Ordering::Relaxed);
            Ok(Seen::from_bool(count > 20, || format!("{count} writes")))
        })
        .await?;
        Ok(Self { _tasks: tasks, written })
    }

    /// How often the tenant has written so far.
    #[must_use]
    pub fn written(&self) -> u32 {
        self.written.load(Ordering::Relaxed)
    }
}

async fn write<K>(api: Api<K>, name: String, touch: impl Fn(u32) -> Value, written: Arc<AtomicU32>)
where
    K: Clone + serde::de::DeserializeOwned + std::fmt::Debug,
{
    let mut ticks = interval(PERIOD);
    for number in 0.. {
        ticks.tick().await;
        let patch = Patch::Merge(touch(number));
        // The object may be gone.
        if api.patch_metadata(&name, &PatchParams::default(), &patch).await.is_ok() {
            written.fetch_add(1, Ordering::Relaxed);
        }
    }
}
