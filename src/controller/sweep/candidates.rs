//! Which copies may be orphans, as the inventory knows them.

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::time::Duration;

use crate::controller::inventory::Entry;
use crate::controller::inventory::Inventory;
use crate::decide::sweep::Candidate;
use crate::decide::sweep::Owner;
use crate::names::NamespacedName;

/// What live looks at syncs found, by the name and the uid in the marks of their copies.
pub type Owners = HashMap<(NamespacedName, String), Owner>;

/// Every marked copy whose sync is not among the living. How long it is known, and whether its
/// sync was seen alive, the inventory cannot tell.
#[must_use]
pub fn candidates(inventory: &Inventory, owners: &Owners) -> BTreeMap<NamespacedName, Candidate> {
    let candidate = |(at, entry): (NamespacedName, Entry)| {
        let marks = entry.marks?;
        let sync = marks.sync.as_deref().and_then(|sync| sync.parse::<NamespacedName>().ok());
        let owner = sync.clone().and_then(|sync| owners.get(&(sync, marks.sync_uid.clone())));
        let adoptable = sync.is_some_and(|sync| inventory.syncs_referring_to(&at).contains(&sync));
        let candidate = Candidate {
            version: entry.version,
            deleting: entry.deleting,
            managed_by: entry.managed_by,
            namespace: inventory.namespace(&at.namespace).0,
            adoptable,
            seen_alive: false,
            known_for: Duration::ZERO,
            owner: owner.cloned().unwrap_or(Owner::Unasked),
            held: None,
            marks,
        };
        Some((at, candidate))
    };
    inventory.orphans().into_iter().filter_map(candidate).collect()
}
