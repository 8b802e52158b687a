//! The copies that may be orphans, according to the cache.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::time::Duration;

use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::Entry;
use crate::decide::observed::NamespaceState;
use crate::decide::orphans::OrphanCandidate;
use crate::decide::orphans::OwnerState;

/// The result of live reads of syncs, by the name and the uid in the markers of their copies.
pub type Owners = HashMap<(NamespacedName, String), OwnerState>;

/// Every marked copy whose sync is not in the cache: see [`candidates_of`].
#[must_use]
pub fn candidates(cache: &Cache, owners: &Owners) -> BTreeMap<NamespacedName, OrphanCandidate> {
    let dead = cache.dead_syncs();
    dead.iter().flat_map(|sync_uid| candidates_of(cache, sync_uid, owners)).collect()
}

/// The marked copies of one sync; none if the sync is in the cache. The fields `known_for` and
/// `seen_alive` are left at their defaults: they depend on the term of the leader, which the cache does
/// not know.
#[must_use]
pub fn candidates_of(
    cache: &Cache,
    sync_uid: &str,
    owners: &Owners,
) -> BTreeMap<NamespacedName, OrphanCandidate> {
    if cache.sync_with_uid(sync_uid).is_some() {
        return BTreeMap::new();
    }
    let copies = cache.entries_of(sync_uid).into_iter();
    copies.filter_map(|(at, entry)| candidate(cache, at, entry, owners)).collect()
}

fn candidate(
    cache: &Cache,
    at: NamespacedName,
    entry: Entry,
    owners: &Owners,
) -> Option<(NamespacedName, OrphanCandidate)> {
    let markers = entry.markers?;
    let sync = markers.sync.as_deref().and_then(|sync| sync.parse::<NamespacedName>().ok());
    let owner = sync.clone().and_then(|sync| owners.get(&(sync, markers.sync_uid.clone())));
    let namespace = cache.namespace(&at.namespace).0;
    let adoptable = namespace != NamespaceState::Refused
        && sync.is_some_and(|sync| cache.syncs_referring_to(&at).contains(&sync));
    let candidate = OrphanCandidate {
        version: entry.version,
        deleting: entry.deleting,
        marker_keys: entry.marker_keys,
        managed_by: entry.managed_by,
        namespace,
        adoptable,
        seen_alive: false,
        known_for: Duration::ZERO,
        owner: owner.cloned().unwrap_or(OwnerState::Unchecked),
        pending_retry: None,
        markers,
    };
    Some((at, candidate))
}
