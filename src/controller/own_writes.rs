//! The last version of each sync that we wrote, to recognise a watch that lags behind it.
//!
//! The time is an argument. Losing this state costs a conflict, never a wrong write.

use std::collections::HashMap;
use std::time::Duration;
use std::time::Instant;

use parking_lot::Mutex;

/// How long the watch may lag behind our own write. After that even an older version is accepted:
/// storage may have been restored from a backup.
const MAX_WATCH_LAG: Duration = Duration::from_secs(30);

/// Our latest write to each sync, by uid.
#[derive(Debug, Default)]
pub struct OwnWrites {
    syncs: Mutex<HashMap<Box<str>, Latest>>,
}

#[derive(Debug, Default)]
struct Latest {
    /// The resulting resourceVersion.
    written: Option<(Box<str>, Instant)>,
    cleaned_up: Option<Instant>,
}

// === impl OwnWrites ===

impl OwnWrites {
    /// Starts tracking a sync, until [`OwnWrites::forget`].
    pub fn track(&self, sync_uid: &str) {
        self.syncs.lock().entry(sync_uid.into()).or_default();
    }

    /// Records a write of the sync itself that resulted in `resource_version`.
    pub fn wrote(&self, sync_uid: &str, resource_version: String, now: Instant) {
        let written = Some((resource_version.into(), now));
        self.syncs.lock().entry(sync_uid.into()).or_default().written = written;
    }

    /// Records the removal of our finalizer. Ignored for a sync that is not tracked: its deletion
    /// was delivered already, so nothing would remove the entry.
    pub fn cleaned_up(&self, sync_uid: &str, now: Instant) {
        if let Some(latest) = self.syncs.lock().get_mut(sync_uid) {
            *latest = Latest { cleaned_up: Some(now), written: None };
        }
    }

    /// Whether the watch lags behind our own writes: `resource_version` is older than the version
    /// we wrote recently, or we removed our finalizer recently.
    pub fn is_behind(&self, sync_uid: &str, resource_version: &str, now: Instant) -> bool {
        let syncs = self.syncs.lock();
        let Some(latest) = syncs.get(sync_uid) else { return false };
        let is_recent = |at: Instant| now.saturating_duration_since(at) < MAX_WATCH_LAG;
        if latest.cleaned_up.is_some_and(is_recent) {
            return true;
        }
        let recent = latest.written.as_ref().filter(|(_, at)| is_recent(*at));
        let wrote = recent.and_then(|(wrote, _)| wrote.parse::<u128>().ok());
        wrote.zip(resource_version.parse::<u128>().ok()).is_some_and(|(wrote, seen)| seen < wrote)
    }

    /// Forgets a sync that no longer exists.
    pub fn forget(&self, sync_uid: &str) {
        self.syncs.lock().remove(sync_uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_that_lags_behind_our_write_is_recognised() {
        let writes = OwnWrites::default();
        let now = Instant::now();
        writes.wrote("s", "12".into(), now);
        assert!(writes.is_behind("s", "9", now));
        assert!(!writes.is_behind("s", "12", now));
        assert!(!writes.is_behind("t", "9", now));
        assert!(!writes.is_behind("s", "9", now + MAX_WATCH_LAG), "storage was restored");
        writes.cleaned_up("s", now);
        assert!(writes.is_behind("s", "12", now), "the watch still has the finalizer");
        assert!(!writes.is_behind("s", "12", now + MAX_WATCH_LAG), "storage was restored");
        writes.forget("s");
        writes.cleaned_up("s", now);
        assert!(!writes.is_behind("s", "12", now), "a deleted sync must leave no entry");
    }

    #[test]
    fn a_tracked_sync_remembers_its_cleanup() {
        let (writes, now) = (OwnWrites::default(), Instant::now());
        writes.track("s");
        assert!(!writes.is_behind("s", "12", now));
        writes.cleaned_up("s", now);
        assert!(writes.is_behind("s", "12", now));
    }
}
