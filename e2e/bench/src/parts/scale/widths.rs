//! One source, copied to more and more namespaces: for the figure of the time.

use anyhow::Result;
use testbed::terminal::Done;

use crate::bench_cluster::BenchCluster;
use crate::bench_cluster::CENTRAL;
use crate::figures::Figure;
use crate::figures::Point;
use crate::measurement::Measurement;
use crate::measurement::between;
use crate::measurement::median;
use crate::parts::scale::namespaces::width_label;
use crate::parts::scale::namespaces::widths;
use crate::results::Results;
use crate::write_requests::one_kibibyte;

/// The source is copied this many times to each number of namespaces.
const ROUNDS: u32 = 3;

pub(super) async fn measure(
    cluster: &mut BenchCluster,
    results: &mut Results,
    all: u32,
) -> Result<()> {
    cluster.start_operator().await?;
    for width in widths(all) {
        let work = async {
            let mut rounds = Vec::new();
            for round in 0..ROUNDS {
                rounds.push(copied(cluster, &format!("width-{width}-{round}"), width).await?);
            }
            let wall = median(rounds.iter().map(|it| it.wall)).unwrap_or_default();
            Ok(Done::new((rounds, wall), format!("{wall:.3} s")))
        };
        let what = format!("one source to {width} namespaces");
        let (rounds, y) = cluster.screen.step(&what, work).await?;
        let (figure, series) = (Figure::FanOut, "created".to_owned());
        results.points([Point { figure, series, x: width.into(), y }]);
        results.rows(what, rounds);
    }
    Ok(())
}

/// Copies a new source to `width` namespaces, and deletes all of it.
async fn copied(cluster: &BenchCluster, name: &str, width: u32) -> Result<Measurement> {
    cluster.create_source_with(name, one_kibibyte(0)).await?;
    let (_, observation) = cluster
        .observe(async {
            let spec = BenchCluster::fan_out(name, &width_label(width));
            cluster.fixture().create_sync(CENTRAL, name, spec).await?;
            cluster.wait_synced(name, None).await
        })
        .await?;
    cluster.delete_sync(name).await?;
    cluster.delete_source(name).await?;
    let start = observation.user_response_time("create", "configmapsyncs", name);
    let wall = between(start, observation.last_response_time("create", "configmaps"));
    Ok(observation.measured().took(width, wall))
}
