//! The memory of a leader and of a standby that have nothing to do.

use std::time::Duration;

use anyhow::Result;
use testbed::terminal::Done;

use crate::bench_cluster::BenchCluster;
use crate::measurement::Measurement;
use crate::parts::scale::workload::settled;
use crate::process_usage::Usage;
use crate::results::Relation;
use crate::results::Results;

/// The bound of the memory of a standby, in MiB.
const STANDBY: f64 = 12.0;
const SOON: Duration = Duration::from_mins(1);

pub(super) async fn measure(cluster: &mut BenchCluster, results: &mut Results) -> Result<()> {
    let screen = cluster.screen.clone();
    let work = async {
        cluster.start_operator().await?;
        let leader = settled(cluster.operator()?).await?;
        let standby = cluster.launch_operator().await?;
        standby.wait_ready(SOON).await?;
        let usage = settled(&standby).await?;
        standby.stop().await?;
        let summary = format!("leader {:.1} MiB, standby {:.1} MiB", leader.rss, usage.rss);
        Ok(Done::new((leader, usage), summary))
    };
    let (leader, standby) = screen.step("scale: nothing to do", work).await?;
    results.row("scale: leader without ConfigMapSyncs", measured(leader));
    results.row("scale: standby", measured(standby));
    results.bound("standby, MiB", Some(standby.rss), Relation::AtMost, STANDBY);
    Ok(())
}

/// The memory and CPU time of `usage`.
pub(super) fn measured(usage: Usage) -> Measurement {
    Measurement { cpu: usage.cpu, rss: usage.rss, peak: usage.peak, ..Measurement::default() }
}
