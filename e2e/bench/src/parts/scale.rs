//! Large numbers: of copies, of `ConfigMapSync`s and of namespaces.
//!
//! Each workload goes through the same steps: all copies are created after a start, a restart finds them
//! in order, each source is edited, another process takes over, and orphan collection deletes the copies.
//! Exact counts are bounds at any size, so that a small run checks the steps.

mod bare_client;
mod changes;
mod fan_outs;
mod idle;
mod namespaces;
mod pairs;
mod starts;
mod widths;
mod workload;

use anyhow::Result;

use crate::bench_cluster::BenchCluster;
use crate::bench_cluster::ETCD_QUOTA;
use crate::results::Results;
use crate::scale_sizes::FanOut;

pub(super) async fn measure(cluster: &mut BenchCluster, results: &mut Results) -> Result<()> {
    let sizes = cluster.options.sizes.clone();
    let factor = cluster.options.scale;
    let scaled = |cluster: &BenchCluster, size| {
        if factor < 1.0 { cluster.scaled(size) } else { size }
    };
    results
        .note(format!("scale: etcd may store {} GiB (--quota-backend-bytes).", ETCD_QUOTA >> 30));
    results.note(
        "scale: a bare client requests the same lists as the operator, one after the other, and keeps \
         nothing.",
    );
    idle::measure(cluster, results).await?;
    let spread = scaled(cluster, sizes.namespaces());
    namespaces::create(cluster, 0, spread).await?;
    widths::measure(cluster, results, spread).await?;
    if let Some(FanOut { syncs, .. }) = sizes.many_syncs() {
        let fan_out = FanOut { syncs: scaled(cluster, syncs), namespaces: spread };
        fan_outs::measure(cluster, results, fan_out).await?;
    }
    let counts: Vec<_> = sizes.pairs().into_iter().map(|count| scaled(cluster, count)).collect();
    pairs::measure(cluster, results, &counts, spread).await?;
    if let Some(FanOut { syncs, namespaces }) = sizes.many_namespaces() {
        let namespaces = scaled(cluster, namespaces);
        namespaces::create(cluster, spread, namespaces).await?;
        let fan_out = FanOut { syncs: scaled(cluster, syncs), namespaces };
        fan_outs::measure(cluster, results, fan_out).await?;
    }
    Ok(())
}
