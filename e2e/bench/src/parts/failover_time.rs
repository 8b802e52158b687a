//! How long nobody writes when the leader goes.
//!
//! In a cluster of its own, with three replicas, while sources are edited all the time: from the
//! answer to the last write of the old leader to the answer to the first of the new one.

use std::time::Duration;

use anyhow::Result;
use anyhow::ensure;
use harness::load::Load;
use harness::operator_cluster::OperatorCluster;
use harness::oracle;
use harness::oracle::Recorder;
use harness::oracle::liveness;
use harness::oracle::liveness::Handover;
use harness::oracle::one_writer;
use harness::replica::Options;
use testbed::terminal::Done;

use crate::bench_cluster::BenchCluster;
use crate::ledger::Ledger;
use crate::ledger::Relation;
use crate::measured::Measured;
use crate::measured::quantile;

const TIMES: u32 = 50;
const REPLICAS: usize = 3;
const SOURCES: usize = 3;
/// Between two edits: what is measured is no more exact than this.
const PAUSE: Duration = Duration::from_millis(20);
/// Far more than it should take.
const FOLLOWED: Duration = Duration::from_mins(1);
const ENDED: Duration = Duration::from_secs(30);

/// How the leader goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Asked,
    Killed,
}

pub(super) async fn measure(cluster: &mut BenchCluster, ledger: &mut Ledger) -> Result<()> {
    cluster.stop_operator().await?;
    for (lease, options) in [(15, Options::default()), (5, Options::quick(5))] {
        let binary = Some(cluster.binary().to_owned());
        let options = Options { binary, ..options };
        for end in [End::Asked, End::Killed] {
            let what = format!("{}, Lease of {lease} s", end.name());
            let times = cluster.scaled(TIMES);
            let work = async {
                let (handovers, doubles) = Box::pin(handovers(&options, end, times)).await?;
                Ok(Done::new((handovers, doubles), format!("{times} times")))
            };
            let (handovers, doubles) = cluster.screen.clone().step(&what, work).await?;
            tell(ledger, &what, &handovers, doubles);
            let p99 = quantile(gaps(&handovers), 0.99);
            match end {
                End::Asked => ledger.bound(seconds(&what), p99, Relation::AtMost, 2.5),
                End::Killed if lease == 15 => {
                    ledger.bound(seconds(&what), p99, Relation::AtMost, 20.0);
                }
                End::Killed => {}
            }
        }
    }
    Ok(())
}

/// Every handover, and how many writes were made by a replica that did not lead.
async fn handovers(options: &Options, end: End, times: u32) -> Result<(Vec<Handover>, usize)> {
    let mut world = OperatorCluster::start_with(REPLICAS, options.clone()).await?;
    let fixture = world.fixture();
    let recorder = Recorder::start(fixture.client()).await?;
    let mark = world.audit().mark().await?;
    let load = Load::start(&fixture, SOURCES, PAUSE).await?;
    let mut leader = world.wait_leader().await?;
    for _ in 0..times {
        let process = world.replicas[leader].process();
        match end {
            End::Asked => process.terminate()?,
            End::Killed => process.kill()?,
        }
        let next = world.wait_next_writer(leader, FOLLOWED).await?;
        world.replicas[leader].process().wait_exit(ENDED).await?;
        world.restart_ended().await?;
        leader = next;
    }
    load.stop(FOLLOWED).await?;
    let history = recorder.history().await?;
    let events = world.audit().since(mark).await?;
    let writes = oracle::writes(&history, &events);
    let doubles = one_writer::violations(&history, &writes).len();
    let handovers = liveness::handovers(&events);
    let wanted = usize::try_from(times)?;
    ensure!(handovers.len() == wanted, "{} handovers, and not {wanted}", handovers.len());
    Ok((handovers, doubles))
}

fn tell(ledger: &mut Ledger, what: &str, handovers: &[Handover], doubles: usize) {
    let mut measured = Measured::default();
    for (name, at) in [("p50", 0.5), ("p99", 0.99), ("most", 1.0)] {
        let value = quantile(gaps(handovers), at);
        measured.more.extend(value.map(|value| (format!("{name}, s"), value)));
    }
    let count = u32::try_from(handovers.len()).unwrap_or(u32::MAX);
    measured.more.insert("times".to_owned(), count.into());
    measured.count = count;
    let doubles = u32::try_from(doubles).unwrap_or(u32::MAX).into();
    ledger.bound(format!("{what}: double writes"), Some(doubles), Relation::Exactly, 0.0);
    ledger.row(what, measured);
}

fn gaps(handovers: &[Handover]) -> impl Iterator<Item = f64> {
    handovers.iter().map(|handover| handover.gap().as_secs_f64())
}

fn seconds(what: &str) -> String {
    format!("{what}: p99 of seconds without a write")
}

// === impl End ===

impl End {
    const fn name(self) -> &'static str {
        match self {
            Self::Asked => "leader asked to stop (SIGTERM)",
            Self::Killed => "leader killed (kill -9)",
        }
    }
}
