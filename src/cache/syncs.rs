//! The syncs, and an index of the names that they refer to.

#[cfg(test)]
mod tests;

use std::borrow::Borrow;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::hash::Hash;

use kube::core::Selector;

use crate::api::namespaced_name::NamespacedName;
use crate::api::uid::Uid;
use crate::cache::compact_json::CompactJson;
use crate::cache::key::Key;
use crate::cache::lists::Lists;
use crate::cache::small_set::Few;
use crate::decide::desired::source_name;
use crate::decide::destinations::Target;
use crate::decide::observed::ObservedSync;

#[derive(Debug, Default)]
pub(super) struct Syncs {
    by_name: HashMap<Key, CachedSync>,
    by_uid: HashMap<Uid, Key>,
    /// The syncs that refer to a name as source or as named destination.
    references: HashMap<Key, Few<Key>>,
    /// The syncs whose named destination is in a namespace.
    namespaces: HashMap<Box<str>, Few<Key>>,
    /// The syncs with a selector, by the name of their copies.
    selecting: HashMap<Box<str>, Few<Key>>,
    lists: Lists,
}

/// The longest sync that is kept, as JSON.
const MAX_SYNC: usize = 4 * 1024;
/// The longest selector that is kept of a longer sync, as JSON.
const MAX_SELECTOR: usize = 1024;

#[derive(Debug)]
struct CachedSync {
    uid: Uid,
    kept: Kept,
    selection: Selection,
    /// The latest list, complete or in progress, since which it was observed.
    list: u64,
}

/// What is kept of a sync.
#[derive(Debug)]
enum Kept {
    /// All of it, as JSON: label selectors cannot be deserialized from a binary format.
    Whole(CompactJson),
    /// Of a large one, its length as JSON and what it refers to. It is read again when it is reconciled.
    References(Box<(usize, References)>),
}

/// Which namespaces a sync selects.
#[derive(Debug)]
enum Selection {
    /// It has no selector.
    None,
    /// Parsed once, evaluated for each changed namespace.
    Known(Box<Selector>),
    /// Its selector is too large to be kept.
    Unknown,
}

/// A sync in the cache.
#[derive(Clone, Debug)]
pub enum KnownSync {
    /// The sync.
    Whole(Box<ObservedSync>),
    /// It has this uid, and is too large to be kept.
    Large {
        /// `metadata.uid`
        uid: String,
        /// Its length as JSON.
        bytes: usize,
    },
}

/// The names that a sync refers to.
#[derive(Clone, Debug, Default)]
struct References {
    source: Option<NamespacedName>,
    target: Option<Names>,
}

/// The names of its copies.
#[derive(Clone, Debug)]
enum Names {
    Single(NamespacedName),
    /// Of this name, in the selected namespaces.
    Selected(String),
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
        (*known != Uid::from(&*sync.version.uid)).then(|| known.to_string())
    }

    /// Records a sync and what it refers to. Returns what it referred to before.
    pub(super) fn apply(&mut self, sync: &ObservedSync) -> Dropped {
        let name = Key::from(&sync.name);
        let before = self.take(&name).map(|(_, before)| before.dropped()).unwrap_or_default();
        // Plain data: serialization cannot fail.
        let Ok(json) = serde_json::to_vec(sync) else { return before };
        let (references, selector) = References::of(sync);
        for reference in references.names() {
            add_to(&mut self.references, Key::from(reference), &name);
        }
        match &references.target {
            Some(Names::Single(place)) => {
                add_to(&mut self.namespaces, place.namespace.as_str().into(), &name);
            }
            Some(Names::Selected(copy)) => {
                add_to(&mut self.selecting, copy.as_str().into(), &name);
            }
            None => {}
        }
        let bytes = json.len();
        let is_large = bytes > MAX_SYNC;
        let selection = match selector {
            None => Selection::None,
            Some(selector) if is_large && !is_small(&selector) => Selection::Unknown,
            Some(selector) => Selection::Known(Box::new(selector)),
        };
        let kept = if is_large {
            Kept::References(Box::new((bytes, references)))
        } else {
            Kept::Whole(CompactJson::of(&json))
        };
        let uid = Uid::from(&*sync.version.uid);
        self.by_uid.insert(uid.clone(), name.clone());
        let list = self.lists.of(&sync.name.namespace).number;
        self.by_name.insert(name, CachedSync { uid, kept, selection, list });
        before
    }

    /// Removes a sync. Returns its uid, and what it referred to.
    pub(super) fn remove(&mut self, name: &NamespacedName) -> Option<(String, Dropped)> {
        let (cached, references) = self.take(&Key::from(name))?;
        Some((cached.uid.to_string(), references.dropped()))
    }

    pub(super) fn get(&self, name: &NamespacedName) -> Option<KnownSync> {
        let cached = self.by_name.get(&Key::from(name))?;
        Some(match &cached.kept {
            Kept::Whole(json) => {
                KnownSync::Whole(Box::new(serde_json::from_slice(&json.json()).ok()?))
            }
            Kept::References(kept) => {
                KnownSync::Large { uid: cached.uid.to_string(), bytes: kept.0 }
            }
        })
    }

    /// Whether `source` is the source of the sync `name`.
    pub(super) fn is_source_of(&self, source: &NamespacedName, name: &NamespacedName) -> bool {
        // A copy in a selected namespace is named by no sync, so that none has to be unpacked.
        self.references.contains_key(&Key::from(source))
            && self
                .by_name
                .get(&Key::from(name))
                .is_some_and(|sync| sync.references().source.as_ref() == Some(source))
    }

    /// The uid of the sync, and its selector, if it has one that is kept.
    pub(super) fn uid_and_selector(
        &self,
        name: &NamespacedName,
    ) -> Option<(&Uid, Option<&Selector>)> {
        let cached = self.by_name.get(&Key::from(name))?;
        let selector = match &cached.selection {
            Selection::Known(selector) => Some(&**selector),
            Selection::Unknown | Selection::None => None,
        };
        Some((&cached.uid, selector))
    }

    pub(super) fn names(&self) -> Vec<NamespacedName> {
        self.by_name.keys().map(Key::name).collect()
    }

    pub(super) fn named(&self, uid: &Uid) -> Option<NamespacedName> {
        self.by_uid.get(uid).map(Key::name)
    }

    pub(super) fn exists(&self, uid: &Uid) -> bool {
        self.by_uid.contains_key(uid)
    }

    /// Whether a sync refers to `name`, or would if it selected the namespace of `name`.
    pub(super) fn may_refer_to(&self, name: &NamespacedName) -> bool {
        self.selecting.contains_key(name.name.as_str())
            || self.references.contains_key(&Key::from(name))
    }

    /// The syncs that refer to `name`, and those that may because of an unknown selection. `selects`
    /// evaluates a selector for the namespace of `name`.
    pub(super) fn referring_to(
        &self,
        name: &NamespacedName,
        selects: impl Fn(&Selector) -> bool,
    ) -> BTreeSet<NamespacedName> {
        let selecting = self.selecting.get(name.name.as_str()).into_iter().flat_map(Few::iter);
        let may_select = |sync: &&Key| match self.selection(sync) {
            Some(Selection::Known(selector)) => selects(selector),
            Some(Selection::Unknown) => true,
            Some(Selection::None) | None => false,
        };
        let selecting = selecting.filter(may_select);
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

    /// The syncs whose known selector selects a namespace. `selects` evaluates a selector for it.
    pub(super) fn selecting(
        &self,
        selects: impl Fn(&Selector) -> bool,
    ) -> impl Iterator<Item = NamespacedName> {
        let is_selected = move |sync: &&Key| match self.selection(sync) {
            Some(Selection::Known(selector)) => selects(selector),
            Some(Selection::Unknown | Selection::None) | None => false,
        };
        self.selecting.values().flat_map(Few::iter).filter(is_selected).map(Key::name)
    }

    /// The syncs whose selection is unknown.
    pub(super) fn with_unknown_selection(&self) -> impl Iterator<Item = NamespacedName> + '_ {
        let syncs = self.selecting.values().flat_map(Few::iter);
        let is_unknown = |sync: &&Key| matches!(self.selection(sync), Some(Selection::Unknown));
        syncs.filter(is_unknown).map(Key::name)
    }

    fn selection(&self, sync: &Key) -> Option<&Selection> {
        Some(&self.by_name.get(sync)?.selection)
    }

    fn take(&mut self, name: &Key) -> Option<(CachedSync, References)> {
        let cached = self.by_name.remove(name)?;
        self.by_uid.remove(&cached.uid);
        let references = cached.references();
        for reference in references.names() {
            remove_from(&mut self.references, &Key::from(reference), name);
        }
        match &references.target {
            Some(Names::Single(place)) => {
                remove_from(&mut self.namespaces, place.namespace.as_str(), name);
            }
            Some(Names::Selected(copy)) => {
                remove_from(&mut self.selecting, copy.as_str(), name);
            }
            None => {}
        }
        Some((cached, references))
    }
}

// === impl CachedSync ===

impl CachedSync {
    fn references(&self) -> References {
        match &self.kept {
            Kept::Whole(json) => {
                let sync = serde_json::from_slice(&json.json()).ok();
                sync.map(|sync| References::of(&sync).0).unwrap_or_default()
            }
            Kept::References(kept) => kept.1.clone(),
        }
    }
}

// === impl References ===

impl References {
    /// The names, and the selector if there is one.
    fn of(sync: &ObservedSync) -> (Self, Option<Selector>) {
        let spec = sync.spec.as_ref().ok();
        let (target, selector) = match spec.and_then(|spec| Target::of(spec).ok()) {
            Some(Target::Single(place)) => (Some(Names::Single(place)), None),
            Some(Target::Selected { name, selector }) => {
                (Some(Names::Selected(name)), Some(selector))
            }
            None => (None, None),
        };
        (Self { source: spec.map(source_name), target }, selector)
    }

    fn names(&self) -> impl Iterator<Item = &NamespacedName> {
        let place = match &self.target {
            Some(Names::Single(place)) => Some(place),
            _ => None,
        };
        self.source.iter().chain(place)
    }

    fn dropped(self) -> Dropped {
        let names = self.names().cloned().collect();
        Dropped { names, selection: matches!(self.target, Some(Names::Selected(_))) }
    }
}

fn is_small(selector: &Selector) -> bool {
    serde_json::to_vec(selector).is_ok_and(|json| json.len() <= MAX_SELECTOR)
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
