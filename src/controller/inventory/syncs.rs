//! Which sync refers to which names.

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::hash::Hash;

use kube::core::Selector;

use crate::api::StoredConfigMapSync;
use crate::controller::inventory::few::Few;
use crate::decide::desired::source_name;
use crate::decide::destinations::Target;
use crate::names::NamespacedName;

#[derive(Debug, Default)]
pub(super) struct Syncs {
    /// Boxed: a table has many slots that are empty.
    by_name: HashMap<NamespacedName, Box<Kept>>,
    by_uid: HashMap<String, NamespacedName>,
    /// Who refers to a name as source or as the one destination.
    references: HashMap<NamespacedName, Few<NamespacedName>>,
    /// Who has its one destination in a namespace.
    namespaces: HashMap<String, Few<NamespacedName>>,
    /// Who has a copy of this name in every namespace that it selects.
    selecting: HashMap<String, Few<NamespacedName>>,
}

#[derive(Debug)]
struct Kept {
    uid: String,
    source: Option<NamespacedName>,
    target: Option<Target>,
}

/// What a sync no longer refers to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Single names.
    pub(super) names: Vec<NamespacedName>,
    /// It selected namespaces: any name may be meant.
    pub(super) selection: bool,
}

// === impl Syncs ===

impl Syncs {
    /// The uid of the sync that has the name of `sync`, if it is another.
    pub(super) fn replaced_by(&self, sync: &StoredConfigMapSync) -> Option<String> {
        let known = &self.by_name.get(&sync.namespaced_name()?)?.uid;
        (Some(known) != sync.metadata.uid.as_ref()).then(|| known.clone())
    }

    /// Notes what a sync refers to, and tells what it referred to before.
    pub(super) fn seen(&mut self, sync: &StoredConfigMapSync) -> Dropped {
        let Some(name) = sync.namespaced_name() else { return Dropped::default() };
        let kept = Box::new(Kept::of(sync));
        let before = self.remove(&name);
        self.by_uid.insert(kept.uid.clone(), name.clone());
        for reference in kept.references() {
            add_to(&mut self.references, reference, &name);
        }
        match &kept.target {
            Some(Target::Place(place)) => {
                add_to(&mut self.namespaces, &place.namespace, &name);
            }
            Some(Target::Selected { name: copy, .. }) => {
                add_to(&mut self.selecting, copy, &name);
            }
            None => {}
        }
        self.by_name.insert(name, kept);
        before.map(|before| before.dropped()).unwrap_or_default()
    }

    /// Forgets a sync: its uid, and what it referred to.
    pub(super) fn gone(&mut self, name: &NamespacedName) -> Option<(String, Dropped)> {
        let kept = self.remove(name)?;
        Some((kept.uid.clone(), kept.dropped()))
    }

    pub(super) fn names(&self) -> Vec<NamespacedName> {
        self.by_name.keys().cloned().collect()
    }

    pub(super) fn with_uid(&self, uid: &str) -> Option<&NamespacedName> {
        self.by_uid.get(uid)
    }

    /// Whether a sync refers to `name`, or would if it selected its namespace.
    pub(super) fn may_refer_to(&self, name: &NamespacedName) -> bool {
        self.references.contains_key(name) || self.selecting.contains_key(&name.name)
    }

    /// Who refers to `name`, where `selects` tells whether a selector selects its namespace.
    pub(super) fn referring_to(
        &self,
        name: &NamespacedName,
        selects: impl Fn(&Selector) -> bool,
    ) -> BTreeSet<NamespacedName> {
        let selecting = self.selecting.get(&name.name).into_iter().flat_map(Few::iter);
        let selecting = selecting.filter(|sync| self.selector(sync).is_some_and(&selects));
        let by_name = self.references.get(name).into_iter().flat_map(Few::iter);
        by_name.chain(selecting).cloned().collect()
    }

    /// Who has its one destination in `namespace`.
    pub(super) fn with_destination_in(
        &self,
        namespace: &str,
    ) -> impl Iterator<Item = NamespacedName> + '_ {
        self.namespaces.get(namespace).into_iter().flat_map(Few::iter).cloned()
    }

    /// Who selects namespaces by labels, and how.
    pub(super) fn selectors(&self) -> impl Iterator<Item = (&NamespacedName, &Selector)> {
        let syncs = self.selecting.values().flat_map(Few::iter);
        syncs.filter_map(|sync| Some((sync, self.selector(sync)?)))
    }

    fn selector(&self, sync: &NamespacedName) -> Option<&Selector> {
        match self.by_name.get(sync)?.target.as_ref()? {
            Target::Selected { selector, .. } => Some(selector),
            Target::Place(_) => None,
        }
    }

    fn remove(&mut self, name: &NamespacedName) -> Option<Box<Kept>> {
        let kept = self.by_name.remove(name)?;
        self.by_uid.remove(&kept.uid);
        for reference in kept.references() {
            remove_from(&mut self.references, reference, name);
        }
        match &kept.target {
            Some(Target::Place(place)) => {
                remove_from(&mut self.namespaces, &place.namespace, name);
            }
            Some(Target::Selected { name: copy, .. }) => {
                remove_from(&mut self.selecting, copy, name);
            }
            None => {}
        }
        Some(kept)
    }
}

// === impl Kept ===

impl Kept {
    fn of(sync: &StoredConfigMapSync) -> Self {
        let spec = sync.spec.as_ref().ok();
        Self {
            uid: sync.metadata.uid.clone().unwrap_or_default(),
            source: spec.map(source_name),
            target: spec.and_then(|spec| Target::of(spec).ok()),
        }
    }

    fn references(&self) -> impl Iterator<Item = &NamespacedName> {
        let place = match &self.target {
            Some(Target::Place(place)) => Some(place),
            _ => None,
        };
        self.source.iter().chain(place)
    }

    fn dropped(self) -> Dropped {
        let names = self.references().cloned().collect();
        Dropped { names, selection: matches!(self.target, Some(Target::Selected { .. })) }
    }
}

fn add_to<Key: Hash + Eq + Clone>(
    map: &mut HashMap<Key, Few<NamespacedName>>,
    key: &Key,
    name: &NamespacedName,
) {
    let names = map.remove(key);
    map.insert(key.clone(), Few::insert(names, name.clone()));
}

fn remove_from<Key: Hash + Eq + Clone>(
    map: &mut HashMap<Key, Few<NamespacedName>>,
    key: &Key,
    name: &NamespacedName,
) {
    if let Some(left) = map.remove(key).and_then(|names| names.without(name)) {
        map.insert(key.clone(), left);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
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

    fn selecting(uid: &str) -> StoredConfigMapSync {
        let mut sync = sync(uid, "a");
        let spec = sync.spec.as_mut().unwrap();
        spec.destination_namespace = None;
        spec.destination_namespace_selector = Some(LabelSelector::default());
        sync
    }

    fn refers_to(syncs: &Syncs, at: &NamespacedName) -> bool {
        !syncs.referring_to(at, |_| false).is_empty()
    }

    fn name() -> NamespacedName {
        NamespacedName::new("team", "sync")
    }

    #[test]
    fn source_and_destination_are_referred_to() {
        let mut syncs = Syncs::default();
        syncs.seen(&sync("1", "a"));
        assert!(refers_to(&syncs, &NamespacedName::new("central", "a")));
        assert!(refers_to(&syncs, &NamespacedName::new("app", "copy")));
        assert_eq!(syncs.with_destination_in("app").collect::<Vec<_>>(), [name()]);
    }

    #[test]
    fn a_changed_sync_drops_what_it_no_longer_refers_to() {
        let mut syncs = Syncs::default();
        syncs.seen(&sync("1", "a"));
        let source = NamespacedName::new("central", "a");
        assert!(syncs.seen(&sync("1", "b")).names.contains(&source));
        assert!(!syncs.may_refer_to(&source));
    }

    #[test]
    fn a_selecting_sync_refers_to_its_copies_in_the_namespaces_that_it_selects() {
        let mut syncs = Syncs::default();
        syncs.seen(&selecting("1"));
        let copy = NamespacedName::new("anywhere", "copy");
        assert!(syncs.may_refer_to(&copy));
        assert_eq!(syncs.referring_to(&copy, |_| true), BTreeSet::from([name()]));
        assert!(syncs.referring_to(&copy, |_| false).is_empty());
        assert!(syncs.gone(&name()).unwrap().1.selection);
        assert!(!syncs.may_refer_to(&copy));
        assert_eq!(syncs.selectors().count(), 0);
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
