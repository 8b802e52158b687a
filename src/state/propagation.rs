//! How long a change of a source takes to reach its copies.

use std::time::Duration;
use std::time::Instant;

/// A change of a source that has not reached all copies yet.
#[derive(Debug)]
pub struct Propagation {
    source_changed: Instant,
    last_write: Option<Instant>,
}

// === impl Propagation ===

impl Propagation {
    /// The watch delivered the change at this time.
    pub const fn began(source_changed: Instant) -> Self {
        Self { source_changed, last_write: None }
    }

    /// A write of a copy was answered at `at`.
    pub const fn wrote(&mut self, at: Instant) {
        self.last_write = Some(at);
    }

    /// The time from the change to the response to the last write; `None` if it caused no write.
    pub fn duration(&self) -> Option<Duration> {
        Some(self.last_write?.saturating_duration_since(self.source_changed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_write_ends_the_propagation() {
        let (began, second) = (Instant::now(), Duration::from_secs(1));
        let mut propagation = Propagation::began(began);
        assert_eq!(propagation.duration(), None);
        propagation.wrote(began + second);
        propagation.wrote(began + second * 3);
        assert_eq!(propagation.duration(), Some(second * 3));
    }
}
