//! Dispatches to the parts of the bench.

mod cold_start;
mod failover_time;
mod fairness;
mod fan_out;
mod fence_cost;
mod first_copy;
mod memory_use;
mod namespace_changes;
mod raw_writes;
mod refusing_namespace;
mod scale;
mod steady_edits;

use anyhow::Context;
use anyhow::Result;

use crate::bench_cluster::BenchCluster;
use crate::part::Part;
use crate::results::Results;

/// Measures one part.
pub async fn measure(part: Part, cluster: &mut BenchCluster, results: &mut Results) -> Result<()> {
    let result = match part {
        Part::Limit => raw_writes::measure(cluster, results).await,
        Part::Copies => fan_out::measure(cluster, results).await,
        Part::FirstCopy => Box::pin(first_copy::measure(cluster, results)).await,
        Part::Namespaces => namespace_changes::measure(cluster, results).await,
        Part::Refused => refusing_namespace::measure(cluster, results).await,
        Part::Cold => cold_start::measure(cluster, results).await,
        Part::Fair => fairness::measure(cluster, results).await,
        Part::Fence => fence_cost::measure(cluster, results).await,
        Part::Failover => failover_time::measure(cluster, results).await,
        Part::Memory => memory_use::measure(cluster, results).await,
        Part::Scale => Box::pin(scale::measure(cluster, results)).await,
    };
    result.with_context(|| format!("measuring {part:?}"))
}
