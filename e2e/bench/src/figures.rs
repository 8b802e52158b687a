//! The figures: which measured values they show, and how they are written.

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use serde::Serialize;
use strum::VariantArray as _;

use crate::chart::Axis;
use crate::chart::Chart;
use crate::chart::Series;

/// A figure. Its name is that of its file.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Serialize, strum::IntoStaticStr, strum::VariantArray,
)]
#[serde(rename_all = "kebab-case")]
#[strum(serialize_all = "kebab-case")]
pub enum Figure {
    /// The time until all copies of one source exist, by their number.
    FanOut,
    /// The memory of the leader, by the number of copies.
    Memory,
    /// The share of changes of the leader after which the next one wrote within a time.
    Failover,
}

/// A point of a figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The figure.
    pub figure: Figure,
    /// The line that it belongs to.
    pub series: String,
    /// The horizontal coordinate.
    pub x: f64,
    /// The vertical coordinate.
    pub y: f64,
}

/// Writes each figure that there are `points` for to a file in `folder`, with the description of the
/// `machine`. Returns the paths.
pub fn write(folder: &Path, points: &[Point], machine: &str) -> Result<Vec<PathBuf>> {
    fs::create_dir_all(folder)
        .with_context(|| format!("creating the folder {}", folder.display()))?;
    let mut files = Vec::new();
    for figure in Figure::VARIANTS {
        let chart = chart(*figure, points, machine);
        if chart.series.is_empty() {
            continue;
        }
        let file = folder.join(format!("{}.svg", <&str>::from(figure)));
        fs::write(&file, chart.svg()).with_context(|| format!("writing {}", file.display()))?;
        files.push(file);
    }
    Ok(files)
}

/// The points of the distribution of `values`: the percentage of values that each one is not exceeded by.
pub fn distribution(figure: Figure, series: &str, values: &[f64]) -> Vec<Point> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    let share = |number: usize| {
        let counts = (u32::try_from(number + 1), u32::try_from(values.len()));
        let (number, count) = (counts.0.unwrap_or(u32::MAX), counts.1.unwrap_or(u32::MAX));
        100.0 * f64::from(number) / f64::from(count)
    };
    let points = values.iter().enumerate();
    let point = |(number, x): (usize, &f64)| Point {
        figure,
        series: series.to_owned(),
        x: *x,
        y: share(number),
    };
    points.map(point).collect()
}

fn chart(figure: Figure, points: &[Point], machine: &str) -> Chart {
    let mut series = Vec::<Series>::new();
    for point in points.iter().filter(|point| point.figure == figure) {
        let at = (point.x, point.y);
        match series.iter_mut().find(|series| series.name == point.series) {
            Some(series) => series.points.push(at),
            None => series.push(Series { name: point.series.clone(), points: vec![at] }),
        }
    }
    let (title, x, y) = figure.texts();
    let axis = |name: &str| Axis { name: name.to_owned() };
    let caption = machine.split("; ").map(str::to_owned).collect();
    Chart { title: title.to_owned(), x: axis(x), y: axis(y), series, caption }
}

// === impl Figure ===

impl Figure {
    /// The title, and the names of the axes.
    const fn texts(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::FanOut => {
                ("Time until a source is copied to all namespaces", "namespaces", "seconds")
            }
            Self::Memory => ("Resident memory of the leader", "copies", "MiB"),
            Self::Failover => {
                ("Time without a write when the leader changes", "seconds", "% of the changes")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_ends_at_the_greatest_value() {
        let points = distribution(Figure::Failover, "killed", &[2.0, 1.0]);
        let at: Vec<_> = points.iter().map(|point| (point.x, point.y)).collect();
        assert_eq!(at, [(1.0, 50.0), (2.0, 100.0)]);
    }

    #[test]
    fn points_are_grouped_by_figure_and_series() {
        let point =
            |figure, series: &str| Point { figure, series: series.to_owned(), x: 1.0, y: 2.0 };
        let points = [
            point(Figure::Memory, "RSS"),
            point(Figure::Memory, "peak"),
            point(Figure::FanOut, "time"),
            point(Figure::Memory, "RSS"),
        ];
        let memory = chart(Figure::Memory, &points, "2 cores; Kubernetes v1");
        let lengths: Vec<_> =
            memory.series.iter().map(|it| (it.name.as_str(), it.points.len())).collect();
        assert_eq!(lengths, [("RSS", 2), ("peak", 1)]);
        assert_eq!(memory.caption, ["2 cores", "Kubernetes v1"]);
        assert!(chart(Figure::Failover, &points, "").series.is_empty());
    }
}
