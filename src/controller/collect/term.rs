//! What orphan collection remembers from one run to the next, for one term.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::collections::HashSet;
use std::time::Duration;
use std::time::Instant;

use crate::api::namespaced_name::NamespacedName;
use crate::decide::orphans::OrphanCandidate;

/// What orphan collection remembers.
#[derive(Default)]
pub struct Term {
    /// When each orphan was first observed, by the uids of copy and sync.
    first_observed: HashMap<(String, String), Instant>,
    /// Whether the brake holds.
    pub is_held: bool,
    /// The obstacle that was logged last.
    obstacle: Option<String>,
}

// === impl Term ===

impl Term {
    /// How long this orphan has been known; zero if it is new.
    pub fn known_for(&mut self, copy_uid: &str, sync_uid: &str, now: Instant) -> Duration {
        let key = (copy_uid.to_owned(), sync_uid.to_owned());
        now.saturating_duration_since(*self.first_observed.entry(key).or_insert(now))
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

    /// Forgets all but `orphans`. Returns the uids of syncs that no longer have any.
    pub fn forget_all_but(
        &mut self,
        orphans: &BTreeMap<NamespacedName, OrphanCandidate>,
    ) -> HashSet<String> {
        let uids: HashSet<_> = orphans
            .values()
            .map(|it| (it.version.uid.as_str(), it.markers.sync_uid.as_str()))
            .collect();
        let syncs: HashSet<_> = uids.iter().map(|(_, sync)| *sync).collect();
        let known = self.first_observed.keys().map(|(_, sync)| sync);
        let gone = known.filter(|sync| !syncs.contains(sync.as_str())).cloned().collect();
        self.first_observed
            .retain(|(copy, sync), _| uids.contains(&(copy.as_str(), sync.as_str())));
        gone
    }
}
