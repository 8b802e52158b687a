//! `ConfigMapSync`s that each copy to every namespace with a label.

use anyhow::Result;
use testbed::terminal::Done;

use crate::bench_cluster::BenchCluster;
use crate::parts::scale::changes;
use crate::parts::scale::namespaces::LABEL;
use crate::parts::scale::starts;
use crate::parts::scale::workload::Workload;
use crate::parts::scale::workload::create;
use crate::results::Relation;
use crate::results::Results;
use crate::scale_sizes::FanOut;

/// The bound of the memory with 100,000 copies, in MiB.
const RSS: f64 = 96.0;

pub(super) async fn measure(
    cluster: &mut BenchCluster,
    results: &mut Results,
    FanOut { syncs, namespaces }: FanOut,
) -> Result<()> {
    let what = format!("{syncs} sources to {namespaces} namespaces");
    let names = (0..syncs).map(|index| format!("wide-{namespaces}-{index}")).collect();
    let workload = Workload { what, names, copies_of_each: namespaces };
    cluster.stop_operator().await?;
    let work = async {
        create(cluster, &workload.names, |_, name| BenchCluster::fan_out(name, LABEL)).await?;
        Ok(Done::new((), ""))
    };
    let created = format!("{syncs} sources and ConfigMapSyncs created");
    cluster.screen.step(&created, work).await?;
    let cold = starts::cold(cluster, results, &workload, workload.copies()).await?;
    let restarted = starts::restart(cluster, results, &workload, "fan-outs").await?;
    let rss = Some(cold.rss.max(restarted.rss));
    let memory = format!("{}, MiB", workload.what);
    results.bound(memory, rss, Relation::AtMost, RSS);
    changes::measure(cluster, results, &workload).await
}
