//! What orphan collection remembers from one run to the next, for one term.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::time::Instant;

use crate::api::namespaced_name::NamespacedName;
use crate::api::uid::Uid;
use crate::decide::orphans::OrphanCandidate;

/// What orphan collection remembers.
#[derive(Default)]
pub struct Term {
    /// When each orphan was first observed, by the uids of sync and copy.
    first_observed: HashMap<Uid, HashMap<Uid, Instant>>,
    /// Whether the brake holds.
    pub is_held: bool,
    /// The obstacle that was logged last.
    obstacle: Option<String>,
}

// === impl Term ===

impl Term {
    /// Sets how long each of the orphans of a sync has been known, zero if it is new. Forgets its other
    /// orphans.
    pub fn date(
        &mut self,
        sync_uid: &str,
        orphans: &mut BTreeMap<NamespacedName, OrphanCandidate>,
        now: Instant,
    ) {
        let sync_uid = Uid::from(sync_uid);
        let mut before = self.first_observed.remove(&sync_uid).unwrap_or_default();
        let mut dated = HashMap::with_capacity(orphans.len());
        for candidate in orphans.values_mut() {
            let copy_uid = Uid::from(&*candidate.version.uid);
            let first = before.remove(&copy_uid).unwrap_or(now);
            candidate.known_for = now.saturating_duration_since(first);
            dated.insert(copy_uid, first);
        }
        self.first_observed.insert(sync_uid, dated);
    }

    /// Logs an obstacle whenever it changes.
    pub fn log_obstacle(&mut self, why: Option<&str>) {
        if let Some(why) = why
            && self.obstacle.as_deref() != Some(why)
        {
            tracing::warn!(error = why, "cannot collect orphans; will retry");
        }
        self.obstacle = why.map(ToOwned::to_owned);
    }

    /// Forgets the orphans of all syncs but `with_orphans`. Returns the uids of those syncs.
    pub fn forget_all_but(&mut self, with_orphans: &[String]) -> Vec<String> {
        let with_orphans: HashSet<_> = with_orphans.iter().map(|it| Uid::from(&**it)).collect();
        let gone = self.first_observed.extract_if(|sync_uid, _| !with_orphans.contains(sync_uid));
        gone.map(|(sync_uid, _)| sync_uid.to_string()).collect()
    }
}
