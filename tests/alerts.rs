//! `docs/operations.md` has a section for each alert of the chart, with its expression and its duration.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;

use serde::Deserialize;

#[derive(Deserialize)]
struct File {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    alert: String,
    expr: String,
    #[serde(rename = "for")]
    duration: String,
    annotations: Annotations,
}

#[derive(Deserialize)]
struct Annotations {
    runbook: String,
}

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The link to a heading, as on GitHub.
fn anchor(heading: &str) -> String {
    heading.to_lowercase().replace(' ', "-")
}

#[test]
fn each_alert_has_its_section() {
    let page = read("docs/operations.md");
    let alerts = page.split("\n## ").find(|part| part.starts_with("Alerts")).expect("a part");
    let sections: Vec<_> = alerts.split("\n### ").skip(1).collect();
    let file: File = serde_saphyr::from_str(&read("chart/files/alerts.yaml")).expect("it is YAML");
    let rules: Vec<_> = file.groups.into_iter().flat_map(|group| group.rules).collect();
    for Rule { alert, expr, duration, annotations } in &rules {
        let runbook = annotations.runbook.strip_prefix("docs/operations.md#");
        let runbook = runbook.unwrap_or_else(|| panic!("{alert}: {}", annotations.runbook));
        let section = sections.iter().find(|it| anchor(it.lines().next().unwrap_or(it)) == runbook);
        let section = section.unwrap_or_else(|| panic!("{alert}: no section #{runbook}"));
        assert!(section.contains(&format!("```promql\n{expr}\n```")), "{alert}: {expr}");
        let minutes = duration.trim_end_matches('m');
        let plural = if minutes == "1" { "" } else { "s" };
        assert!(section.contains(&format!("For {minutes} minute{plural}")), "{alert}: {duration}");
    }
    assert_eq!(rules.len(), sections.len(), "each section is of an alert");
}
