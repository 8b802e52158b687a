//! Metrics, from what a process exposes.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use configmapsync::decide::Action;
use configmapsync::metrics::Metrics;

use crate::table::code;
use crate::table::table;

/// The values of a label are listed up to so many.
const MAX_VALUES: usize = 6;

/// Labels of one metric, and the values that they had.
type Labels = BTreeMap<String, BTreeSet<String>>;

/// Every metric, with its type, its labels and its help.
pub fn metrics() -> String {
    let metrics = Metrics::new(&Action::write_verbs());
    // Its labels are not bounded, so that no series exists before the first request.
    metrics.requests.count("GET", "10.96.0.1:443", Some(200), Duration::ZERO);
    // Only a leader has these.
    for resource in ["configmapsyncs", "configmaps", "namespaces"] {
        metrics.watches.heard(resource, None);
    }
    let exposition = metrics.exposition();
    let mut rows = Vec::new();
    for line in exposition.lines() {
        let Some((name, help)) = line.strip_prefix("# HELP ").and_then(|it| it.split_once(' '))
        else {
            continue;
        };
        let kind = kind(&exposition, name);
        let labels = labels(&exposition, name);
        let name = match kind.as_str() {
            "counter" => format!("{name}_total"),
            "info" => format!("{name}_info"),
            _ => name.to_owned(),
        };
        rows.push([code(&name), kind, shown(&labels), help.trim_end_matches('.').to_owned()]);
    }
    table(["metric", "type", "labels", "meaning"], &rows)
}

fn kind(exposition: &str, name: &str) -> String {
    let prefix = format!("# TYPE {name} ");
    let line = exposition.lines().find_map(|line| line.strip_prefix(&prefix));
    line.unwrap_or_default().to_owned()
}

fn labels(exposition: &str, name: &str) -> Labels {
    let mut labels = Labels::new();
    for line in exposition.lines().filter(|line| line.starts_with(name)) {
        let Some((series, rest)) = line.split_once('{') else { continue };
        let suffix = &series[name.len()..];
        if !["", "_total", "_info", "_count", "_sum", "_bucket"].contains(&suffix) {
            continue;
        }
        let pairs = rest.split('}').next().unwrap_or_default();
        for (label, value) in pairs.split(',').filter_map(|pair| pair.split_once('=')) {
            if label != "le" {
                let value = value.trim_matches('"').to_owned();
                labels.entry(label.to_owned()).or_default().insert(value);
            }
        }
    }
    labels
}

fn shown(labels: &Labels) -> String {
    let shown: Vec<_> = labels
        .iter()
        .map(|(label, values)| {
            let is_listed = (2..=MAX_VALUES).contains(&values.len());
            let values = values.iter().map(|value| code(value)).collect::<Vec<_>>().join(", ");
            if is_listed { format!("{} ({values})", code(label)) } else { code(label) }
        })
        .collect();
    shown.join(", ")
}
