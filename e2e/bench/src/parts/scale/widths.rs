//! One source, copied to more and more namespaces, beside the raw writer: for the figure of the time.

use anyhow::Result;
use configmapsync::api::namespaced_name::NamespacedName;
use testbed::terminal::Done;

use crate::bench_cluster::BenchCluster;
use crate::bench_cluster::CENTRAL;
use crate::figures::Figure;
use crate::figures::Point;
use crate::measurement::Measurement;
use crate::measurement::between;
use crate::measurement::median;
use crate::parts::fan_out::IN_FLIGHT;
use crate::parts::scale::namespaces::namespace;
use crate::parts::scale::namespaces::width_label;
use crate::parts::scale::namespaces::widths;
use crate::raw_write_rate;
use crate::results::Results;
use crate::write_requests::one_kibibyte;

/// The source is copied this many times to each number of namespaces.
const ROUNDS: u32 = 3;

pub(super) async fn measure(
    cluster: &mut BenchCluster,
    results: &mut Results,
    all: u32,
) -> Result<()> {
    let screen = cluster.screen.clone();
    for width in widths(all) {
        let work = async {
            let (mut rounds, mut raw_times) = (Vec::new(), Vec::new());
            for round in 0..ROUNDS {
                let name = format!("width-{width}-{round}");
                let raw_rate = raw_rate(cluster, &name, width).await?;
                raw_times.push(f64::from(width) / raw_rate);
                cluster.start_operator().await?;
                rounds.push(copied(cluster, &name, width).await?.against(raw_rate));
            }
            let time = median(rounds.iter().map(|it| it.wall)).unwrap_or_default();
            let raw_time = median(raw_times).unwrap_or_default();
            let summary = format!("{time:.3} s, raw writer {raw_time:.3} s");
            Ok(Done::new((rounds, [("operator", time), ("raw writer", raw_time)]), summary))
        };
        let what = format!("one source to {width} namespaces");
        let (rounds, times) = screen.step(&what, work).await?;
        results.points(times.map(|(series, y)| Point {
            figure: Figure::FanOut,
            series: series.to_owned(),
            x: width.into(),
            y,
        }));
        results.rows(what, rounds);
    }
    Ok(())
}

/// The creates per second of the raw writer, in `width` namespaces. Stops the operator.
async fn raw_rate(cluster: &mut BenchCluster, name: &str, width: u32) -> Result<f64> {
    let copies = (0..width).map(|index| NamespacedName::new(namespace(index), name)).collect();
    let contents = [one_kibibyte(0), one_kibibyte(1)];
    Ok(raw_write_rate::measure_with(cluster, IN_FLIGHT, copies, contents).await?.creates)
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
