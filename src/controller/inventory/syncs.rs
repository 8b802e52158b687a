//! Which sync refers to which names.

use std::collections::BTreeSet;
use std::collections::HashMap;

use crate::api::StoredConfigMapSync;
use crate::decide::desired::destinations;
use crate::decide::desired::source_name;
use crate::names::NamespacedName;

#[derive(Debug, Default)]
pub(super) struct Syncs {
    by_name: HashMap<NamespacedName, Kept>,
    by_uid: HashMap<String, NamespacedName>,
    /// Who refers to a name as source or as destination.
    references: HashMap<NamespacedName, BTreeSet<NamespacedName>>,
    /// Who has a destination in a namespace.
    namespaces: HashMap<String, BTreeSet<NamespacedName>>,
}

#[derive(Debug, Default)]
struct Kept {
    uid: String,
    references: BTreeSet<NamespacedName>,
    namespaces: BTreeSet<String>,
}

// === impl Syncs ===

impl Syncs {
    /// The uid of the sync that has the name of `sync`, if it is another.
    pub(super) fn replaced_by(&self, sync: &StoredConfigMapSync) -> Option<String> {
        let known = &self.by_name.get(&sync.namespaced_name()?)?.uid;
        (Some(known) != sync.metadata.uid.as_ref()).then(|| known.clone())
    }

    /// Notes what a sync refers to. Returns the names that it referred to before and no longer
    /// does.
    pub(super) fn seen(&mut self, sync: &StoredConfigMapSync) -> Vec<NamespacedName> {
        let Some(name) = sync.namespaced_name() else { return Vec::new() };
        let kept = Kept::of(sync);
        let before = self.remove(&name).unwrap_or_default();
        self.by_uid.insert(kept.uid.clone(), name.clone());
        for reference in &kept.references {
            self.references.entry(reference.clone()).or_default().insert(name.clone());
        }
        for namespace in &kept.namespaces {
            self.namespaces.entry(namespace.clone()).or_default().insert(name.clone());
        }
        let dropped = before.references.difference(&kept.references).cloned().collect();
        self.by_name.insert(name, kept);
        dropped
    }

    /// Forgets a sync: its uid, and the names that it referred to.
    pub(super) fn gone(&mut self, name: &NamespacedName) -> Option<(String, Vec<NamespacedName>)> {
        let kept = self.remove(name)?;
        Some((kept.uid, kept.references.into_iter().collect()))
    }

    pub(super) fn names(&self) -> Vec<NamespacedName> {
        self.by_name.keys().cloned().collect()
    }

    pub(super) fn with_uid(&self, uid: &str) -> Option<&NamespacedName> {
        self.by_uid.get(uid)
    }

    pub(super) fn refers_to(&self, name: &NamespacedName) -> bool {
        self.references.contains_key(name)
    }

    pub(super) fn referring_to(&self, name: &NamespacedName) -> Vec<NamespacedName> {
        self.references.get(name).into_iter().flatten().cloned().collect()
    }

    pub(super) fn with_destination_in(
        &self,
        namespace: &str,
    ) -> impl Iterator<Item = NamespacedName> + '_ {
        self.namespaces.get(namespace).into_iter().flatten().cloned()
    }

    fn remove(&mut self, name: &NamespacedName) -> Option<Kept> {
        let kept = self.by_name.remove(name)?;
        self.by_uid.remove(&kept.uid);
        for reference in &kept.references {
            remove_from(&mut self.references, reference, name);
        }
        for namespace in &kept.namespaces {
            remove_from(&mut self.namespaces, namespace, name);
        }
        Some(kept)
    }
}

// === impl Kept ===

impl Kept {
    fn of(sync: &StoredConfigMapSync) -> Self {
        let destinations = destinations(&sync.spec).unwrap_or_default();
        let namespaces = destinations.iter().map(|at| at.namespace.clone()).collect();
        let mut references = destinations;
        references.extend(sync.spec.as_ref().ok().map(source_name));
        Self { uid: sync.metadata.uid.clone().unwrap_or_default(), references, namespaces }
    }
}

fn remove_from<Key: std::hash::Hash + Eq>(
    map: &mut HashMap<Key, BTreeSet<NamespacedName>>,
    key: &Key,
    name: &NamespacedName,
) {
    if let Some(names) = map.get_mut(key) {
        names.remove(name);
        if names.is_empty() {
            map.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sync(uid: &str, source: &str) -> StoredConfigMapSync {
        serde_json::from_value(json!({
            "metadata": {"namespace": "team", "name": "sync", "uid": uid},
            "spec": {
                "sourceNamespace": "central",
                "configMapName": source,
                "destinationNamespace": "app",
                "destinationName": "copy",
            },
        }))
        .unwrap()
    }

    fn name() -> NamespacedName {
        NamespacedName::new("team", "sync")
    }

    #[test]
    fn source_and_destination_are_referred_to() {
        let mut syncs = Syncs::default();
        syncs.seen(&sync("1", "a"));
        assert_eq!(syncs.referring_to(&NamespacedName::new("central", "a")), [name()]);
        assert_eq!(syncs.referring_to(&NamespacedName::new("app", "copy")), [name()]);
        assert_eq!(syncs.with_destination_in("app").collect::<Vec<_>>(), [name()]);
    }

    #[test]
    fn a_changed_sync_drops_what_it_no_longer_refers_to() {
        let mut syncs = Syncs::default();
        syncs.seen(&sync("1", "a"));
        assert_eq!(syncs.seen(&sync("1", "b")), [NamespacedName::new("central", "a")]);
        assert!(!syncs.refers_to(&NamespacedName::new("central", "a")));
    }

    #[test]
    fn a_recreated_sync_is_known_by_its_new_uid_only() {
        let mut syncs = Syncs::default();
        syncs.seen(&sync("1", "a"));
        assert_eq!(syncs.replaced_by(&sync("1", "b")), None);
        assert_eq!(syncs.replaced_by(&sync("2", "a")).as_deref(), Some("1"));
        syncs.seen(&sync("2", "a"));
        assert_eq!(syncs.with_uid("1"), None);
        assert_eq!(syncs.with_uid("2"), Some(&name()));
    }
}
