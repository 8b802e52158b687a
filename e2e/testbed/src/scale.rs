//! Sizes and bounds: smaller or wider by default, those of the guarantee with `E2E_FULL=1`.

use std::env;

/// `full` with `E2E_FULL=1`, otherwise `quick`.
#[must_use]
pub fn quick_or_full<T>(quick: T, full: T) -> T {
    let is_full = env::var_os("E2E_FULL").is_some_and(|value| value == "1");
    if is_full { full } else { quick }
}
