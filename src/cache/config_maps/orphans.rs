//! Which marked copies have no sync.

use crate::api::namespaced_name::NamespacedName;
use crate::cache::config_maps::ConfigMaps;
use crate::cache::config_maps::Entry;

// === impl ConfigMaps ===

impl ConfigMaps {
    /// What carries a uid that is not among the living. Costs a look at each uid, not at each copy.
    pub fn orphans(&self, is_alive: impl Fn(&str) -> bool) -> Vec<(NamespacedName, Entry)> {
        let dead = self.by_sync.iter().filter(|(uid, _)| !is_alive(uid));
        dead.flat_map(|(_, places)| places.iter())
            .filter_map(|at| Some((at.name(), self.entry(at)?)))
            .collect()
    }
}
