//! The rules of the house that no compiler knows: who may name whom, and how long a file may be.

#![allow(clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::path::PathBuf;

/// The rooms, in order: each may name only those above it.
const ROOMS: [&str; 19] = [
    "names",
    "access",
    "api",
    "backoff",
    "decide",
    "metrics",
    "health",
    "telemetry",
    "kubernetes",
    "election",
    "cache",
    "orphans",
    "controller",
    "uninstall",
    "args",
    "policies",
    "manifests",
    "commands",
    "app",
];
/// Longest file, in lines.
const MAX_LINES: usize = 400;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder can be listed") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

fn sources() -> Vec<(PathBuf, String)> {
    ["src", "tests", "e2e/src", "e2e/tests"]
        .into_iter()
        .map(|folder| root().join(folder))
        .filter(|folder| folder.exists())
        .flat_map(|folder| rust_files(&folder))
        .map(|path| {
            let text = fs::read_to_string(&path).expect("a source can be read");
            (path.strip_prefix(root()).expect("it is below the root").to_owned(), text)
        })
        .collect()
}

/// The room that a file below `src` belongs to: the first part of its path.
fn room_of(path: &Path) -> Option<String> {
    let first = path.strip_prefix("src").ok()?.components().next()?;
    let name = first.as_os_str().to_str()?.trim_end_matches(".rs").to_owned();
    (name != "lib" && name != "main").then_some(name)
}

fn rank(room: &str) -> usize {
    ROOMS
        .iter()
        .position(|known| *known == room)
        .unwrap_or_else(|| panic!("{room} is not in the table of rooms: give it its place"))
}

#[test]
fn each_room_names_only_rooms_above_it() {
    for (path, text) in sources() {
        let Some(room) = room_of(&path) else { continue };
        for named in text.lines().filter_map(|line| line.trim().strip_prefix("use crate::")) {
            let named: String =
                named.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
            assert!(
                rank(&named) <= rank(&room),
                "{}: {room} may not name {named}, which stands below it",
                path.display(),
            );
        }
    }
}

#[test]
fn our_own_names_are_brought_in_one_per_line() {
    for (path, text) in sources() {
        for line in text.lines().filter(|line| line.trim().starts_with("use crate::")) {
            assert!(!line.contains('{') && !line.contains('*'), "{}: {line}", path.display());
        }
    }
}

#[test]
fn rooms_are_named_by_use_lines_alone() {
    for (path, text) in sources() {
        let code = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        for line in code.filter(|line| room_of(&path).is_some() && line.contains("crate::")) {
            let is_use = line.starts_with("use ") || line.starts_with("pub use ");
            let is_visibility = line.contains("pub(crate)");
            assert!(is_use || is_visibility, "{}: {line}", path.display());
        }
    }
}

#[test]
fn deciding_never_awaits() {
    for (path, text) in sources().iter().filter(|(path, _)| path.starts_with("src/decide")) {
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let waits = line.contains("async ") || line.contains(".await");
            assert!(!waits, "{}: {line}", path.display());
        }
    }
}

#[test]
fn no_file_is_longer_than_one_concern() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines: it is two rooms", path.display());
    }
}

#[test]
fn exactly_one_kube_and_one_k8s_openapi_are_locked() {
    let lock = fs::read_to_string(root().join("Cargo.lock")).expect("Cargo.lock is committed");
    for package in ["kube", "kube-client", "kube-core", "kube-runtime", "k8s-openapi"] {
        let line = format!("name = \"{package}\"");
        let count = lock.lines().filter(|other| *other == line).count();
        assert_eq!(count, 1, "{package} is locked {count} times: see Cargo.toml for the versions");
    }
}

#[test]
fn every_permission_stands_in_the_room_that_needs_it() {
    let grants = |text: &str| text.contains("pub fn access() -> Vec<PolicyRule>");
    for (path, text) in sources() {
        let calls_the_cluster = text.contains("Api::namespaced(") || text.contains("Api::all(");
        let is_ours = path.starts_with("src/controller") && path.components().count() == 3;
        if is_ours && calls_the_cluster {
            assert!(grants(&text), "{} calls the cluster without access()", path.display());
        }
    }
}

/// `room`, `room::deeper` or `room::test`, as docs/guarantees.md names what shows them.
fn is_test_path(token: &str) -> bool {
    !token.is_empty() && token.chars().all(|c| c.is_ascii_lowercase() || "_:".contains(c))
}

fn test_exists(path: &str) -> bool {
    let promises = root().join("e2e/tests/promises");
    let below = |path: &str| promises.join(path.replace("::", "/")).with_extension("rs");
    let Some((file, test)) = path.rsplit_once("::") else {
        let is_test = |(_, text): &(PathBuf, String)| text.contains(&format!("fn {path}("));
        return below(path).is_file() || sources().iter().any(is_test);
    };
    let source = fs::read_to_string(below(file)).unwrap_or_default();
    below(path).is_file() || source.contains(&format!("fn {test}("))
}

#[test]
fn every_test_that_the_page_of_promises_names_is_there() {
    let page = root().join("docs/guarantees.md");
    let page = fs::read_to_string(page).expect("docs/guarantees.md can be read");
    let quoted = page.split('`').skip(1).step_by(2);
    let metrics = ["configmapsync_lease_failures_total"];
    let named: Vec<_> = quoted.filter(|it| is_test_path(it) && !metrics.contains(it)).collect();
    assert!(named.len() > 20, "it names only {named:?}");
    for path in named {
        assert!(test_exists(path), "there is no test {path}");
    }
}
