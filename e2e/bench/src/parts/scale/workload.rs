//! Sources and `ConfigMapSync`s with many copies, and waiting for the copies.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use configmapsync::api::ConfigMapSync;
use configmapsync::api::ConfigMapSyncSpec;
use kube::Api;
use kube::api::PostParams;
use testbed::wait::Seen;
use testbed::wait::until_every;

use crate::bench_cluster::BenchCluster;
use crate::bench_cluster::CENTRAL;
use crate::bench_cluster::PREPARING;
use crate::measured_operator::Operator;
use crate::measurement::Measurement;
use crate::process_usage::Usage;
use crate::raw_writer::in_flight;
use crate::write_requests::one_kibibyte;

/// The metric of the number of copies.
pub(super) const COPIES: &str = "configmapsync_marked_copies";
/// The metric series of updated copies.
pub(super) const UPDATES: &str = "configmapsync_writes_total{action=\"update\",result=\"success\"";

const PAUSE: Duration = Duration::from_millis(500);
const SETTLING: Duration = Duration::from_millis(500);
/// A change of the memory in half a second by less than this, in MiB, is none.
const CONSTANT: f64 = 0.1;
const SETTLED: Duration = Duration::from_mins(2);

/// Sources and `ConfigMapSync`s of the same names.
#[derive(Clone, Debug)]
pub(super) struct Workload {
    /// How it is called in the results.
    pub(super) what: String,
    /// The names of the sources and of the `ConfigMapSync`s.
    pub(super) names: Vec<String>,
    /// The number of copies of each source.
    pub(super) copies_of_each: u32,
}

// === impl Workload ===

impl Workload {
    /// The number of `ConfigMapSync`s.
    pub(super) fn syncs(&self) -> u32 {
        u32::try_from(self.names.len()).unwrap_or(u32::MAX)
    }

    /// The number of copies.
    pub(super) fn copies(&self) -> u32 {
        self.syncs() * self.copies_of_each
    }

    /// The deadline for a step that writes each copy: far more than any machine takes.
    pub(super) fn deadline(&self) -> Duration {
        Duration::from_mins(2) + Duration::from_millis(20) * self.copies()
    }
}

/// Creates the sources and `ConfigMapSync`s `names`, each with the spec that `spec` returns for its index.
pub(super) async fn create(
    cluster: &BenchCluster,
    names: &[String],
    spec: impl Fn(usize, &str) -> ConfigMapSyncSpec,
) -> Result<()> {
    let syncs = Api::<ConfigMapSync>::namespaced(cluster.control_plane.client(), CENTRAL);
    let now = cluster.screen.now();
    in_flight(PREPARING, names.iter().enumerate(), async |(index, name)| {
        cluster.create_source_with(name, one_kibibyte(0)).await?;
        let sync = ConfigMapSync::new(name, spec(index, name));
        let created = syncs.create(&PostParams::default(), &sync).await;
        now.set(&format!("{index} of {}", names.len()));
        created.with_context(|| format!("creating the ConfigMapSync {CENTRAL}/{name}"))
    })
    .await?;
    Ok(())
}

/// Waits until the metric `series` is as `is_done` requires, and shows its value.
pub(super) async fn wait_count(
    cluster: &BenchCluster,
    series: &str,
    deadline: Duration,
    is_done: impl Fn(f64) -> bool,
) -> Result<()> {
    let (operator, now) = (cluster.operator()?, cluster.screen.now());
    until_every(PAUSE, format!("{series} has the number of copies"), deadline, || async {
        let seen = operator.metric(series).await?;
        now.set(&format!("{seen} copies"));
        Ok(Seen::from_bool(is_done(seen), || seen.to_string()))
    })
    .await
}

/// The resource use, once the memory is constant: the allocator returns memory with a delay.
pub(super) async fn settled(operator: &Operator) -> Result<Usage> {
    let mut before = f64::INFINITY;
    until_every(SETTLING, "the memory of the operator is constant", SETTLED, || {
        let seen = operator.usage().map(|usage| {
            let change = (usage.rss - std::mem::replace(&mut before, usage.rss)).abs();
            let settled = (change < CONSTANT).then_some(usage);
            Seen::from_option(settled, || format!("a change by {change:.1} MiB in {SETTLING:?}"))
        });
        std::future::ready(seen)
    })
    .await
}

/// `measured` with the CPU time per copy.
pub(super) fn with_cpu_per_copy(mut measured: Measurement, copies: u32) -> Measurement {
    let milliseconds = measured.cpu * 1_000.0 / f64::from(copies.max(1));
    measured.more.insert("CPU per copy, ms".to_owned(), milliseconds);
    measured
}
