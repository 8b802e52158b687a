//! The syncs, and an index of the names that they refer to.

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use kube::core::Selector;

use crate::api::namespaced_name::NamespacedName;
use crate::cache::key::Key;
use crate::cache::lists::Lists;
use crate::cache::small_set::Few;
use crate::decide::desired::source_name;
use crate::decide::destinations::Target;
use crate::decide::observed::ObservedSync;

#[derive(Debug, Default)]
pub(super) struct Syncs {
    by_name: HashMap<Key, CachedSync>,
    by_uid: HashMap<Arc<str>, Key>,
    /// The syncs that refer to a name as source or as named destination.
    references: HashMap<Key, Few<Key>>,
    /// The syncs whose named destination is in a namespace.
    namespaces: HashMap<Box<str>, Few<Key>>,
    /// The syncs with a selector, by the name of their copies.
    selecting: HashMap<Box<str>, Few<Key>>,
    lists: Lists,
}

#[derive(Debug)]
struct CachedSync {
    uid: Arc<str>,
    /// The sync as JSON: label selectors cannot be deserialized from a binary format.
    json: Box<[u8]>,
    /// Its namespace selector, if it has one: parsed once, evaluated for each changed namespace.
    selector: Option<Box<Selector>>,
    /// The latest list, complete or in progress, since which it was observed.
    list: u64,
}

/// The names that a sync refers to.
#[derive(Debug, Default)]
struct References {
    source: Option<NamespacedName>,
    target: Option<Target>,
}

/// The names that a sync no longer refers to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Dropped {
    /// Single names.
    pub(super) names: Vec<NamespacedName>,
    /// Whether it had a selector, so that names in any namespace may be concerned.
    pub(super) selection: bool,
}

// === impl Syncs ===

impl Syncs {
    /// A list of `namespace` begins; without one, of the whole cluster.
    pub(super) fn begin_list(&mut self, namespace: Option<&str>) {
        self.lists.begin(namespace);
    }

    /// The syncs that the current list of `namespace` has not contained so far.
    pub(super) fn unlisted(&self, namespace: Option<&str>) -> Vec<NamespacedName> {
        let listed = self.by_name.iter().filter(|(at, _)| namespace.is_none_or(|it| at.is_in(it)));
        let unlisted =
            listed.filter(|(at, cached)| cached.list != self.lists.of(at.namespace()).number);
        unlisted.map(|(name, _)| name.name()).collect()
    }

    /// The uid of the known sync of this name, if it is not that of `sync`.
    pub(super) fn replaced_by(&self, sync: &ObservedSync) -> Option<String> {
        let known = &self.by_name.get(&Key::from(&sync.name))?.uid;
        (**known != *sync.version.uid).then(|| known.to_string())
    }

    /// Records a sync and what it refers to. Returns what it referred to before.
    pub(super) fn apply(&mut self, sync: &ObservedSync) -> Dropped {
        let name = Key::from(&sync.name);
        let before = self.take(&name).map(|(_, before)| before.dropped()).unwrap_or_default();
        // Plain data: serialization cannot fail.
        let Ok(json) = serde_json::to_vec(sync) else { return before };
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
        let list = self.lists.of(&sync.name.namespace).number;
        self.by_name.insert(name, CachedSync { uid, json: json.into(), selector, list });
        before
    }

    /// Removes a sync. Returns its uid, and what it referred to.
    pub(super) fn remove(&mut self, name: &NamespacedName) -> Option<(String, Dropped)> {
        let (cached, references) = self.take(&Key::from(name))?;
        Some((cached.uid.to_string(), references.dropped()))
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

    pub(super) fn exists(&self, uid: &str) -> bool {
        self.by_uid.contains_key(uid)
    }

    /// Whether a sync refers to `name`, or would if it selected the namespace of `name`.
    pub(super) fn may_refer_to(&self, name: &NamespacedName) -> bool {
        self.selecting.contains_key(name.name.as_str())
            || self.references.contains_key(&Key::from(name))
    }

    /// The syncs that refer to `name`. `selects` evaluates a selector for the namespace of `name`.
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

    /// The syncs whose named destination is in `namespace`.
    pub(super) fn with_destination_in(
        &self,
        namespace: &str,
    ) -> impl Iterator<Item = NamespacedName> + '_ {
        self.namespaces.get(namespace).into_iter().flat_map(Few::iter).map(Key::name)
    }

    /// The syncs whose selector selects a namespace. `selects` evaluates a selector for it.
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

    fn take(&mut self, name: &Key) -> Option<(CachedSync, References)> {
        let cached = self.by_name.remove(name)?;
        self.by_uid.remove(&cached.uid);
        let references = cached.unpack().as_ref().map(References::of).unwrap_or_default();
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
        Some((cached, references))
    }
}

// === impl CachedSync ===

impl CachedSync {
    fn unpack(&self) -> Option<ObservedSync> {
        serde_json::from_slice(&self.json).ok()
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
    fn a_sync_refers_to_source_and_destination() {
        let mut syncs = Syncs::default();
        syncs.apply(&sync("1", "a"));
        assert!(refers_to(&syncs, &NamespacedName::new("central", "a")));
        assert!(refers_to(&syncs, &NamespacedName::new("app", "copy")));
        assert_eq!(syncs.with_destination_in("app").collect::<Vec<_>>(), [name()]);
    }

    #[test]
    fn a_changed_sync_drops_its_former_references() {
        let mut syncs = Syncs::default();
        syncs.apply(&sync("1", "a"));
        let source = NamespacedName::new("central", "a");
        assert!(syncs.apply(&sync("1", "b")).names.contains(&source));
        assert!(!syncs.may_refer_to(&source));
    }

    #[test]
    fn a_selecting_sync_refers_to_copies_it_selects() {
        let mut syncs = Syncs::default();
        syncs.apply(&selecting("1"));
        let copy = NamespacedName::new("anywhere", "copy");
        assert!(syncs.may_refer_to(&copy));
        assert_eq!(syncs.referring_to(&copy, |_| true), BTreeSet::from([name()]));
        assert!(syncs.referring_to(&copy, |_| false).is_empty());
        assert!(syncs.remove(&name()).unwrap().1.selection);
        assert!(!syncs.may_refer_to(&copy));
        assert_eq!(syncs.selecting(|_| true).count(), 0);
    }

    #[test]
    fn a_recreated_sync_is_known_by_its_new_uid_only() {
        let mut syncs = Syncs::default();
        syncs.apply(&sync("1", "a"));
        assert_eq!(syncs.replaced_by(&sync("1", "b")), None);
        assert_eq!(syncs.replaced_by(&sync("2", "a")).as_deref(), Some("1"));
        syncs.apply(&sync("2", "a"));
        assert_eq!(syncs.with_uid("1"), None);
        assert_eq!(syncs.with_uid("2"), Some(name()));
    }
}
