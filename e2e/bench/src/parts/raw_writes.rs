//! The rate of the raw writer, and the cost of recording bodies in the audit log.

use anyhow::Result;
use testbed::terminal::Done;

use crate::bench_cluster::BASE;
use crate::bench_cluster::BenchCluster;
use crate::raw_write_rate;
use crate::results::Results;

const IN_FLIGHT: [u32; 4] = [1, 8, 32, 64];

pub(super) async fn measure(cluster: &mut BenchCluster, results: &mut Results) -> Result<()> {
    let count = cluster.scaled(BASE);
    cluster.create_namespaces(count).await?;
    let screen = cluster.screen.clone();
    for in_flight in IN_FLIGHT {
        let work = async {
            let raw_rate = raw_write_rate::measure(cluster, in_flight, count).await?;
            let summary = format!(
                "creates {:.0}/s, patches {:.0}/s, deletes {:.0}/s",
                raw_rate.creates, raw_rate.patches, raw_rate.deletes
            );
            Ok(Done::new(raw_rate, summary))
        };
        let raw_rate = screen.step(&format!("raw writer, {in_flight} in flight"), work).await?;
        results.raw_write_rates.push(raw_rate);
    }
    Ok(())
}

/// Measures the raw writer again with an audit log without bodies, to show whether recording them
/// dominates the measurements.
pub(super) async fn measure_counted(
    cluster: &mut BenchCluster,
    results: &mut Results,
) -> Result<()> {
    let count = cluster.scaled(BASE);
    let screen = cluster.screen.clone();
    let work = async {
        let raw_rate = raw_write_rate::measure(cluster, 32, count).await?;
        let summary = format!(
            "creates {:.0}/s, patches {:.0}/s, deletes {:.0}/s",
            raw_rate.creates, raw_rate.patches, raw_rate.deletes
        );
        Ok(Done::new(raw_rate, summary))
    };
    let raw_rate = screen.step("raw writer, 32 in flight, audit log without bodies", work).await?;
    results.note(format!(
        "With an audit log without bodies and 32 requests in flight, the raw writer does {:.0} \
         creates, {:.0} patches and {:.0} deletes per second. The difference to the table above is \
         the cost of recording, the same for operator and raw writer.",
        raw_rate.creates, raw_rate.patches, raw_rate.deletes
    ));
    Ok(())
}
