//! From a change in the cluster to the syncs that it affects: pure functions over the cache.

use std::collections::BTreeSet;

use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::ConfigMapChange;
use crate::cache::NamespaceChange;

/// The syncs affected by a change of a `ConfigMap`: those that refer to its name as source or
/// destination, and those whose uid its ownership markers had before or have now, except for the
/// sync that caused the change.
pub fn by_config_map(change: &ConfigMapChange, cache: &Cache) -> BTreeSet<NamespacedName> {
    let owners = change.sync_uids.iter().filter_map(|uid| cache.sync_with_uid(uid));
    let mut syncs: BTreeSet<_> =
        cache.syncs_referring_to(&change.at).into_iter().chain(owners).collect();
    if let Some(cause) = change.caused_by.as_ref().and_then(|uid| cache.sync_with_uid(uid)) {
        syncs.remove(&cause);
    }
    syncs
}

/// The syncs affected by a change of a namespace: those whose selection it joins or leaves, and, if
/// more than its labels changed, all syncs with a destination or a copy in it.
pub fn by_namespace(change: &NamespaceChange, cache: &Cache) -> BTreeSet<NamespacedName> {
    let before = cache.syncs_selecting(&change.name, change.before.as_ref());
    let after = cache.syncs_selecting(&change.name, change.after.as_ref());
    let possible = cache.syncs_with_unknown_selection();
    if change.is_of_labels_only() {
        return before.symmetric_difference(&after).cloned().chain(possible).collect();
    }
    let affected = cache.syncs_affected_by_namespace(&change.name);
    before.into_iter().chain(after).chain(affected).chain(possible).collect()
}
