//! How fast the raw writer is, and what recording costs it.

use anyhow::Result;
use testbed::terminal::Done;

use crate::bench_cluster::BASE;
use crate::bench_cluster::BenchCluster;
use crate::ledger::Ledger;
use crate::write_limit;

const IN_FLIGHT: [u32; 4] = [1, 8, 32, 64];

pub(super) async fn measure(cluster: &mut BenchCluster, ledger: &mut Ledger) -> Result<()> {
    let count = cluster.scaled(BASE);
    cluster.make_namespaces(count).await?;
    let screen = cluster.screen.clone();
    for in_flight in IN_FLIGHT {
        let work = async {
            let limit = write_limit::measure(cluster, in_flight, count).await?;
            let told = format!(
                "creates {:.0}/s, patches {:.0}/s, deletes {:.0}/s",
                limit.creates, limit.patches, limit.deletes
            );
            Ok(Done::new(limit, told))
        };
        let limit = screen.step(&format!("raw writer, {in_flight} in flight"), work).await?;
        ledger.limits.push(limit);
    }
    Ok(())
}

/// Whether recording what is sent and answered dominates what is measured: the raw writer once
/// more, where requests are only counted.
pub(super) async fn measure_counted(cluster: &mut BenchCluster, ledger: &mut Ledger) -> Result<()> {
    let count = cluster.scaled(BASE);
    let screen = cluster.screen.clone();
    let work = async {
        let limit = write_limit::measure(cluster, 32, count).await?;
        let told = format!(
            "creates {:.0}/s, patches {:.0}/s, deletes {:.0}/s",
            limit.creates, limit.patches, limit.deletes
        );
        Ok(Done::new(limit, told))
    };
    let limit = screen.step("raw writer, 32 in flight, only counted", work).await?;
    ledger.note(format!(
        "Where the audit log only counts requests, the raw writer does {:.0} creates, {:.0} patches \
         and {:.0} deletes in a second with 32 in flight: compare with the table above to see what \
         recording costs. Operator and raw writer pay it alike.",
        limit.creates, limit.patches, limit.deletes
    ));
    Ok(())
}
