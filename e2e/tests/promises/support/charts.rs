//! Charts of other versions.

use std::fs;
use std::path::Path;

use anyhow::Result;
use anyhow::ensure;

/// The chart as it was when the policy was an object of the release like any other.
pub fn earlier_chart(folder: &Path) -> Result<String> {
    let chart = folder.join("earlier-chart");
    let copied = std::process::Command::new("cp")
        .args(["-r", "chart"])
        .arg(&chart)
        .current_dir(testbed::repository::root())
        .status()?;
    ensure!(copied.success(), "copying the chart");
    let file = chart.join("files/policies/consent.yaml");
    let text = fs::read_to_string(&file)?;
    let lines =
        text.lines().filter(|it| !it.contains("resource-policy") && it.trim() != "annotations:");
    fs::write(&file, lines.collect::<Vec<_>>().join("\n") + "\n")?;
    // Only in charts that render it elsewhere.
    let consent = chart.join("templates/consent.yaml");
    if consent.exists() {
        let text = "{{- if .Values.policies.consent }}\n{{ .Files.Get \"files/policies/consent.yaml\" }}\n{{- end }}\n";
        fs::write(consent, text)?;
    }
    Ok(chart.display().to_string())
}
