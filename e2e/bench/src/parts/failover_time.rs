//! The time without a writer after the leader stops.
//!
//! In a separate cluster with three replicas, under a continuous load: from the response to the last
//! write of the old leader to the response to the first write of the new one. The replicas are plain
//! processes: what a kubelet would report of a crash is written by the bench, at once, or not at all.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use configmapsync::names;
use harness::kubelet_status;
use harness::kubelet_status::container;
use harness::kubelet_status::terminated;
use harness::load::Load;
use harness::operator_cluster::OperatorCluster;
use harness::oracle;
use harness::oracle::Recorder;
use harness::oracle::liveness;
use harness::oracle::liveness::Handover;
use harness::oracle::one_writer;
use harness::replica::Options;
use serde_json::json;
use testbed::terminal::Done;

use crate::bench_cluster::BenchCluster;
use crate::figures::Figure;
use crate::figures::distribution;
use crate::measurement::Measurement;
use crate::measurement::quantile;
use crate::results::Relation;
use crate::results::Results;

const TIMES: u32 = 50;
const REPLICAS: usize = 3;
const SOURCES: usize = 3;
/// Pause between two edits: the precision of the measurement.
const PAUSE: Duration = Duration::from_millis(20);
/// The deadline for a takeover, far above the bounds.
const TAKEN_OVER: Duration = Duration::from_mins(1);
const ENDED: Duration = Duration::from_secs(30);

/// How the leader stops.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// SIGTERM.
    Terminated,
    /// SIGKILL, and the status of its pod shows it.
    Crashed,
    /// SIGKILL that is not reported, as when its node is lost.
    Lost,
}

pub(super) async fn measure(cluster: &mut BenchCluster, results: &mut Results) -> Result<()> {
    cluster.stop_operator().await?;
    for (lease, options) in [(15, Options::default()), (5, Options::quick(5))] {
        let binary = Some(cluster.binary().to_owned());
        let options = Options { binary, ..options };
        for end in [End::Terminated, End::Crashed, End::Lost] {
            let what = format!("{}, lease duration {lease} s", end.name());
            let times = cluster.scaled(TIMES);
            let work = async {
                let (handovers, violations) = Box::pin(handovers(&options, end, times)).await?;
                Ok(Done::new((handovers, violations), format!("{times} times")))
            };
            let (handovers, violations) = cluster.screen.clone().step(&what, work).await?;
            report(results, &what, &handovers, violations);
            let gaps: Vec<_> = gaps(&handovers).collect();
            results.points(distribution(Figure::Failover, &what, &gaps));
            let p99 = quantile(gaps, 0.99);
            match end {
                End::Terminated => results.bound(seconds(&what), p99, Relation::AtMost, 2.5),
                End::Crashed => results.bound(seconds(&what), p99, Relation::AtMost, 5.0),
                End::Lost if lease == 15 => {
                    results.bound(seconds(&what), p99, Relation::AtMost, 20.0);
                }
                End::Lost => {}
            }
        }
    }
    Ok(())
}

/// Stops the leader `times` times. Returns the handovers, and the number of writes by a replica that was
/// not the leader.
async fn handovers(options: &Options, end: End, times: u32) -> Result<(Vec<Handover>, usize)> {
    let mut cluster = OperatorCluster::start_with(REPLICAS, options.clone()).await?;
    let fixture = cluster.fixture();
    let recorder = Recorder::start(fixture.client()).await?;
    let mark = cluster.audit().mark().await?;
    let load = Load::start(&fixture, SOURCES, PAUSE).await?;
    for _ in 0..times {
        let (leader, holder) = cluster.wait_leading_process().await?;
        let process = cluster.replicas[leader].process();
        match end {
            End::Terminated => process.terminate()?,
            End::Crashed | End::Lost => process.kill()?,
        }
        if end == End::Crashed {
            process.wait_exit(ENDED).await?;
            let ended = terminated("Error", &holder);
            let status = container(names::CONTAINER, &ended, &json!({}));
            let pod = &cluster.replicas[leader].pod().name;
            kubelet_status::show(fixture.client(), pod, &status).await?;
        }
        cluster.wait_next_writer(leader, TAKEN_OVER).await?;
        cluster.replicas[leader].process().wait_exit(ENDED).await?;
        cluster.restart_ended().await?;
    }
    load.stop(TAKEN_OVER).await?;
    let history = recorder.history().await?;
    let events = cluster.audit().since(mark).await?;
    let writes = oracle::writes(&history, &events);
    let violations = one_writer::violations(&history, &writes).len();
    let handovers = liveness::handovers(&events);
    let wanted = usize::try_from(times)?;
    ensure!(
        handovers.len() == wanted,
        "observed {} handovers instead of {wanted}",
        handovers.len()
    );
    Ok((handovers, violations))
}

fn report(results: &mut Results, what: &str, handovers: &[Handover], violations: usize) {
    let mut measured = Measurement::default();
    for (name, at) in [("p50", 0.5), ("p99", 0.99), ("max", 1.0)] {
        let value = quantile(gaps(handovers), at);
        measured.more.extend(value.map(|value| (format!("{name}, s"), value)));
    }
    let count = u32::try_from(handovers.len()).unwrap_or(u32::MAX);
    measured.more.insert("times".to_owned(), count.into());
    measured.count = count;
    let violations = u32::try_from(violations).unwrap_or(u32::MAX).into();
    results.bound(
        format!("{what}: writes by a replica that does not lead"),
        Some(violations),
        Relation::Exactly,
        0.0,
    );
    results.row(what, measured);
}

fn gaps(handovers: &[Handover]) -> impl Iterator<Item = f64> {
    handovers.iter().map(|handover| handover.gap().as_secs_f64())
}

fn seconds(what: &str) -> String {
    format!("{what}: seconds without a write, p99")
}

// === impl End ===

impl End {
    const fn name(self) -> &'static str {
        match self {
            Self::Terminated => "leader terminated (SIGTERM)",
            Self::Crashed => "leader crashed, its pod reports it",
            Self::Lost => "leader lost with its node",
        }
    }
}
