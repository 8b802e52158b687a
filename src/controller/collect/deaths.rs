//! Which syncs have died in this term, and what each has left behind.
//!
//! A sync that was cleaned up leaves nothing. What bears its uid later is either a write of ours
//! that was under way when it died, or was restored by somebody: the one is left behind too, and
//! the other is not, since its sync may be restored next. Who wrote it tells them apart.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;
use std::time::Instant;

use tokio::sync::Notify;

use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::CachedConfigMap;
use crate::decide::drift::FieldOwnership;
use crate::decide::orphans::OrphanCandidate;

/// How long a write that was under way may take to show up.
const LATE_WRITES: Duration = Duration::from_hours(1);

/// What wakes the sweep, and what it has to know of the past.
#[derive(Debug, Default)]
pub struct Sweeper {
    woken: Notify,
    deaths: Mutex<HashMap<String, Death>>,
}

#[derive(Debug)]
struct Death {
    at: Instant,
    /// uids of the copies that were there.
    left: HashSet<String>,
}

// === impl Sweeper ===

impl Sweeper {
    /// The sync with this uid, which was alive in this term, is no more. If copies of it are
    /// left, the sweep is woken.
    pub fn sync_died(&self, uid: &str, cache: &Cache, now: Instant) {
        let copies = cache.copies_of(uid).into_iter().map(|at| cache.config_map(&at));
        let left: HashSet<_> = copies
            .filter_map(|known| match known {
                CachedConfigMap::Present(entry) => Some(entry.version.uid),
                CachedConfigMap::Absent | CachedConfigMap::Unknown => None,
            })
            .collect();
        let is_needed = !left.is_empty();
        self.lock().insert(uid.to_owned(), Death { at: now, left });
        if is_needed {
            self.wake();
        }
    }

    /// Whether the orphan at `at` was left behind by a sync that was alive in this term.
    #[must_use]
    pub fn left_behind(&self, cache: &Cache, at: &NamespacedName) -> bool {
        let CachedConfigMap::Present(entry) = cache.config_map(at) else { return false };
        let deaths = self.lock();
        let death = entry.markers.as_ref().and_then(|markers| deaths.get(&markers.sync_uid));
        let is_our_write = matches!(entry.fields, FieldOwnership::Ours { .. });
        death.is_some_and(|death| is_our_write || death.left.contains(&entry.version.uid))
    }

    /// Forgets deaths that can no longer leave anything behind.
    pub fn forget_old(&self, orphans: &BTreeMap<NamespacedName, OrphanCandidate>, now: Instant) {
        let mut deaths = self.lock();
        if deaths.is_empty() {
            return;
        }
        let orphaned: HashSet<_> =
            orphans.values().map(|it| it.markers.sync_uid.as_str()).collect();
        deaths.retain(|uid, death| {
            let is_recent = now.saturating_duration_since(death.at) < LATE_WRITES;
            is_recent || orphaned.contains(uid.as_str())
        });
    }

    /// Asks for a look.
    pub fn wake(&self) {
        self.woken.notify_one();
    }

    /// Resolves when a look is asked for.
    pub async fn woken(&self) {
        self.woken.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Death>> {
        self.deaths.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// An cache with one copy with this uid, written by `manager`, of the sync `s`.
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
    fn what_was_there_when_a_sync_died_is_left_behind_whoever_wrote_it() {
        let (sweeper, cache) = (Sweeper::default(), with_copy("1", "somebody"));
        assert!(!sweeper.left_behind(&cache, &at()));
        sweeper.sync_died("s", &cache, Instant::now());
        assert!(sweeper.left_behind(&cache, &at()));
    }

    #[test]
    fn of_what_shows_up_later_only_our_own_writes_are_left_behind() {
        let sweeper = Sweeper::default();
        sweeper.sync_died("s", &Cache::new([].into()), Instant::now());
        assert!(!sweeper.left_behind(&with_copy("2", "velero-server"), &at()), "restored");
        assert!(sweeper.left_behind(&with_copy("2", "configmapsync"), &at()), "a late write");
    }

    #[test]
    fn a_death_is_forgotten_once_no_late_write_can_come() {
        let (sweeper, now) = (Sweeper::default(), Instant::now());
        sweeper.sync_died("s", &Cache::new([].into()), now);
        sweeper.forget_old(&BTreeMap::new(), now + LATE_WRITES / 2);
        assert_eq!(sweeper.lock().len(), 1);
        sweeper.forget_old(&BTreeMap::new(), now + LATE_WRITES);
        assert_eq!(sweeper.lock().len(), 0);
    }
}
