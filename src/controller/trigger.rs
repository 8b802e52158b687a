//! What wakes us: from an event to the syncs that it concerns.
//!
//! Pure mappings over the cache. Whoever is woken does not learn why.

use std::collections::BTreeSet;

use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::ConfigMapChange;
use crate::cache::NamespaceChange;

/// A `ConfigMap` changed, showed up or went away: it concerns the syncs that refer to its name
/// as source or as destination, and those that its markers named before and name now; not the one
/// that did it.
#[must_use]
pub fn by_config_map(change: &ConfigMapChange, cache: &Cache) -> BTreeSet<NamespacedName> {
    let owners = change.sync_uids.iter().filter_map(|uid| cache.sync_with_uid(uid));
    let mut syncs: BTreeSet<_> =
        cache.syncs_referring_to(&change.at).into_iter().chain(owners).collect();
    if let Some(knows) = change.caused_by.as_ref().and_then(|uid| cache.sync_with_uid(uid)) {
        syncs.remove(&knows);
    }
    syncs
}

/// A namespace changed, showed up or went away: it concerns the syncs that it joins and those it
/// leaves, and, if more than its labels has changed, all that have a destination or a copy in it.
#[must_use]
pub fn by_namespace(change: &NamespaceChange, cache: &Cache) -> BTreeSet<NamespacedName> {
    let before = cache.syncs_selecting(&change.name, change.before.as_ref());
    let after = cache.syncs_selecting(&change.name, change.after.as_ref());
    if change.is_of_labels_only() {
        return before.symmetric_difference(&after).cloned().collect();
    }
    let reaching = cache.syncs_affected_by_namespace(&change.name);
    before.into_iter().chain(after).chain(reaching).collect()
}
