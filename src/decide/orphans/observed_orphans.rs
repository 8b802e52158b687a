//! What orphan collection decides on.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::api::namespaced_name::NamespacedName;
use crate::decide::orphans::candidate::CollectionMode;
use crate::decide::orphans::candidate::OrphanCandidate;
use crate::decide::orphans::census::Census;
use crate::decide::text::MAX_TEXT;
use crate::decide::text::cut;

/// The input of orphan collection.
#[derive(Clone, Debug)]
pub struct ObservedOrphans {
    /// The copies whose `ConfigMapSync` is not in the cache: all of them, or some.
    pub candidates: BTreeMap<NamespacedName, OrphanCandidate>,
    /// The census of all of them.
    pub census: Census,
    /// The number of objects with the uid label, orphans or not.
    pub marked_copies: usize,
    /// Who requested the collection.
    pub mode: CollectionMode,
}

// === impl ObservedOrphans ===

impl ObservedOrphans {
    /// All candidates.
    #[must_use]
    pub fn all(
        candidates: BTreeMap<NamespacedName, OrphanCandidate>,
        marked_copies: usize,
        mode: CollectionMode,
    ) -> Self {
        let census = Census::of(&candidates, mode);
        Self { candidates, census, marked_copies, mode }
    }

    /// The names of the syncs of the candidates `due`, sorted and without duplicates, as one text
    /// of limited length.
    pub fn sync_names<'a>(&self, due: impl Iterator<Item = &'a NamespacedName>) -> String {
        let syncs: BTreeSet<_> =
            due.filter_map(|at| self.candidates.get(at)?.markers.sync.as_deref()).collect();
        cut(MAX_TEXT, &syncs.into_iter().collect::<Vec<_>>().join(", "))
    }
}
