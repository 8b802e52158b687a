//! The syncs, and which of them refer to which names.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use kube::core::Selector;

use crate::api::namespaced_name::NamespacedName;
use crate::cache::key::Key;
use crate::cache::small_set::Few;
use crate::decide::desired::source_name;
use crate::decide::destinations::Target;
use crate::decide::observed::ObservedSync;

#[derive(Debug, Default)]
pub(super) struct Syncs {
    by_name: HashMap<Key, Kept>,
    by_uid: HashMap<Arc<str>, Key>,
    /// Who refers to a name as source or as the one destination.
    references: HashMap<Key, Few<Key>>,
    /// Who has its one destination in a namespace.
    namespaces: HashMap<Box<str>, Few<Key>>,
    /// Who has a copy of this name in every namespace that it selects.
    selecting: HashMap<Box<str>, Few<Key>>,
    list: u64,
}

#[derive(Debug)]
struct Kept {
    uid: Arc<str>,
    /// The sync as JSON: what Kubernetes says of it can be read back from no terser format.
    seen: Box<[u8]>,
    /// How it selects namespaces, if it does: asked for each namespace that changes.
    selector: Option<Box<Selector>>,
    /// The list, complete or under way, during which it was last seen.
    list: u64,
}

/// What a sync refers to.
#[derive(Debug, Default)]
struct References {
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
    pub(super) fn list_begins(&mut self) {
        self.list += 1;
    }

    /// Those that the list under way has not shown.
    pub(super) fn not_listed(&self) -> Vec<NamespacedName> {
        let unseen = self.by_name.iter().filter(|(_, kept)| kept.list != self.list);
        unseen.map(|(name, _)| name.name()).collect()
    }

    /// The uid of the sync that has the name of `sync`, if it is another.
    pub(super) fn replaced_by(&self, sync: &ObservedSync) -> Option<String> {
        let known = &self.by_name.get(&Key::from(&sync.name))?.uid;
        (**known != *sync.version.uid).then(|| known.to_string())
    }

    /// Notes a sync and what it refers to, and tells what it referred to before.
    pub(super) fn seen(&mut self, sync: &ObservedSync) -> Dropped {
        let name = Key::from(&sync.name);
        let before = self.remove(&name).map(|(_, before)| before.dropped()).unwrap_or_default();
        // A sync is plain data, which can be written down.
        let Ok(seen) = serde_json::to_vec(sync) else { return before };
        let references = References::of(sync);
        for reference in references.names() {
            add_to(&mut self.references, Key::from(reference), &name);
        }
        let mut selector = None;
        match references.target {
            Some(Target::Single(place)) => {
                add_to(&mut self.namespaces, place.namespace.into(), &name);
            }
            Some(Target::Selected { name: copy, selector: by }) => {
                add_to(&mut self.selecting, copy.into(), &name);
                selector = Some(Box::new(by));
            }
            None => {}
        }
        let uid = Arc::from(sync.version.uid.as_str());
        self.by_uid.insert(Arc::clone(&uid), name.clone());
        self.by_name.insert(name, Kept { uid, seen: seen.into(), selector, list: self.list });
        before
    }

    /// Forgets a sync: its uid, and what it referred to.
    pub(super) fn gone(&mut self, name: &NamespacedName) -> Option<(String, Dropped)> {
        let (kept, references) = self.remove(&Key::from(name))?;
        Some((kept.uid.to_string(), references.dropped()))
    }

    pub(super) fn get(&self, name: &NamespacedName) -> Option<ObservedSync> {
        self.by_name.get(&Key::from(name))?.unpack()
    }

    pub(super) fn names(&self) -> Vec<NamespacedName> {
        self.by_name.keys().map(Key::name).collect()
    }

    pub(super) fn with_uid(&self, uid: &str) -> Option<NamespacedName> {
        self.by_uid.get(uid).map(Key::name)
    }

    pub(super) fn is_alive(&self, uid: &str) -> bool {
        self.by_uid.contains_key(uid)
    }

    /// Whether a sync refers to `name`, or would if it selected its namespace.
    pub(super) fn may_refer_to(&self, name: &NamespacedName) -> bool {
        self.selecting.contains_key(name.name.as_str())
            || self.references.contains_key(&Key::from(name))
    }

    /// Who refers to `name`, where `selects` tells whether a selector selects its namespace.
    pub(super) fn referring_to(
        &self,
        name: &NamespacedName,
        selects: impl Fn(&Selector) -> bool,
    ) -> BTreeSet<NamespacedName> {
        let selecting = self.selecting.get(name.name.as_str()).into_iter().flat_map(Few::iter);
        let selecting = selecting.filter(|sync| self.selector(sync).is_some_and(&selects));
        let by_name = self.references.get(&Key::from(name)).into_iter().flat_map(Few::iter);
        by_name.chain(selecting).map(Key::name).collect()
    }

    /// Who has its one destination in `namespace`.
    pub(super) fn with_destination_in(
        &self,
        namespace: &str,
    ) -> impl Iterator<Item = NamespacedName> + '_ {
        self.namespaces.get(namespace).into_iter().flat_map(Few::iter).map(Key::name)
    }

    /// Those that select a namespace, where `selects` tells whether a selector does.
    pub(super) fn selecting(
        &self,
        selects: impl Fn(&Selector) -> bool,
    ) -> impl Iterator<Item = NamespacedName> {
        let syncs = self.selecting.values().flat_map(Few::iter);
        syncs.filter(move |sync| self.selector(sync).is_some_and(&selects)).map(Key::name)
    }

    fn selector(&self, sync: &Key) -> Option<&Selector> {
        self.by_name.get(sync)?.selector.as_deref()
    }

    fn remove(&mut self, name: &Key) -> Option<(Kept, References)> {
        let kept = self.by_name.remove(name)?;
        self.by_uid.remove(&kept.uid);
        let references = kept.unpack().as_ref().map(References::of).unwrap_or_default();
        for reference in references.names() {
            remove_from(&mut self.references, &Key::from(reference), name);
        }
        match &references.target {
            Some(Target::Single(place)) => {
                remove_from(&mut self.namespaces, place.namespace.as_str(), name);
            }
            Some(Target::Selected { name: copy, .. }) => {
                remove_from(&mut self.selecting, copy.as_str(), name);
            }
            None => {}
        }
        Some((kept, references))
    }
}

// === impl Kept ===

impl Kept {
    fn unpack(&self) -> Option<ObservedSync> {
        serde_json::from_slice(&self.seen).ok()
    }
}

// === impl References ===

impl References {
    fn of(sync: &ObservedSync) -> Self {
        let spec = sync.spec.as_ref().ok();
        Self { source: spec.map(source_name), target: spec.and_then(|spec| Target::of(spec).ok()) }
    }

    fn names(&self) -> impl Iterator<Item = &NamespacedName> {
        let place = match &self.target {
            Some(Target::Single(place)) => Some(place),
            _ => None,
        };
        self.source.iter().chain(place)
    }

    fn dropped(self) -> Dropped {
        let names = self.names().cloned().collect();
        Dropped { names, selection: matches!(self.target, Some(Target::Selected { .. })) }
    }
}

fn add_to<Of: Hash + Eq>(table: &mut HashMap<Of, Few<Key>>, of: Of, name: &Key) {
    let names = table.remove(&of);
    table.insert(of, Few::insert(names, name.clone()));
}

fn remove_from<Of, Text>(table: &mut HashMap<Of, Few<Key>>, of: &Text, name: &Key)
where
    Of: Hash + Eq + Borrow<Text>,
    Text: Hash + Eq + ?Sized,
{
    if let Some((of, names)) = table.remove_entry(of)
        && let Some(left) = names.without(name)
    {
        table.insert(of, left);
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
    use serde_json::json;

    use super::*;
    use crate::api::StoredConfigMapSync;

    fn sync(uid: &str, source: &str) -> ObservedSync {
        let stored: StoredConfigMapSync = serde_json::from_value(json!({
            "metadata": {"namespace": "team", "name": "sync", "uid": uid, "resourceVersion": "1"},
            "spec": {
                "sourceNamespace": "central",
                "configMapName": source,
                "destinationNamespace": "app",
                "destinationName": "copy",
            },
        }))
        .unwrap();
        ObservedSync::of(&stored).unwrap()
    }

    fn selecting(uid: &str) -> ObservedSync {
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
        assert_eq!(syncs.selecting(|_| true).count(), 0);
    }

    #[test]
    fn a_recreated_sync_is_known_by_its_new_uid_only() {
        let mut syncs = Syncs::default();
        syncs.seen(&sync("1", "a"));
        assert_eq!(syncs.replaced_by(&sync("1", "b")), None);
        assert_eq!(syncs.replaced_by(&sync("2", "a")).as_deref(), Some("1"));
        syncs.seen(&sync("2", "a"));
        assert_eq!(syncs.with_uid("1"), None);
        assert_eq!(syncs.with_uid("2"), Some(name()));
    }
}
