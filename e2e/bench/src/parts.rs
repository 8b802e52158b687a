//! What is measured.

mod churn;
mod cold;
mod failover_time;
mod fairness;
mod fan_out;
mod fence_cost;
mod memory;
mod namespace_changes;
mod raw_writes;
mod refused;

use anyhow::Context;
use anyhow::Result;

use crate::bench_cluster::BenchCluster;
use crate::ledger::Ledger;
use crate::part::Part;

/// Measures one part.
pub async fn measure(part: Part, cluster: &mut BenchCluster, ledger: &mut Ledger) -> Result<()> {
    let result = match part {
        Part::Limit => raw_writes::measure(cluster, ledger).await,
        Part::Copies => fan_out::measure(cluster, ledger).await,
        Part::Namespaces => namespace_changes::measure(cluster, ledger).await,
        Part::Refused => refused::measure(cluster, ledger).await,
        Part::Cold => cold::measure(cluster, ledger).await,
        Part::Fair => fairness::measure(cluster, ledger).await,
        Part::Fence => fence_cost::measure(cluster, ledger).await,
        Part::Failover => failover_time::measure(cluster, ledger).await,
        Part::Memory => memory::measure(cluster, ledger).await,
    };
    result.with_context(|| format!("measuring {part:?}"))
}
