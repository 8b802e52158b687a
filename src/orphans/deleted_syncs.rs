//! Which syncs were deleted in this term, and which copies each of them left behind.
//!
//! A sync that was cleaned up leaves none. A copy that appears later with its uid is either a late
//! write by this operator, which counts as left behind, or was restored from a backup, which does
//! not: its sync may be restored next. Two properties distinguish them: a late write appears within
//! [`LATE_WRITES`], and according to `managedFields` only the operator has written it. The second
//! alone does not suffice, because backup tools restore `managedFields`, too.
//!
//! Both times, of the deletion and of the copy, are taken when the watch delivers the event, from the
//! monotonic clock of this process. The `creationTimestamp` of the copy is not used: it is on the
//! clock of the API server, on which the time of the deletion is unknown. If the watch lags, a late
//! write is mistaken for a restored copy, and waits for the grace period.

use std::collections::HashMap;
use std::collections::HashSet;
use std::time::Duration;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::api::namespaced_name::NamespacedName;
use crate::api::uid::Uid;
use crate::cache::Cache;
use crate::cache::CachedConfigMap;
use crate::decide::drift::FieldOwnership;

/// How long a write that was in flight may take to appear.
const LATE_WRITES: Duration = Duration::from_mins(1);

/// The syncs that were deleted in this term, and the requests for orphan collection.
#[derive(Debug, Default)]
pub struct DeletedSyncs {
    requests: Notify,
    deletions: Mutex<HashMap<Uid, Deletion>>,
}

#[derive(Debug)]
struct Deletion {
    at: Instant,
    /// uids of its copies at that time, and of its late writes.
    left: HashSet<Uid>,
}

// === impl DeletedSyncs ===

impl DeletedSyncs {
    /// Records the deletion of a sync that existed in this term. Requests a collection if it has
    /// left copies behind.
    pub fn record(&self, uid: &str, cache: &Cache, now: Instant) {
        // Locked first: a copy that appears meanwhile is recorded here or by `record_copy`.
        let mut deletions = self.deletions.lock();
        let copies = cache.copies_of(uid).into_iter().map(|at| cache.config_map(&at));
        let left: HashSet<_> = copies
            .filter_map(|known| match known {
                CachedConfigMap::Present(entry) => Some(Uid::from(&*entry.version.uid)),
                CachedConfigMap::Absent | CachedConfigMap::Unknown => None,
            })
            .collect();
        let has_left_copies = !left.is_empty();
        deletions.insert(Uid::from(uid), Deletion { at: now, left });
        if has_left_copies {
            self.request_collection();
        }
    }

    /// Records that the watch has delivered the `ConfigMap` at `at`. If it is a late write for a
    /// deleted sync, it is left behind, and a collection is requested.
    pub fn record_copy(&self, at: &NamespacedName, cache: &Cache, now: Instant) {
        let mut deletions = self.deletions.lock();
        if deletions.is_empty() {
            return;
        }
        let CachedConfigMap::Present(entry) = cache.config_map(at) else { return };
        let deletion = entry.sync_uid().and_then(|uid| deletions.get_mut(&Uid::from(&**uid)));
        if let Some(deletion) = deletion
            && deletion.is_recent(now)
            && matches!(entry.fields, FieldOwnership::Ours { .. })
            && deletion.left.insert(Uid::from(&*entry.version.uid))
        {
            self.request_collection();
        }
    }

    /// Whether the orphan `at` was left behind by a sync that existed in this term.
    #[must_use]
    pub fn left_behind(&self, cache: &Cache, at: &NamespacedName) -> bool {
        let CachedConfigMap::Present(entry) = cache.config_map(at) else { return false };
        let deletions = self.deletions.lock();
        let deletion = entry.sync_uid().and_then(|uid| deletions.get(&Uid::from(&**uid)));
        deletion.is_some_and(|deletion| deletion.left.contains(&Uid::from(&*entry.version.uid)))
    }

    /// Forgets old deletions, except of the syncs `with_orphans`: no late write can appear any more.
    pub fn forget_old(&self, with_orphans: &[String], now: Instant) {
        let with_orphans: HashSet<_> = with_orphans.iter().map(|it| Uid::from(&**it)).collect();
        let mut deletions = self.deletions.lock();
        deletions.retain(|uid, deletion| deletion.is_recent(now) || with_orphans.contains(uid));
    }

    /// Requests a collection.
    pub fn request_collection(&self) {
        self.requests.notify_one();
    }

    /// Waits for a request for a collection.
    pub async fn collection_requested(&self) {
        self.requests.notified().await;
    }
}

// === impl Deletion ===

impl Deletion {
    /// Whether a late write may still appear.
    fn is_recent(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) < LATE_WRITES
    }
}

#[cfg(test)]
mod tests {
    use crate::decide::drift::ConfigMapMetadata;
    use serde_json::json;

    use super::*;
    use crate::api::namespace_patterns::NamespacePatterns;
    use crate::cache::Origin;

    fn at() -> NamespacedName {
        NamespacedName::new("app", "shared")
    }

    /// A cache with one copy of the sync `s`, with this uid and written by `manager`.
    fn with_copy(uid: &str, manager: &str) -> Cache {
        let cache = Cache::new(NamespacePatterns::default());
        let metadata: ConfigMapMetadata = serde_json::from_value(json!({
            "namespace": "app",
            "name": "shared",
            "uid": uid,
            "resourceVersion": "7",
            "labels": {"apps.nishaf.info/configmapsync-uid": "s"},
            "managedFields": [{
                "manager": manager,
                "operation": "Update",
                "fieldsType": "FieldsV1",
                "fieldsV1": {"f:data": {"f:a": {}}},
            }],
        }))
        .unwrap();
        cache.apply_config_map(&metadata, Origin::Watch);
        cache
    }

    #[test]
    fn copies_known_at_the_deletion_are_left_behind() {
        let (deleted, cache) = (DeletedSyncs::default(), with_copy("1", "kubectl"));
        assert!(!deleted.left_behind(&cache, &at()));
        deleted.record("s", &cache, Instant::now());
        assert!(deleted.left_behind(&cache, &at()));
    }

    /// Whether a copy with a new uid is left behind if the watch delivers it this long after the
    /// deletion.
    fn is_left_behind(manager: &str, after: Duration) -> bool {
        let (deleted, now) = (DeletedSyncs::default(), Instant::now());
        deleted.record("s", &with_copy("1", manager), now);
        let cache = with_copy("2", manager);
        deleted.record_copy(&at(), &cache, now + after);
        deleted.left_behind(&cache, &at())
    }

    #[test]
    fn of_later_copies_only_late_writes_are_left_behind() {
        assert!(is_left_behind("configmapsync", Duration::ZERO));
        assert!(is_left_behind("configmapsync", LATE_WRITES / 2));
        assert!(!is_left_behind("configmapsync", LATE_WRITES), "restored with its managedFields");
        assert!(!is_left_behind("velero-server", Duration::ZERO), "restored");
    }

    #[test]
    fn a_late_write_stays_left_behind() {
        let (deleted, now) = (DeletedSyncs::default(), Instant::now());
        deleted.record("s", &Cache::new(NamespacePatterns::default()), now);
        let cache = with_copy("2", "configmapsync");
        deleted.record_copy(&at(), &cache, now);
        deleted.record_copy(&at(), &cache, now + 2 * LATE_WRITES);
        assert!(deleted.left_behind(&cache, &at()));
        assert!(!deleted.left_behind(&with_copy("3", "configmapsync"), &at()), "another object");
    }

    #[test]
    fn copies_of_existing_syncs_are_not_left_behind() {
        let (deleted, now) = (DeletedSyncs::default(), Instant::now());
        deleted.record("another", &Cache::new(NamespacePatterns::default()), now);
        let cache = with_copy("1", "configmapsync");
        deleted.record_copy(&at(), &cache, now);
        assert!(!deleted.left_behind(&cache, &at()));
    }

    #[test]
    fn a_deletion_is_forgotten_after_the_last_late_write() {
        let (deleted, now) = (DeletedSyncs::default(), Instant::now());
        deleted.record("s", &Cache::new(NamespacePatterns::default()), now);
        deleted.forget_old(&[], now + LATE_WRITES / 2);
        assert_eq!(deleted.deletions.lock().len(), 1);
        deleted.forget_old(&[], now + LATE_WRITES);
        assert_eq!(deleted.deletions.lock().len(), 0);
    }
}
