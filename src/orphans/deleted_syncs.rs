//! Which syncs were deleted in this term, and which copies each of them left behind.
//!
//! A sync that was cleaned up leaves none. A copy that appears later with its uid is either a late
//! write by this operator, which counts as left behind, or was restored from a backup, which does
//! not: its sync may be restored next. Field ownership distinguishes the two.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::time::Duration;
use std::time::Instant;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::CachedConfigMap;
use crate::decide::drift::FieldOwnership;
use crate::decide::orphans::OrphanCandidate;

/// How long a write that was in flight may take to appear.
const LATE_WRITES: Duration = Duration::from_hours(1);

/// The syncs that were deleted in this term, and the requests for orphan collection.
#[derive(Debug, Default)]
pub struct DeletedSyncs {
    requests: Notify,
    deletions: Mutex<HashMap<String, Deletion>>,
}

#[derive(Debug)]
struct Deletion {
    at: Instant,
    /// uids of its copies at that time.
    left: HashSet<String>,
}

// === impl DeletedSyncs ===

impl DeletedSyncs {
    /// Records the deletion of a sync that existed in this term. Requests a collection if it has
    /// left copies behind.
    pub fn record(&self, uid: &str, cache: &Cache, now: Instant) {
        let copies = cache.copies_of(uid).into_iter().map(|at| cache.config_map(&at));
        let left: HashSet<_> = copies
            .filter_map(|known| match known {
                CachedConfigMap::Present(entry) => Some(entry.version.uid),
                CachedConfigMap::Absent | CachedConfigMap::Unknown => None,
            })
            .collect();
        let has_left_copies = !left.is_empty();
        self.deletions.lock().insert(uid.to_owned(), Deletion { at: now, left });
        if has_left_copies {
            self.request_collection();
        }
    }

    /// Whether the orphan `at` was left behind by a sync that existed in this term.
    #[must_use]
    pub fn left_behind(&self, cache: &Cache, at: &NamespacedName) -> bool {
        let CachedConfigMap::Present(entry) = cache.config_map(at) else { return false };
        let deletions = self.deletions.lock();
        let deletion = entry.markers.as_ref().and_then(|markers| deletions.get(&markers.sync_uid));
        let is_our_write = matches!(entry.fields, FieldOwnership::Ours { .. });
        deletion.is_some_and(|it| is_our_write || it.left.contains(&entry.version.uid))
    }

    /// Forgets old deletions without orphans: no late write can appear any more.
    pub fn forget_old(&self, orphans: &BTreeMap<NamespacedName, OrphanCandidate>, now: Instant) {
        let mut deletions = self.deletions.lock();
        if deletions.is_empty() {
            return;
        }
        let orphaned: HashSet<_> =
            orphans.values().map(|it| it.markers.sync_uid.as_str()).collect();
        deletions.retain(|uid, deletion| {
            let is_recent = now.saturating_duration_since(deletion.at) < LATE_WRITES;
            is_recent || orphaned.contains(uid.as_str())
        });
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

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
    use serde_json::json;

    use super::*;
    use crate::cache::Origin;

    fn at() -> NamespacedName {
        NamespacedName::new("app", "shared")
    }

    /// A cache with one copy of the sync `s`, with this uid and written by `manager`.
    fn with_copy(uid: &str, manager: &str) -> Cache {
        let cache = Cache::new([].into());
        let metadata: ObjectMeta = serde_json::from_value(json!({
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

    #[test]
    fn of_later_copies_only_our_writes_are_left_behind() {
        let deleted = DeletedSyncs::default();
        deleted.record("s", &Cache::new([].into()), Instant::now());
        assert!(!deleted.left_behind(&with_copy("2", "velero-server"), &at()), "restored");
        assert!(deleted.left_behind(&with_copy("2", "configmapsync"), &at()), "a late write");
    }

    #[test]
    fn a_deletion_is_forgotten_after_the_last_late_write() {
        let (deleted, now) = (DeletedSyncs::default(), Instant::now());
        deleted.record("s", &Cache::new([].into()), now);
        deleted.forget_old(&BTreeMap::new(), now + LATE_WRITES / 2);
        assert_eq!(deleted.deletions.lock().len(), 1);
        deleted.forget_old(&BTreeMap::new(), now + LATE_WRITES);
        assert_eq!(deleted.deletions.lock().len(), 0);
    }
}
