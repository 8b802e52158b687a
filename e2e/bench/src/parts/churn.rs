//! A source that is edited ten times a second.

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
use crate::bodies::four_kibibytes;
use crate::ledger::Ledger;
use crate::ledger::Relation;
use crate::measured::Measured;
use crate::measured::median;
use crate::measured::quantile;
use crate::process_usage::Usage;

const NAME: &str = "churned";
/// Between two edits.
const PERIOD: Duration = Duration::from_millis(100);
/// Memory may move by this part of itself.
const FLAT: f64 = 0.05;

/// A copy was seen with a content.
struct Sight {
    at: Instant,
    namespace: String,
    hash: String,
}

/// What was done to the source, and when the API server said so.
#[derive(Default)]
struct Edits {
    acknowledged: Vec<Instant>,
    by_hash: HashMap<String, usize>,
    samples: Vec<Usage>,
}

pub(super) async fn measure(cluster: &mut BenchCluster, ledger: &mut Ledger) -> Result<()> {
    let copies = cluster.scaled(CHURN);
    cluster.make_source(NAME).await?;
    cluster.fixture().create_sync(CENTRAL, NAME, BenchCluster::fan_out(NAME, "churn")).await?;
    let sync = cluster.wait_synced(NAME, None).await?;
    cluster.wait_rest().await?;
    let uid = sync.metadata.uid.context("a sync without uid")?;
    let (sender, mut sights) = mpsc::unbounded_channel();
    let watching = tokio::spawn(watch(cluster.control_plane.client(), uid, sender));

    let screen = cluster.screen.clone();
    let churn = cluster.options.churn;
    let work = async {
        let updates = "configmapsync_writes_total{action=\"update\",result=\"success\"";
        let before = (cluster.operator()?.usage()?, cluster.operator()?.metric(updates).await?);
        let edits = edit(cluster, churn).await?;
        let seen = follow(&mut sights, &edits, copies).await?;
        let written = cluster.operator()?.metric(updates).await? - before.1;
        let after = cluster.operator()?.usage()?;
        let mut measured = Measured { rss: after.rss, peak: after.peak, ..Measured::default() };
        measured.cpu = after.cpu - before.0.cpu;
        measured.wall = churn.as_secs_f64();
        measured.per_second = written / measured.wall;
        Ok(Done::new((edits, seen, measured), ""))
    };
    let result = screen.step(&format!("10 edits a second for {churn:?}"), work).await;
    watching.abort();
    let (edits, seen, measured) = result?;
    tell(ledger, &edits, &seen, measured, copies);
    cluster.delete_sync(NAME).await?;
    cluster.delete_source(NAME).await
}

/// Tells every sight of a copy, for as long as somebody listens.
async fn watch(client: kube::Client, uid: String, sights: mpsc::UnboundedSender<Sight>) {
    let api = Api::<PartialObjectMeta<ConfigMap>>::all(client);
    let config = watcher::Config::default().labels(&format!("{}={uid}", names::LABEL_SYNC_UID));
    let mut events = std::pin::pin!(watcher(api, config).default_backoff().applied_objects());
    while let Some(event) = events.next().await {
        let Ok(copy) = event else { continue };
        let at = Instant::now();
        let annotations = copy.metadata.annotations.unwrap_or_default();
        let hash = annotations.get(names::ANNOTATION_CONTENT_HASH).cloned().unwrap_or_default();
        let namespace = copy.metadata.namespace.unwrap_or_default();
        if sights.send(Sight { at, namespace, hash }).is_err() {
            return;
        }
    }
}

/// Edits the source at a steady pace, and looks at the operator's memory every second.
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

/// When each copy was seen with which edit, in this order, once all have been seen with the last.
async fn follow(
    sights: &mut mpsc::UnboundedReceiver<Sight>,
    edits: &Edits,
    copies: u32,
) -> Result<HashMap<String, Vec<(Instant, usize)>>> {
    let last = edits.acknowledged.len();
    let mut seen = HashMap::<String, Vec<(Instant, usize)>>::new();
    let mut up_to_date = 0;
    let deadline = Instant::now() + LONG;
    while up_to_date < copies {
        let sight = time::timeout_at(deadline, sights.recv()).await;
        let sight = sight.with_context(|| format!("{up_to_date} of {copies} are up to date"))?;
        let sight = sight.context("the watch of the copies has ended")?;
        let Some(edit) = edits.by_hash.get(&sight.hash) else { continue };
        let of_copy = seen.entry(sight.namespace).or_default();
        if of_copy.last().is_none_or(|(_, before)| before < edit) {
            of_copy.push((sight.at, *edit));
            up_to_date += u32::from(*edit == last);
        }
    }
    Ok(seen)
}

/// For each edit, in seconds: how long each copy took to show it or a later one.
fn delays(edits: &Edits, seen: &HashMap<String, Vec<(Instant, usize)>>) -> Vec<Vec<f64>> {
    let mut delays = vec![Vec::new(); edits.acknowledged.len()];
    for of_copy in seen.values() {
        let mut sights = of_copy.iter().peekable();
        for (index, acknowledged) in edits.acknowledged.iter().enumerate() {
            while sights.next_if(|(_, edit)| *edit < index + 1).is_some() {}
            if let Some((at, _)) = sights.peek() {
                delays[index].push(at.saturating_duration_since(*acknowledged).as_secs_f64());
            }
        }
    }
    delays
}

fn tell(
    ledger: &mut Ledger,
    edits: &Edits,
    seen: &HashMap<String, Vec<(Instant, usize)>>,
    mut measured: Measured,
    copies: u32,
) {
    let delays = delays(edits, seen);
    let last: Vec<_> =
        delays.iter().filter_map(|of_edit| of_edit.iter().copied().reduce(f64::max)).collect();
    let each: Vec<_> = delays.into_iter().flatten().collect();
    for (what, values) in [("one copy", &each), ("all copies", &last)] {
        for (name, at) in [("p50", 0.5), ("p99", 0.99), ("most", 1.0)] {
            let value = quantile(values.iter().copied(), at);
            measured.more.extend(value.map(|value| (format!("{what} {name}, s"), value)));
        }
    }
    let made = u32::try_from(edits.acknowledged.len()).unwrap_or(u32::MAX);
    measured.count = made;
    measured.more.insert("edits".to_owned(), made.into());
    // What memory settles at is known after a tenth of the time.
    let rss: Vec<_> = edits.samples.iter().map(|it| it.rss).collect();
    let rss = rss.get(rss.len() / 10..).unwrap_or_default();
    let middle = median(rss.iter().copied());
    let off = |middle: f64| rss.iter().map(|it| (it - middle).abs() / middle).reduce(f64::max);
    let off = middle.and_then(off);
    for (name, value) in [("first", rss.first().copied()), ("last", rss.last().copied())] {
        measured.more.extend(value.map(|value| (format!("RSS {name}, MiB"), value)));
    }
    let what = "under steady edits: memory off its median, as a part of it";
    ledger.bound(what, off, Relation::AtMost, FLAT);
    ledger.row(format!("10 edits/s over {copies} copies (/s: writes)"), measured);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_skips_an_edit_shows_it_with_the_next() {
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
