//! A start with all copies missing, and a restart with all copies in order.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::jiff::Timestamp;
use testbed::terminal::Done;
use testbed::terminal::shown;

use crate::bench_cluster::BenchCluster;
use crate::figures::Figure;
use crate::figures::Point;
use crate::measurement::Measurement;
use crate::measurement::between;
use crate::parts::cold_start::RECONCILES;
use crate::parts::scale::bare_client::listing_time;
use crate::parts::scale::workload::COPIES;
use crate::parts::scale::workload::Workload;
use crate::parts::scale::workload::settled;
use crate::parts::scale::workload::wait_count;
use crate::parts::scale::workload::with_cpu_per_copy;
use crate::process_usage::Usage;
use crate::results::Relation;
use crate::results::Results;

/// The bound of the CPU time per copy, in milliseconds.
pub(super) const CPU_PER_COPY: f64 = 0.3;
/// The bound of the time until ready, as a ratio to the time that a bare client takes for the lists.
const READY_RATIO: f64 = 1.5;

/// Starts the operator, and waits until it has created the copies of `workload`: the last `new` of them
/// are missing.
pub(super) async fn cold(
    cluster: &mut BenchCluster,
    results: &mut Results,
    workload: &Workload,
    new: u32,
) -> Result<Measurement> {
    let all = f64::from(workload.copies());
    let deadline = workload.deadline();
    let (screen, what) = (cluster.screen.clone(), &workload.what);
    let work = async {
        let (took, observation) = cluster
            .observe_restart(async |cluster, start| {
                wait_count(cluster, COPIES, deadline, |copies| copies >= all).await?;
                Ok(start.elapsed())
            })
            .await?;
        let Usage { rss, peak, .. } = settled(cluster.operator()?).await?;
        let measured = Measurement { rss, peak, ..observation.measured().took(new, took) };
        let summary = format!("{:.0} copies/s, {}", measured.per_second, memory(&measured));
        Ok(Done::new(with_cpu_per_copy(measured, new), summary))
    };
    let measured = screen.step(&format!("{what}, cold start"), work).await?;
    let creates = measured.calls.count("create", "configmaps");
    let counted = format!("{what}, cold start: creates of copies");
    results.bound_at_any_size(counted, creates, Relation::Exactly, new);
    results.row(format!("{what}, cold start"), measured.clone());
    Ok(measured)
}

/// Restarts the operator with all copies in order. `memory_figure` is the name of the lines in the figure
/// of the memory.
pub(super) async fn restart(
    cluster: &mut BenchCluster,
    results: &mut Results,
    workload: &Workload,
    memory_figure: &str,
) -> Result<Measurement> {
    let (screen, what) = (cluster.screen.clone(), &workload.what);
    let work = async {
        let measured = restarted(cluster, workload).await?;
        let summary = format!(
            "ready in {}, {}",
            shown(Duration::try_from_secs_f64(measured.wall)?),
            memory(&measured)
        );
        Ok(Done::new(measured, summary))
    };
    let measured = screen.step(&format!("{what}, restart"), work).await?;
    let calls = &measured.calls;
    let counted = |counted: &str| format!("{what}, restart: {counted}");
    results.bound_at_any_size(counted("writes"), calls.writes(), Relation::AtMost, 0);
    results.bound_at_any_size(counted("gets"), calls.verb("get"), Relation::AtMost, 0);
    for resource in ["configmapsyncs", "configmaps", "namespaces"] {
        let lists = calls.count("list", resource);
        let what = counted(&format!("lists of {resource}"));
        results.bound_at_any_size(what, lists, Relation::AtMost, 1);
    }
    let ratio = measured.more.get("ready, ratio to the bare client").copied();
    let ready = counted("time until ready, ratio to a bare client");
    results.bound(ready, ratio, Relation::AtMost, READY_RATIO);
    for (name, y) in [("resident", measured.rss), ("peak at start", measured.peak)] {
        let series = format!("{memory_figure}, {name}");
        let x = workload.copies().into();
        results.points([Point { figure: Figure::Memory, series, x, y }]);
    }
    results.row(format!("{what}, restart"), measured.clone());
    Ok(measured)
}

async fn restarted(cluster: &mut BenchCluster, workload: &Workload) -> Result<Measurement> {
    let (deadline, syncs) = (workload.deadline(), workload.syncs());
    cluster.stop_operator().await?;
    let name = format!("bare-client-{:08x}", fastrand::u32(..));
    let before = listing_time(cluster, &format!("{name}-before")).await?;
    let ((ready, took), observation) = cluster
        .observe_restart(async |cluster, start| {
            let operator = cluster.operator()?;
            operator.wait_leading().await?;
            operator.wait_ready(deadline).await?;
            let ready = (Timestamp::now(), start.elapsed());
            operator.wait_metric(RECONCILES, syncs.into(), deadline).await?;
            Ok(ready)
        })
        .await?;
    let Usage { rss, peak, .. } = settled(cluster.operator()?).await?;
    cluster.stop_operator().await?;
    let after = listing_time(cluster, &format!("{name}-after")).await?;
    let bare = f64::midpoint(before.as_secs_f64(), after.as_secs_f64());
    let listed = between(observation.first_request_time("list"), Some(ready)).as_secs_f64();
    let mut measured = Measurement { rss, peak, ..observation.measured().took(syncs, took) };
    measured.more.extend([
        ("from the first list until ready, s".to_owned(), listed),
        ("lists of a bare client, s".to_owned(), bare),
        ("ready, ratio to the bare client".to_owned(), listed / bare),
    ]);
    Ok(measured)
}

fn memory(measured: &Measurement) -> String {
    format!("{:.1} MiB, peak {:.1} MiB", measured.rss, measured.peak)
}
