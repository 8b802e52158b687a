//! Namespaces.

mod matches;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::collections::HashMap;

use kube::core::Selector;
use kube::core::SelectorExt as _;

use crate::api::namespace_patterns::NamespacePatterns;
use crate::cache::namespaces::matches::Matches;
use crate::cache::stored_namespace::NamespaceLabels;
use crate::cache::stored_namespace::NamespaceMetadata;
use crate::decide::destinations::is_selectable;
use crate::decide::observed::NamespaceState;
use crate::decide::opt_out::OptOut;
use crate::names;

/// The fields of a namespace that decisions depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// `metadata.uid`
    pub uid: Option<String>,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// Its annotation `no-copies`.
    pub no_copies: OptOut,
    /// `metadata.labels`
    pub labels: NamespaceLabels,
}

/// A namespace was created, changed or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceChange {
    /// Name of the namespace.
    pub name: String,
    /// Its facts before, if it existed.
    pub before: Option<NamespaceFacts>,
    /// Its facts now, if it exists.
    pub after: Option<NamespaceFacts>,
}

/// The namespaces that a selector selects, as far as the cache knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selected {
    /// Their names.
    pub names: BTreeSet<String>,
    /// Those that it may select: whether their labels match is not known, because they are too large to
    /// be kept.
    pub undecided: BTreeSet<String>,
}

#[derive(Debug)]
pub(super) struct Namespaces {
    protected: NamespacePatterns,
    by_name: HashMap<String, CachedNamespace>,
    list: u64,
}

#[derive(Debug)]
struct CachedNamespace {
    facts: NamespaceFacts,
    /// Which selectors match labels that are not kept.
    matches: Matches,
    list: u64,
}

// === impl NamespaceChange ===

impl NamespaceChange {
    /// Whether only labels have changed, and both the old and the new ones are kept.
    #[must_use]
    pub fn is_of_labels_only(&self) -> bool {
        let without_labels =
            |facts: &NamespaceFacts| (facts.uid.clone(), facts.terminating, facts.no_copies);
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => {
                let are_kept = before.labels.are_kept() && after.labels.are_kept();
                are_kept && without_labels(before) == without_labels(after)
            }
            _ => false,
        }
    }
}

// === impl Namespaces ===

impl Namespaces {
    pub(super) fn new(protected: NamespacePatterns) -> Self {
        Self { protected, by_name: HashMap::new(), list: 0 }
    }

    pub(super) fn begin_list(&mut self) {
        self.list += 1;
    }

    pub(super) fn end_list(&mut self) -> Vec<NamespaceChange> {
        let current = self.list;
        let unlisted: Vec<_> = self
            .by_name
            .iter()
            .filter(|(_, cached)| cached.list != current)
            .map(|(name, _)| name.clone())
            .collect();
        unlisted.iter().filter_map(|name| self.remove(name)).collect()
    }

    pub(super) fn apply(&mut self, metadata: &NamespaceMetadata) -> Option<NamespaceChange> {
        let name = metadata.name.clone()?;
        let annotations = metadata.annotations.as_ref();
        let no_copies = annotations.and_then(|all| all.get(names::ANNOTATION_NO_COPIES));
        let facts = NamespaceFacts {
            uid: metadata.uid.clone(),
            terminating: metadata.deletion_timestamp.is_some(),
            no_copies: OptOut::of(no_copies.map(String::as_str)),
            labels: metadata.labels.clone().unwrap_or_default(),
        };
        let (before, matches) = match self.by_name.remove(&name) {
            Some(CachedNamespace { facts: before, matches, .. }) => {
                let matches =
                    if before.labels == facts.labels { matches } else { Matches::default() };
                (Some(before), matches)
            }
            None => (None, Matches::default()),
        };
        let cached = CachedNamespace { facts: facts.clone(), matches, list: self.list };
        self.by_name.insert(name.clone(), cached);
        let after = Some(facts);
        (before != after).then_some(NamespaceChange { name, before, after })
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<NamespaceChange> {
        let cached = self.by_name.remove(name)?;
        let name = name.to_owned();
        Some(NamespaceChange { name, before: Some(cached.facts), after: None })
    }

    pub(super) fn state(&self, name: &str) -> NamespaceState {
        self.state_of(name, self.by_name.get(name).map(|cached| &cached.facts))
    }

    pub(super) fn uid(&self, name: &str) -> Option<String> {
        self.by_name.get(name)?.facts.uid.clone()
    }

    /// Whether `selector` selects the namespace `name` if it has these `facts`; `None` if that is not
    /// known.
    pub(super) fn is_selected(
        &self,
        selector: &Selector,
        name: &str,
        facts: Option<&NamespaceFacts>,
    ) -> Option<bool> {
        let Some(facts) = facts.filter(|facts| is_selectable(self.state_of(name, Some(facts))))
        else {
            return Some(false);
        };
        match &facts.labels {
            NamespaceLabels::Whole(labels) => Some(selector.matches(labels)),
            NamespaceLabels::Large(_) if selector.selects_all() => Some(true),
            NamespaceLabels::Large(_) => {
                let cached = self.by_name.get(name).filter(|it| it.facts.labels == facts.labels);
                cached.and_then(|cached| cached.matches.get(selector))
            }
        }
    }

    /// Whether `selector` selects the namespace `name`; `None` if that is not known.
    pub(super) fn is_selected_now(&self, selector: &Selector, name: &str) -> Option<bool> {
        self.is_selected(selector, name, self.by_name.get(name).map(|cached| &cached.facts))
    }

    pub(super) fn select(&self, selector: &Selector) -> Selected {
        let mut selected = Selected::default();
        for name in self.by_name.keys() {
            let names = match self.is_selected_now(selector, name) {
                Some(true) => &mut selected.names,
                None => &mut selected.undecided,
                Some(false) => continue,
            };
            names.insert(name.clone());
        }
        selected
    }

    /// The number of namespaces that `selector` selects, as far as is known.
    pub(super) fn count_selected(&self, selector: &Selector) -> usize {
        let is_selected = |name: &&String| self.is_selected_now(selector, name) == Some(true);
        self.by_name.keys().filter(is_selected).count()
    }

    /// Records whether `selector` matches these `labels` of the namespace `name`, if they are those that
    /// the cache knows.
    pub(super) fn record_match(
        &mut self,
        selector: &Selector,
        name: &str,
        uid: Option<&str>,
        labels: &NamespaceLabels,
        is_match: bool,
    ) {
        let cached = self.by_name.get_mut(name);
        let is_known = |it: &&mut CachedNamespace| {
            it.facts.uid.as_deref() == uid && it.facts.labels == *labels
        };
        if let Some(cached) = cached.filter(is_known) {
            cached.matches.insert(selector, is_match);
        }
    }

    fn state_of(&self, name: &str, facts: Option<&NamespaceFacts>) -> NamespaceState {
        match facts {
            _ if self.protected.contains(name) => NamespaceState::Protected,
            None => NamespaceState::Missing,
            Some(facts) if facts.terminating => NamespaceState::Terminating,
            Some(facts) => match facts.no_copies {
                OptOut::Allowed => NamespaceState::Active,
                OptOut::Forbidden => NamespaceState::Refused,
                OptOut::Unclear => NamespaceState::Unclear,
            },
        }
    }
}
