//! `ConfigMapSync`s with one copy each: more and more of them.

use anyhow::Result;
use harness::fixture::one_to_one;
use testbed::terminal::Done;

use crate::bench_cluster::BenchCluster;
use crate::bench_cluster::CENTRAL;
use crate::measurement::Measurement;
use crate::parts::scale::changes;
use crate::parts::scale::namespaces::namespace;
use crate::parts::scale::starts;
use crate::parts::scale::workload::Workload;
use crate::parts::scale::workload::create;
use crate::results::Relation;
use crate::results::Results;

/// The bounds of the memory with 10,000 pairs, in MiB.
const MANY: u32 = 10_000;
const RSS: f64 = 40.0;
const PEAK: f64 = 64.0;
/// The bound of the growth of memory and time per pair, from the smallest number to the greatest:
/// tables double in size, so that it is not exactly 1.
const GROWTH: f64 = 1.5;

/// What was measured with a number of pairs.
struct Measured {
    count: u32,
    restarted: Measurement,
}

/// Measures each of `counts` in ascending order, with copies in `namespaces` namespaces.
pub(super) async fn measure(
    cluster: &mut BenchCluster,
    results: &mut Results,
    counts: &[u32],
    namespaces: u32,
) -> Result<()> {
    let mut measured = Vec::<Measured>::new();
    let mut last = None;
    for &count in counts {
        let before = measured.last().map_or(0, |it| it.count);
        let workload = workload(count);
        create_pairs(cluster, &workload, before, namespaces).await?;
        let cold = starts::cold(cluster, results, &workload, count - before).await?;
        let restarted = starts::restart(cluster, results, &workload, "single copies").await?;
        if count == MANY {
            let what = &workload.what;
            let rss = Some(cold.rss.max(restarted.rss));
            results.bound(format!("{what}, MiB"), rss, Relation::AtMost, RSS);
            let peak = Some(cold.peak.max(restarted.peak));
            results.bound(format!("{what}, peak, MiB"), peak, Relation::AtMost, PEAK);
        }
        measured.push(Measured { count, restarted });
        last = Some(workload);
    }
    report_growth(results, &measured);
    match last {
        Some(workload) => changes::measure(cluster, results, &workload).await,
        None => Ok(()),
    }
}

fn workload(count: u32) -> Workload {
    Workload {
        what: format!("{count} ConfigMapSyncs with one copy"),
        names: (0..count).map(|index| format!("pair-{index}")).collect(),
        copies_of_each: 1,
    }
}

/// Creates the pairs of `workload`, of which the first `before` exist, while no operator runs.
async fn create_pairs(
    cluster: &mut BenchCluster,
    workload: &Workload,
    before: u32,
    namespaces: u32,
) -> Result<()> {
    cluster.stop_operator().await?;
    let new = workload.names.get(usize::try_from(before)?..).unwrap_or_default();
    let places: Vec<_> = (0..namespaces).map(namespace).collect();
    let spec = |index: usize, name: &str| {
        let place = places.get(index % places.len().max(1)).map_or("", String::as_str);
        one_to_one(CENTRAL, name, place)
    };
    let work = async {
        create(cluster, new, spec).await?;
        Ok(Done::new((), ""))
    };
    let created = format!("{} sources and ConfigMapSyncs created", new.len());
    cluster.screen.step(&created, work).await
}

/// Compares memory and CPU time per pair for the greatest number with those for the smallest.
fn report_growth(results: &mut Results, measured: &[Measured]) {
    let [first, .., middle, last] = measured else { return };
    let per_pair = |from: &Measured, to: &Measured, number: fn(&Measurement) -> f64| {
        (number(&to.restarted) - number(&from.restarted)) / f64::from(to.count - from.count)
    };
    for (what, number) in [
        ("memory", (|it| it.rss) as fn(&Measurement) -> f64),
        ("CPU time of a restart", |it| it.cpu),
    ] {
        let growth = per_pair(middle, last, number) / per_pair(first, middle, number);
        let counts = format!("from {} ConfigMapSyncs to {}", first.count, last.count);
        let what = format!("{what} per ConfigMapSync, {counts}, growth");
        results.bound(what, Some(growth), Relation::AtMost, GROWTH);
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::options::Options;

    fn growth(rss: [f64; 3]) -> f64 {
        let counts = [100, 200, 400];
        let measured = |(count, rss)| Measured {
            count,
            restarted: Measurement { rss, cpu: f64::from(count), ..Measurement::default() },
        };
        let measured: Vec<_> = counts.into_iter().zip(rss).map(measured).collect();
        let mut results = Results::new(&Options::parse_from(["bench"]));
        report_growth(&mut results, &measured);
        assert!((results.bounds[1].value - 1.0).abs() < 0.01, "the CPU time is linear");
        results.bounds[0].value
    }

    #[test]
    fn the_growth_of_a_linear_value_is_one() {
        assert!((growth([20.0, 30.0, 50.0]) - 1.0).abs() < 0.01);
        assert!((growth([20.0, 30.0, 70.0]) - 2.0).abs() < 0.01);
    }
}
