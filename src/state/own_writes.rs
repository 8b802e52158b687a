//! The last version of a sync that we wrote, to recognise a watch that lags behind it.
//!
//! The time is an argument. Losing this state costs a conflict, never a wrong write.

use std::time::Duration;
use std::time::Instant;

/// How long the watch may lag behind our own write. After that even an older version is accepted:
/// storage may have been restored from a backup.
const MAX_WATCH_LAG: Duration = Duration::from_secs(30);

/// Our latest write to one sync.
#[derive(Debug, Default)]
pub struct OwnWrites {
    /// The resulting resourceVersion.
    written: Option<(Box<str>, Instant)>,
    cleaned_up: Option<Instant>,
}

// === impl OwnWrites ===

impl OwnWrites {
    /// Records a write of the sync itself that resulted in `resource_version`.
    pub fn wrote(&mut self, resource_version: &str, now: Instant) {
        self.written = Some((resource_version.into(), now));
    }

    /// Whether we have written the sync in this term.
    pub const fn has_written(&self) -> bool {
        self.written.is_some()
    }

    /// Records the removal of our finalizer.
    pub fn cleaned_up(&mut self, now: Instant) {
        *self = Self { cleaned_up: Some(now), written: None };
    }

    /// Whether the watch lags behind our own writes: `resource_version` is older than the version
    /// we wrote recently, or we removed our finalizer recently.
    pub fn is_behind(&self, resource_version: &str, now: Instant) -> bool {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < MAX_WATCH_LAG;
        if self.cleaned_up.is_some_and(is_recent) {
            return true;
        }
        let recent = self.written.as_ref().filter(|(_, at)| is_recent(*at));
        let wrote = recent.and_then(|(wrote, _)| wrote.parse::<u128>().ok());
        wrote.zip(resource_version.parse::<u128>().ok()).is_some_and(|(wrote, seen)| seen < wrote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_lags_behind_our_write_is_recognised() {
        let (mut writes, now) = (OwnWrites::default(), Instant::now());
        assert!(!writes.is_behind("9", now) && !writes.has_written());
        writes.wrote("12", now);
        assert!(writes.has_written());
        assert!(writes.is_behind("9", now));
        assert!(!writes.is_behind("12", now));
        assert!(!writes.is_behind("9", now + MAX_WATCH_LAG), "storage was restored");
        writes.cleaned_up(now);
        assert!(writes.is_behind("12", now), "the watch still has the finalizer");
        assert!(!writes.is_behind("12", now + MAX_WATCH_LAG), "storage was restored");
    }
}
