//! Slow patches of ConfigMapSyncs, and slow creates of Events, in one namespace delay no
//! ConfigMapSync in another namespace.

use std::collections::BTreeSet;
use std::time::Duration;
use std::time::Instant;

use anyhow::Result;
use anyhow::ensure;
use configmapsync::api::ConfigMapSync;
use configmapsync::api::ConfigMapSyncSpec;
use futures::StreamExt as _;
use futures::TryStreamExt as _;
use futures::stream;
use harness::fault_proxy::Fault;
use harness::fault_proxy::FaultProxy;
use harness::fault_proxy::Request;
use harness::fault_proxy::Rule;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::fixture::one_to_one;
use harness::operator_cluster::OperatorCluster;
use http::Method;
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use testbed::wait::Seen;
use testbed::wait::until;

const SLOW: &str = "slow";
/// ConfigMapSyncs in the slow namespace: several times as many as reconciles run at a time.
const SYNCS: usize = 200;
/// ConfigMapSyncs elsewhere, one after the other, while the slow namespace is busy.
const OTHERS: usize = 3;
const DELAY: Duration = Duration::from_secs(10);
/// A new ConfigMapSync elsewhere is Ready within this time.
const READY: Duration = Duration::from_secs(5);
/// At least half of the 64 concurrent reconciles are left to other namespaces, and as many Events.
const MAX_IN_FLIGHT: usize = 32;
/// All is done within this time after the namespace has become fast.
const CAUGHT_UP: Duration = Duration::from_mins(1);
/// Less than reconciles would take that wait for their Events.
const NOT_DELAYED: Duration = Duration::from_secs(20);

/// A replica behind a proxy that delays all requests of this method and resource in the slow
/// namespace.
struct SlowCluster {
    method: Method,
    resource: &'static str,
    proxy: FaultProxy,
    fixture: Fixture,
    _operators: OperatorCluster,
}

// === impl SlowCluster ===

impl SlowCluster {
    async fn start(method: Method, resource: &'static str) -> Result<Self> {
        let (operators, proxy) = OperatorCluster::behind_proxy().await?;
        let fixture = operators.fixture();
        fixture.create_namespaces(&["central", SLOW, "app"]).await?;
        fixture.create_config_map("central", "shared", &[("a", "1")]).await?;
        let slow = Rule::new(Fault::Delay(DELAY)).method(method.clone());
        proxy.add(slow.path_contains(&format!("/namespaces/{SLOW}/{resource}")).always());
        let cluster = Self { method, resource, proxy, fixture, _operators: operators };
        cluster.create_many().await?;
        Ok(cluster)
    }

    async fn create_many(&self) -> Result<()> {
        let creating = stream::iter(0..SYNCS).map(|number| async move {
            let name = format!("slow-{number}");
            let spec = ConfigMapSyncSpec {
                destination_name: Some(name.clone()),
                ..one_to_one("central", "shared", "app")
            };
            self.fixture.create_sync(SLOW, &name, spec).await
        });
        creating.buffer_unordered(16).try_collect::<Vec<_>>().await?;
        Ok(())
    }

    /// The slow requests without a response.
    fn open(&self) -> Vec<Request> {
        let folder = format!("/namespaces/{SLOW}/{}", self.resource);
        self.proxy.requests_where(0, |it| {
            it.method == self.method && it.path.contains(&folder) && it.status.is_none()
        })
    }

    /// Fails unless new ConfigMapSyncs in another namespace are Ready soon, while requests in the
    /// slow namespace have no response.
    async fn ensure_others_are_ready(&self) -> Result<()> {
        until("requests are delayed", SOON, || async {
            let open = self.open().len();
            Ok(Seen::from_bool(open > 1, || open.to_string()))
        })
        .await?;
        for number in 0..OTHERS {
            let name = format!("other-{number}");
            self.fixture.create_namespaces(&[&name]).await?;
            let begin = Instant::now();
            let spec = one_to_one("central", "shared", &name);
            self.fixture.create_sync("central", &name, spec).await?;
            self.fixture.wait_reason("central", &name, "Synced", SOON).await?;
            let (waited, open) = (begin.elapsed(), self.open());
            eprintln!("{name} after {waited:?}; {} slow requests", open.len());
            ensure!(waited < READY, "{name} waited {waited:?}; {} slow requests", open.len());
            ensure!(!open.is_empty(), "the slow namespace was not busy");
            self.ensure_in_flight().await?;
        }
        Ok(())
    }

    /// Fails unless the slow requests are few enough, and each for another object.
    async fn ensure_in_flight(&self) -> Result<()> {
        // The proxy may record a response after the operator has received it.
        until(
            format!("at most {MAX_IN_FLIGHT} slow requests, for different objects"),
            READY,
            || async {
                let open = self.open();
                let names = open.iter().map(|it| it.path.trim_end_matches("/status"));
                let is_event = self.method == Method::POST;
                let differ = is_event || names.collect::<BTreeSet<_>>().len() == open.len();
                let is_bounded = differ && open.len() <= MAX_IN_FLIGHT;
                Ok(Seen::from_bool(is_bounded, || format!("{open:?}")))
            },
        )
        .await
    }

    async fn wait_slow_syncs(&self, limit: Duration) -> Result<()> {
        let syncs = Api::<ConfigMapSync>::namespaced(self.fixture.client(), SLOW);
        until(format!("the ConfigMapSyncs in {SLOW} are Synced"), limit, || async {
            let listed = syncs.list(&ListParams::default()).await?.items;
            let is_synced = |sync: &&ConfigMapSync| {
                let conditions = sync.status.iter().flat_map(|status| &status.conditions);
                let mut ready = conditions.filter(|it| it.type_ == "Ready");
                ready.any(|it| it.reason == "Synced")
            };
            let synced = listed.iter().filter(is_synced).count();
            Ok(Seen::from_bool(synced == SYNCS, || synced.to_string()))
        })
        .await
    }
}

#[tokio::test]
async fn slow_patches_of_syncs_delay_no_other_namespace() -> Result<()> {
    let cluster = SlowCluster::start(Method::PATCH, "configmapsyncs").await?;
    cluster.ensure_others_are_ready().await?;
    cluster.proxy.clear();
    cluster.wait_slow_syncs(CAUGHT_UP).await
}

#[tokio::test]
async fn slow_events_delay_no_reconcile() -> Result<()> {
    let cluster = SlowCluster::start(Method::POST, "events").await?;
    cluster.ensure_others_are_ready().await?;
    cluster.wait_slow_syncs(NOT_DELAYED).await?;
    cluster.proxy.clear();
    // None is dropped: so few may wait.
    let events = Api::<Event>::namespaced(cluster.fixture.client(), SLOW);
    until("each ConfigMapSync has its Event", CAUGHT_UP, || async {
        let events = events.list(&ListParams::default()).await?.items;
        let about: BTreeSet<_> = events
            .iter()
            .filter(|event| event.reason.as_deref() == Some("Synced"))
            .map(|event| event.regarding.as_ref().and_then(|it| it.name.clone()))
            .collect();
        Ok(Seen::from_bool(about.len() == SYNCS, || about.len().to_string()))
    })
    .await
}
