//! `docs/troubleshooting.md`: every reason has a section, and every quoted message exists.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::path::PathBuf;

use configmapsync::decide::reason::Reason;
use strum::VariantArray as _;

/// The column whose cells quote parts of messages.
const COLUMN: &str = "| message contains |";
/// Messages of Kubernetes and of kubectl.
const OF_KUBERNETES: [&str; 6] = [
    "admission webhook",
    "cannot create resource \"configmaps\"",
    "exceeded quota",
    "may not be more than 4096 bytes",
    "no matches for kind \"ConfigMapSync\"",
    "ValidatingAdmissionPolicy",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn page() -> String {
    read(&root().join("docs/troubleshooting.md"))
}

/// Every file below `folder`, one after the other.
fn all_text(folder: &Path) -> String {
    let mut text = String::new();
    for entry in fs::read_dir(folder).expect("a folder can be listed") {
        let path = entry.expect("an entry can be read").path();
        text += &if path.is_dir() { all_text(&path) } else { read(&path) };
    }
    text
}

/// Literals as the compiler reads them: no line breaks within, quotes without a backslash.
fn unescaped(source: &str) -> String {
    let mut text = String::new();
    let mut parts = source.split("\\\n");
    text += parts.next().unwrap_or_default();
    for part in parts {
        text += part.trim_start();
    }
    text.replace("\\\"", "\"")
}

/// The texts in backticks in the first cell of each row of a table whose first column is [`COLUMN`].
fn quoted(page: &str) -> Vec<String> {
    let mut quoted = Vec::new();
    let mut is_inside = false;
    for line in page.lines() {
        is_inside = line.starts_with(COLUMN) || (is_inside && line.starts_with('|'));
        if let Some(cell) = line.split('|').nth(1).filter(|_| is_inside) {
            quoted.extend(cell.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    quoted
}

#[test]
fn each_reason_has_a_section() {
    let page = page();
    for reason in Reason::VARIANTS {
        let heading = format!("\n### {reason}\n");
        assert!(page.contains(&heading), "docs/troubleshooting.md has no section {reason}");
    }
}

#[test]
fn quoted_messages_exist() {
    let messages = unescaped(&all_text(&root().join("src"))) + &all_text(&root().join("deploy"));
    let quoted = quoted(&page());
    assert!(quoted.len() > 20, "docs/troubleshooting.md quotes only {quoted:?}");
    let of_kubernetes = |text: &str| OF_KUBERNETES.iter().any(|known| text.starts_with(known));
    let missing: Vec<_> = quoted
        .iter()
        .filter(|text| !messages.contains(text.as_str()) && !of_kubernetes(text))
        .collect();
    assert!(
        missing.is_empty(),
        "docs/troubleshooting.md quotes messages that do not exist: {missing:#?}"
    );
}
