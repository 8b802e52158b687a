//! Tests with real pods, which need root.

use std::env;
use std::io::Write as _;

/// Whether they are to be skipped; says so if they are.
#[must_use]
pub fn are_skipped() -> bool {
    let skipped = env::var_os("CONFIGMAPSYNC_SKIP_PODS").is_some_and(|value| value == "1");
    if skipped {
        // Written directly: what a passing test prints is not shown.
        let _ = writeln!(std::io::stderr(), "skipped: CONFIGMAPSYNC_SKIP_PODS=1, no real pods");
    }
    skipped
}
