//! How our code is written, as far as neither compiler nor Clippy checks it.

use crate::sources::sources;

/// Longest file, in lines.
const MAX_LINES: usize = 400;

#[test]
fn a_file_has_at_most_400_lines() {
    for (path, text) in sources() {
        let lines = text.lines().count();
        assert!(lines <= MAX_LINES, "{} has {lines} lines: split it", path.display());
    }
}

#[test]
fn imports_of_our_own_stand_one_per_line() {
    for (path, text) in sources() {
        for line in text.lines().filter(|line| line.trim().starts_with("use crate::")) {
            assert!(!line.contains('{') && !line.contains('*'), "{}: {line}", path.display());
        }
    }
}

// Without this rule, the tests of the layers would not see every import.
#[test]
fn rooms_are_named_in_use_lines_only() {
    for (path, text) in sources().iter().filter(|(path, _)| path.starts_with("src")) {
        let code = text.lines().map(str::trim).filter(|line| !line.starts_with("//"));
        for line in code.filter(|line| line.contains("crate::")) {
            let is_use = line.starts_with("use ") || line.starts_with("pub use ");
            let is_visibility = line.contains("pub(crate)");
            assert!(is_use || is_visibility, "{}: {line}", path.display());
        }
    }
}

#[test]
fn decide_never_awaits() {
    for (path, text) in sources().iter().filter(|(path, _)| path.starts_with("src/decide")) {
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            let waits = line.contains("async ") || line.contains(".await");
            assert!(!waits, "{}: {line}", path.display());
        }
    }
}

#[test]
fn permissions_stand_beside_the_calls_that_need_them() {
    let grants = |text: &str| text.contains("pub fn access() -> Vec<PolicyRule>");
    for (path, text) in sources() {
        let calls_the_cluster = text.contains("Api::namespaced(") || text.contains("Api::all(");
        let is_step = path.starts_with("src/controller") && path.components().count() == 3;
        if is_step && calls_the_cluster {
            assert!(grants(&text), "{} calls the cluster without access()", path.display());
        }
    }
}
