//! Whether the process is shutting down.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

/// Set once, when the process begins to shut down. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Stopping {
    begun: Arc<AtomicBool>,
}

// === impl Stopping ===

impl Stopping {
    /// Begins the shutdown.
    pub fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }

    /// Whether the shutdown has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }
}
