//! Deadlines and sizes: those of the guarantee with `E2E_FULL=1`.

use std::time::Duration;

pub use testbed::scale::quick_or_full;

/// The time within which an edited copy is restored, and a change of a source or of a namespace
/// reaches the copies: 5 seconds, three times that where other tests run in parallel. It is far
/// below the hourly verification, which would find a change that a watch has missed.
pub fn propagation() -> Duration {
    quick_or_full(Duration::from_secs(15), Duration::from_secs(5))
}
