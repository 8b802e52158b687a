//! Each guarantee in docs/guarantees.md names tests that exist.

use std::fs;

use crate::sources::root;
use crate::sources::sources;

/// Words in backticks that look like the name of a test and are none.
const NOT_TESTS: [&str; 2] =
    ["configmapsync_lease_failures_total", "configmapsync_watch_age_seconds"];

#[test]
fn tests_that_guarantees_name_exist() {
    let page = root().join("docs/guarantees.md");
    let page = fs::read_to_string(page).expect("docs/guarantees.md can be read");
    let quoted = page.split('`').skip(1).step_by(2);
    let named: Vec<_> = quoted.filter(|it| is_test_path(it) && !NOT_TESTS.contains(it)).collect();
    assert!(named.len() > 20, "it names only {named:?}");
    for path in named {
        assert!(test_exists(path), "docs/guarantees.md names {path}: there is no such test");
    }
}

/// `file`, `file::test` or `test`.
fn is_test_path(token: &str) -> bool {
    !token.is_empty() && token.chars().all(|c| c.is_ascii_lowercase() || "_:".contains(c))
}

fn test_exists(path: &str) -> bool {
    let promises = root().join("e2e/tests/promises");
    let file_of = |path: &str| promises.join(path.replace("::", "/")).with_extension("rs");
    let Some((file, test)) = path.rsplit_once("::") else {
        let is_test = |text: &str| text.contains(&format!("fn {path}("));
        return file_of(path).is_file() || sources().iter().any(|(_, text)| is_test(text));
    };
    let source = fs::read_to_string(file_of(file)).unwrap_or_default();
    file_of(path).is_file() || source.contains(&format!("fn {test}("))
}
