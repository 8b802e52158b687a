//! The time from an edit of a source to its first updated copy, beside that of a bare client.
//!
//! The bare client does the least that copies an edit: it watches the metadata of its source, reads the
//! source when that changes, and patches one copy on condition of the resourceVersion that its last
//! patch returned. It has the identity of the operator's pod, so that the API server authenticates,
//! authorizes and admits its requests like the operator's. Both are edited in turns, so that other load on
//! the machine affects both alike.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use configmapsync::api::ConfigMapSync;
use configmapsync::api::ConfigMapSyncStatus;
use configmapsync::api::namespaced_name::NamespacedName;
use configmapsync::decide::Content;
use configmapsync::names;
use futures::Stream;
use futures::StreamExt as _;
use harness::fixture::one_to_one;
use harness::replica::Pod;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::Client;
use kube::ResourceExt as _;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher;
use serde_json::json;
use testbed::audit::Event;
use testbed::kubeconfig;
use testbed::terminal::Done;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use tokio::time::timeout;

use crate::bench_cluster::BASE;
use crate::bench_cluster::BenchCluster;
use crate::bench_cluster::CENTRAL;
use crate::bench_cluster::LONG;
use crate::measurement::Measurement;
use crate::measurement::between;
use crate::measurement::quantile;
use crate::raw_writer::Writer;
use crate::results::Relation;
use crate::results::Results;
use crate::write_requests;
use crate::write_requests::Written;
use crate::write_requests::four_kibibytes;

/// The source that the operator copies.
const NAME: &str = "edited";
/// The source that the bare client copies.
const BARE: &str = "edited-bare";
/// Edits of each source.
const EDITS: u32 = 100;
/// Between the last write after an edit and the next edit.
const PAUSE: Duration = Duration::from_millis(50);
/// The upper bound of the operator's median, as a ratio to the bare client's.
const MAX_RATIO: f64 = 1.3;

/// Seconds from each edit to its first copy.
struct Delays {
    operator: Vec<f64>,
    bare: Vec<f64>,
}

/// A running bare client. It stops when this is dropped.
struct BareClient {
    /// Sent to when the watch is open, and after each patch.
    copied: mpsc::UnboundedReceiver<()>,
    working: JoinHandle<Result<()>>,
}

pub(super) async fn measure(cluster: &mut BenchCluster, results: &mut Results) -> Result<()> {
    let many = cluster.scaled(BASE);
    cluster.create_namespaces(many).await?;
    cluster.start_operator().await?;
    for source in [NAME, BARE] {
        cluster.create_source(source).await?;
    }
    let pod = cluster.operator()?.pod().clone();
    let mut bare = BareClient::start(&pod).await?;
    for copies in [1, many] {
        let spec = if copies == 1 {
            one_to_one(CENTRAL, NAME, &BenchCluster::namespace(0))
        } else {
            BenchCluster::fan_out(NAME, "base")
        };
        cluster.fixture().create_sync(CENTRAL, NAME, spec).await?;
        cluster.wait_synced(NAME, None).await?;
        cluster.wait_idle().await?;
        let what = format!("an edit of {copies} copies: the first");
        let work = async {
            let delays = delays(cluster, &mut bare).await?;
            let summary = format!("ratio to the bare client: {:.2}", delays.ratio());
            Ok(Done::new(delays, summary))
        };
        let delays = cluster.screen.clone().step(&what, work).await?;
        report(results, &what, &delays);
        // Of many copies, the first write competes with the next ones: it is reported without a bound.
        if copies == 1 {
            let bound = format!("{what}: time, ratio to the bare client");
            results.bound(bound, Some(delays.ratio()), Relation::AtMost, MAX_RATIO);
        }
        cluster.delete_sync(NAME).await?;
    }
    drop(bare);
    cluster.fixture().delete_config_map(&BenchCluster::namespace(0), BARE).await?;
    for source in [NAME, BARE] {
        cluster.delete_source(source).await?;
    }
    Ok(())
}

/// Edits the source of the operator and that of the bare client in turns.
async fn delays(cluster: &BenchCluster, bare: &mut BareClient) -> Result<Delays> {
    let mut syncs = std::pin::pin!(syncs(cluster.control_plane.client()));
    let edits = cluster.scaled(EDITS);
    let mark = cluster.audit().mark().await?;
    for number in 1..=edits {
        edit(cluster, NAME, number).await?;
        wait_synced(&mut syncs, number).await?;
        sleep(PAUSE).await;
        edit(cluster, BARE, number).await?;
        bare.wait_copied().await?;
        sleep(PAUSE).await;
    }
    let events = cluster.audit().since(mark).await?;
    let (operator, bare) = (first_copies(&events, NAME), first_copies(&events, BARE));
    let count = usize::try_from(edits)?;
    anyhow::ensure!(
        operator.len() == count && bare.len() == count,
        "the audit log contains a copy of {} and {} of {count} edits",
        operator.len(),
        bare.len()
    );
    Ok(Delays { operator, bare })
}

async fn edit(cluster: &BenchCluster, source: &str, number: u32) -> Result<()> {
    let data = json!({"data": four_kibibytes(number)});
    cluster.fixture().patch_config_map(CENTRAL, source, &data).await?;
    Ok(())
}

/// The changes of the `ConfigMapSync`. Reading it instead would take time from the operator.
fn syncs(client: Client) -> impl Stream<Item = watcher::Result<ConfigMapSync>> {
    let api = Api::<ConfigMapSync>::namespaced(client, CENTRAL);
    let config = watcher::Config::default().fields(&format!("metadata.name={NAME}"));
    watcher(api, config).applied_objects()
}

/// Waits until the `ConfigMapSync` reports that all copies have this edit.
async fn wait_synced(
    syncs: &mut (impl Stream<Item = watcher::Result<ConfigMapSync>> + Unpin),
    edit: u32,
) -> Result<()> {
    let hash = Content { data: four_kibibytes(edit), ..Content::default() }.hash().to_string();
    let is_synced = |status: &ConfigMapSyncStatus| {
        status.content_hash.as_ref() == Some(&hash)
            && status.conditions.iter().any(|it| it.type_ == "Ready" && it.reason == "Synced")
    };
    let mut last = None;
    let waiting = async {
        while let Some(sync) = syncs.next().await {
            let sync = sync.context("watching the ConfigMapSync")?;
            last = sync.status;
            if last.as_ref().is_some_and(is_synced) {
                return Ok(());
            }
        }
        anyhow::bail!("the watch of the ConfigMapSync has ended")
    };
    let waited = timeout(LONG, waiting).await;
    waited.unwrap_or_else(|_| {
        anyhow::bail!(
            "timed out after {LONG:?} waiting until edit {edit} is synced; last observed: {last:?}"
        )
    })
}

/// The seconds from the response to each edit of the source `name` to the response to the first patch of a
/// copy that was received after the edit.
fn first_copies(events: &[Event], name: &str) -> Vec<f64> {
    let patches = |is_edit: bool| {
        let mut patches: Vec<(Timestamp, Timestamp)> = events
            .iter()
            .filter(|event| event.is_final() && event.verb == "patch" && event.succeeded())
            .filter(|event| event.resource() == "configmaps" && event.name() == name)
            .filter(|event| (event.namespace() == CENTRAL) == is_edit)
            .map(|event| (event.request_received_timestamp.0, event.stage_timestamp.0))
            .collect();
        patches.sort_unstable();
        patches
    };
    let (edits, copies) = (patches(true), patches(false));
    let next_edits = edits.iter().skip(1).map(|(received, _)| *received);
    let next_edits = next_edits.chain([Timestamp::MAX]);
    let delays = edits.iter().zip(next_edits).filter_map(|((received, answered), next)| {
        let of_edit = copies.iter().filter(|copy| (*received..next).contains(&copy.0));
        let first = of_edit.map(|(_, answered)| *answered).min()?;
        Some(between(Some(*answered), Some(first)).as_secs_f64())
    });
    delays.collect()
}

fn report(results: &mut Results, what: &str, delays: &Delays) {
    let mut measured = Measurement::default();
    for (who, delays) in [("operator", &delays.operator), ("bare client", &delays.bare)] {
        for (name, at) in [("p50", 0.5), ("p90", 0.9)] {
            let value = quantile(delays.iter().copied(), at);
            measured.more.extend(value.map(|value| (format!("{who} {name}, ms"), value * 1e3)));
        }
    }
    measured.count = u32::try_from(delays.operator.len()).unwrap_or(u32::MAX);
    measured.wall = quantile(delays.operator.iter().copied(), 0.5).unwrap_or_default();
    measured.raw_ratio = Some(delays.ratio());
    results.row(what, measured);
}

// === impl Delays ===

impl Delays {
    /// The ratio of the medians; NaN if one is missing.
    fn ratio(&self) -> f64 {
        let median = |delays: &[f64]| quantile(delays.iter().copied(), 0.5).unwrap_or(f64::NAN);
        median(&self.operator) / median(&self.bare)
    }
}

// === impl BareClient ===

impl BareClient {
    /// Creates the copy, and follows the source from now on.
    async fn start(pod: &Pod) -> Result<Self> {
        let at = NamespacedName::new(BenchCluster::namespace(0), BARE);
        let mut copy = write_requests::copy(&at, &four_kibibytes(0));
        // With all markers, the operator would take it for an orphan.
        if let Some(annotations) = &mut copy.metadata.annotations {
            annotations.remove(names::ANNOTATION_COPY);
        }
        let client = kubeconfig::client_that_tries_once(&pod.kubeconfig).await?;
        let request = write_requests::create(&at, &copy)?;
        let written = client.request::<write_requests::MetadataOnly>(request).await;
        let written = Written::from(written.with_context(|| format!("creating {at}"))?);
        let writer = Writer::of(pod).await?;
        let (sender, copied) = mpsc::unbounded_channel();
        let working = tokio::spawn(copy_edits(client, writer, at, written, sender));
        let mut bare = Self { copied, working };
        bare.wait_copied().await?;
        Ok(bare)
    }

    /// Waits until the next edit is copied.
    async fn wait_copied(&mut self) -> Result<()> {
        let copied = timeout(LONG, self.copied.recv()).await;
        if copied.context("timed out waiting for the bare client")?.is_some() {
            return Ok(());
        }
        (&mut self.working).await.context("waiting for the bare client")?
    }
}

impl Drop for BareClient {
    fn drop(&mut self) {
        self.working.abort();
    }
}

/// Copies each edit of the source [`BARE`] to the copy `at`, of which `seen` is the last version.
async fn copy_edits(
    client: Client,
    writer: Writer,
    at: NamespacedName,
    mut seen: Written,
    copied: mpsc::UnboundedSender<()>,
) -> Result<()> {
    let sources = Api::<ConfigMap>::namespaced(client.clone(), CENTRAL);
    let watched = Api::<PartialObjectMeta<ConfigMap>>::namespaced(client, CENTRAL);
    let config = watcher::Config::default().fields(&format!("metadata.name={BARE}"));
    let mut changes = std::pin::pin!(watcher(watched, config).applied_objects());
    let mut version = None;
    while let Some(change) = changes.next().await {
        let found = change.context("watching the source of the bare client")?.resource_version();
        let before = std::mem::replace(&mut version, found);
        if before.is_some() {
            let source = sources.get(BARE).await.context("reading the source")?;
            seen = writer.patch(&at, &seen, &source.data.unwrap_or_default()).await?;
        }
        if copied.send(()).is_err() {
            return Ok(());
        }
    }
    anyhow::bail!("the watch of the bare client has ended")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn patch(namespace: &str, received: u32, answered: u32) -> Event {
        let event = json!({
            "stage": "ResponseComplete",
            "verb": "patch",
            "requestURI": "/x",
            "user": {},
            "objectRef": {"resource": "configmaps", "namespace": namespace, "name": "a"},
            "responseStatus": {"code": 200},
            "requestReceivedTimestamp": format!("2026-01-02T03:04:05.{received:03}Z"),
            "stageTimestamp": format!("2026-01-02T03:04:05.{answered:03}Z"),
        });
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn each_edit_has_its_first_copy() {
        let events = [
            patch(CENTRAL, 100, 110),
            patch("app", 120, 140),
            patch("app", 115, 130),
            patch(CENTRAL, 200, 210),
            patch("app", 205, 225),
            patch(CENTRAL, 300, 310),
        ];
        assert_eq!(first_copies(&events, "a"), [0.020, 0.015]);
        assert!(first_copies(&events, "b").is_empty());
    }
}
