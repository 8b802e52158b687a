//! A source that is edited ten times a second: how far the copies lag, and whether memory is constant.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use configmapsync::decide::Content;
use configmapsync::names;
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::core::PartialObjectMeta;
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher;
use serde_json::json;
use testbed::terminal::Done;
use tokio::sync::mpsc;
use tokio::time;
use tokio::time::Instant;

use crate::bench_cluster::BenchCluster;
use crate::bench_cluster::CENTRAL;
use crate::bench_cluster::CHURN;
use crate::bench_cluster::LONG;
use crate::measurement::Measurement;
use crate::measurement::median;
use crate::measurement::quantile;
use crate::process_usage::Usage;
use crate::results::Relation;
use crate::results::Results;
use crate::write_requests::four_kibibytes;

const NAME: &str = "churned";
/// The time between two edits.
const PERIOD: Duration = Duration::from_millis(100);
/// The allowed deviation of memory from its median, as a ratio.
const MEMORY_DEVIATION: f64 = 0.05;

/// A watch event of a copy.
struct CopyEvent {
    at: Instant,
    namespace: String,
    hash: String,
}

/// The edits of the source, with the time of each response, and samples of the operator's memory.
#[derive(Default)]
struct Edits {
    acknowledged: Vec<Instant>,
    by_hash: HashMap<String, usize>,
    samples: Vec<Usage>,
}

pub(super) async fn measure(cluster: &mut BenchCluster, results: &mut Results) -> Result<()> {
    let copies = cluster.scaled(CHURN);
    cluster.create_source(NAME).await?;
    cluster.fixture().create_sync(CENTRAL, NAME, BenchCluster::fan_out(NAME, "churn")).await?;
    let sync = cluster.wait_synced(NAME, None).await?;
    cluster.wait_idle().await?;
    let uid = sync.metadata.uid.context("the ConfigMapSync has no uid")?;
    let (sender, mut events) = mpsc::unbounded_channel();
    let watching = tokio::spawn(watch(cluster.control_plane.client(), uid, sender));

    let screen = cluster.screen.clone();
    let churn = cluster.options.churn;
    let work = async {
        let updates = "configmapsync_writes_total{action=\"update\",result=\"success\"";
        let before = (cluster.operator()?.usage()?, cluster.operator()?.metric(updates).await?);
        let edits = edit(cluster, churn).await?;
        let seen = follow(&mut events, &edits, copies).await?;
        let written = cluster.operator()?.metric(updates).await? - before.1;
        let after = cluster.operator()?.usage()?;
        let mut measured =
            Measurement { rss: after.rss, peak: after.peak, ..Measurement::default() };
        measured.cpu = after.cpu - before.0.cpu;
        measured.wall = churn.as_secs_f64();
        measured.per_second = written / measured.wall;
        Ok(Done::new((edits, seen, measured), ""))
    };
    let result = screen.step(&format!("10 edits a second for {churn:?}"), work).await;
    watching.abort();
    let (edits, seen, measured) = result?;
    report(results, &edits, &seen, measured, copies);
    cluster.delete_sync(NAME).await?;
    cluster.delete_source(NAME).await
}

/// Sends an event for each change of a copy, until the receiver is dropped.
async fn watch(client: kube::Client, uid: String, events: mpsc::UnboundedSender<CopyEvent>) {
    let api = Api::<PartialObjectMeta<ConfigMap>>::all(client);
    let config = watcher::Config::default().labels(&format!("{}={uid}", names::LABEL_SYNC_UID));
    let mut changes = std::pin::pin!(watcher(api, config).default_backoff().applied_objects());
    while let Some(change) = changes.next().await {
        let Ok(copy) = change else { continue };
        let at = Instant::now();
        let annotations = copy.metadata.annotations.unwrap_or_default();
        let hash = annotations.get(names::ANNOTATION_CONTENT_HASH).cloned().unwrap_or_default();
        let namespace = copy.metadata.namespace.unwrap_or_default();
        if events.send(CopyEvent { at, namespace, hash }).is_err() {
            return;
        }
    }
}

/// Edits the source at a constant rate, and samples the operator's memory every second.
async fn edit(cluster: &BenchCluster, duration: Duration) -> Result<Edits> {
    let mut edits = Edits::default();
    let end = Instant::now() + duration;
    let mut ticks = time::interval(PERIOD);
    let mut next_sample = Instant::now();
    while Instant::now() < end {
        ticks.tick().await;
        let number = edits.acknowledged.len() + 1;
        let data = four_kibibytes(u32::try_from(number)?);
        let hash = Content { data: data.clone(), ..Content::default() }.hash();
        edits.by_hash.insert(hash.to_string(), number);
        let patch = json!({"data": data});
        cluster.fixture().patch_config_map(CENTRAL, NAME, &patch).await?;
        edits.acknowledged.push(Instant::now());
        if Instant::now() >= next_sample {
            next_sample += Duration::from_secs(1);
            edits.samples.push(cluster.operator()?.usage()?);
        }
    }
    Ok(edits)
}

/// Waits until every copy has the last edit. Returns for each copy when it had which edit, in order.
async fn follow(
    events: &mut mpsc::UnboundedReceiver<CopyEvent>,
    edits: &Edits,
    copies: u32,
) -> Result<HashMap<String, Vec<(Instant, usize)>>> {
    let last = edits.acknowledged.len();
    let mut seen = HashMap::<String, Vec<(Instant, usize)>>::new();
    let mut up_to_date = 0;
    let deadline = Instant::now() + LONG;
    while up_to_date < copies {
        let event = time::timeout_at(deadline, events.recv()).await;
        let event = event.with_context(|| format!("waiting until all copies have the last edit; last observed: {up_to_date} of {copies}"))?;
        let event = event.context("the watch of the copies has ended")?;
        let Some(edit) = edits.by_hash.get(&event.hash) else { continue };
        let of_copy = seen.entry(event.namespace).or_default();
        if of_copy.last().is_none_or(|(_, before)| before < edit) {
            of_copy.push((event.at, *edit));
            up_to_date += u32::from(*edit == last);
        }
    }
    Ok(seen)
}

/// For each edit: how long each copy took to have it or a later one, in seconds.
fn delays(edits: &Edits, seen: &HashMap<String, Vec<(Instant, usize)>>) -> Vec<Vec<f64>> {
    let mut delays = vec![Vec::new(); edits.acknowledged.len()];
    for of_copy in seen.values() {
        let mut events = of_copy.iter().peekable();
        for (index, acknowledged) in edits.acknowledged.iter().enumerate() {
            while events.next_if(|(_, edit)| *edit < index + 1).is_some() {}
            if let Some((at, _)) = events.peek() {
                delays[index].push(at.saturating_duration_since(*acknowledged).as_secs_f64());
            }
        }
    }
    delays
}

fn report(
    results: &mut Results,
    edits: &Edits,
    seen: &HashMap<String, Vec<(Instant, usize)>>,
    mut measured: Measurement,
    copies: u32,
) {
    let delays = delays(edits, seen);
    let last: Vec<_> =
        delays.iter().filter_map(|of_edit| of_edit.iter().copied().reduce(f64::max)).collect();
    let each: Vec<_> = delays.into_iter().flatten().collect();
    for (what, values) in [("one copy", &each), ("all copies", &last)] {
        for (name, at) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
            let value = quantile(values.iter().copied(), at);
            measured.more.extend(value.map(|value| (format!("{what} {name}, s"), value)));
        }
    }
    let edit_count = u32::try_from(edits.acknowledged.len()).unwrap_or(u32::MAX);
    measured.count = edit_count;
    measured.more.insert("edits".to_owned(), edit_count.into());
    // The first tenth of the samples is the warm-up.
    let rss: Vec<_> = edits.samples.iter().map(|it| it.rss).collect();
    let rss = rss.get(rss.len() / 10..).unwrap_or_default();
    let middle = median(rss.iter().copied());
    let deviation =
        |middle: f64| rss.iter().map(|it| (it - middle).abs() / middle).reduce(f64::max);
    let deviation = middle.and_then(deviation);
    for (name, value) in [("first", rss.first().copied()), ("last", rss.last().copied())] {
        measured.more.extend(value.map(|value| (format!("RSS {name}, MiB"), value)));
    }
    let what = "steady edits: deviation of memory from its median, ratio";
    results.bound(what, deviation, Relation::AtMost, MEMORY_DEVIATION);
    results.row(format!("10 edits/s over {copies} copies (/s: writes)"), measured);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_skipped_edit_arrives_with_the_next() {
        let start = Instant::now();
        let after = |millis: u64| start + Duration::from_millis(millis);
        let edits = Edits { acknowledged: vec![after(0), after(100)], ..Edits::default() };
        let seen = HashMap::from([
            ("a".to_owned(), vec![(after(50), 1), (after(150), 2)]),
            ("b".to_owned(), vec![(after(300), 2)]),
        ]);
        let delays = delays(&edits, &seen);
        let shown = |of_edit: &Vec<f64>| {
            let mut shown: Vec<_> = of_edit.iter().map(|it| format!("{it:.2}")).collect();
            shown.sort();
            shown
        };
        assert_eq!(shown(&delays[0]), ["0.05", "0.30"]);
        assert_eq!(shown(&delays[1]), ["0.05", "0.20"]);
    }
}
