//! The switch that skips tests that need root.

use std::env;
use std::io::Write as _;

/// Whether `CONFIGMAPSYNC_SKIP_PODS=1` skips the test; prints a line if so.
#[must_use]
pub fn are_skipped() -> bool {
    let skipped = env::var_os("CONFIGMAPSYNC_SKIP_PODS").is_some_and(|value| value == "1");
    if skipped {
        // Written directly: the test runner hides what a passing test prints.
        let _ =
            writeln!(std::io::stderr(), "skipped: CONFIGMAPSYNC_SKIP_PODS=1, tests that need root");
    }
    skipped
}
