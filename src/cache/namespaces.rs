//! What is known of namespaces.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::core::Selector;

use crate::decide::destinations::selects;
use crate::decide::observed::NamespaceState;

/// What matters of a namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceFacts {
    /// `metadata.uid`
    pub uid: Option<String>,
    /// Whether it is being deleted.
    pub terminating: bool,
    /// `metadata.labels`
    pub labels: BTreeMap<String, String>,
}

/// A namespace showed up, changed, or went away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceChange {
    /// Which.
    pub name: String,
    /// What was known of it, if it was there.
    pub before: Option<NamespaceFacts>,
    /// What is known of it now, if it is there.
    pub after: Option<NamespaceFacts>,
}

#[derive(Debug)]
pub(super) struct Namespaces {
    protected: BTreeSet<String>,
    known: HashMap<String, Kept>,
    list: u64,
}

#[derive(Clone, Debug)]
struct Kept {
    facts: NamespaceFacts,
    list: u64,
}

// === impl NamespaceChange ===

impl NamespaceChange {
    /// Whether nothing but labels has changed.
    #[must_use]
    pub fn is_of_labels_only(&self) -> bool {
        let without_labels = |facts: &NamespaceFacts| (facts.uid.clone(), facts.terminating);
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => without_labels(before) == without_labels(after),
            _ => false,
        }
    }
}

// === impl Namespaces ===

impl Namespaces {
    pub(super) fn new(protected: BTreeSet<String>) -> Self {
        Self { protected, known: HashMap::new(), list: 0 }
    }

    pub(super) fn list_begins(&mut self) {
        self.list += 1;
    }

    pub(super) fn list_ends(&mut self) -> Vec<NamespaceChange> {
        let current = self.list;
        let gone: Vec<_> = self
            .known
            .iter()
            .filter(|(_, kept)| kept.list != current)
            .map(|(name, _)| name.clone())
            .collect();
        gone.iter().filter_map(|name| self.gone(name)).collect()
    }

    pub(super) fn seen(&mut self, metadata: &ObjectMeta) -> Option<NamespaceChange> {
        let name = metadata.name.clone()?;
        let facts = NamespaceFacts {
            uid: metadata.uid.clone(),
            terminating: metadata.deletion_timestamp.is_some(),
            labels: metadata.labels.clone().unwrap_or_default(),
        };
        let kept = Kept { facts: facts.clone(), list: self.list };
        let before = self.known.insert(name.clone(), kept).map(|before| before.facts);
        let after = Some(facts);
        (before != after).then_some(NamespaceChange { name, before, after })
    }

    pub(super) fn gone(&mut self, name: &str) -> Option<NamespaceChange> {
        let kept = self.known.remove(name)?;
        let name = name.to_owned();
        Some(NamespaceChange { name, before: Some(kept.facts), after: None })
    }

    pub(super) fn state(&self, name: &str) -> NamespaceState {
        self.state_of(name, self.known.get(name).map(|kept| &kept.facts))
    }

    pub(super) fn uid(&self, name: &str) -> Option<String> {
        self.known.get(name)?.facts.uid.clone()
    }

    /// Whether a namespace of these facts is selected.
    pub(super) fn is_selected(
        &self,
        selector: &Selector,
        name: &str,
        facts: Option<&NamespaceFacts>,
    ) -> bool {
        facts
            .is_some_and(|facts| selects(selector, self.state_of(name, Some(facts)), &facts.labels))
    }

    /// Whether a namespace, as it is known, is selected.
    pub(super) fn is_selected_now(&self, selector: &Selector, name: &str) -> bool {
        self.is_selected(selector, name, self.known.get(name).map(|kept| &kept.facts))
    }

    pub(super) fn selected(&self, selector: &Selector) -> BTreeSet<String> {
        let names = self.known.keys().filter(|name| self.is_selected_now(selector, name));
        names.cloned().collect()
    }

    fn state_of(&self, name: &str, facts: Option<&NamespaceFacts>) -> NamespaceState {
        match facts {
            _ if self.protected.contains(name) => NamespaceState::Protected,
            None => NamespaceState::Missing,
            Some(facts) if facts.terminating => NamespaceState::Terminating,
            Some(_) => NamespaceState::Active,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, uid: &str) -> ObjectMeta {
        ObjectMeta { name: Some(name.into()), uid: Some(uid.into()), ..ObjectMeta::default() }
    }

    #[test]
    fn a_namespace_is_news_once_and_when_it_is_another() {
        let mut namespaces = Namespaces::new(BTreeSet::new());
        assert!(namespaces.seen(&named("app", "1")).is_some());
        assert!(namespaces.seen(&named("app", "1")).is_none());
        assert!(namespaces.seen(&named("app", "2")).is_some(), "re-created under the same name");
    }

    #[test]
    fn a_label_is_news_of_labels_only() {
        let mut namespaces = Namespaces::new(BTreeSet::new());
        assert!(!namespaces.seen(&named("app", "1")).unwrap().is_of_labels_only());
        let labels = Some(BTreeMap::from([("team".to_owned(), "a".to_owned())]));
        let change = namespaces.seen(&ObjectMeta { labels, ..named("app", "1") }).unwrap();
        assert!(change.is_of_labels_only());
        assert!(!namespaces.gone("app").unwrap().is_of_labels_only());
    }

    #[test]
    fn a_list_takes_away_what_is_not_in_it() {
        let mut namespaces = Namespaces::new(BTreeSet::new());
        namespaces.seen(&named("app", "1"));
        namespaces.list_begins();
        let gone: Vec<_> = namespaces.list_ends().into_iter().map(|change| change.name).collect();
        assert_eq!(gone, ["app"]);
        assert_eq!(namespaces.state("app"), NamespaceState::Missing);
    }

    #[test]
    fn a_protected_namespace_stays_protected_whatever_is_seen() {
        let mut namespaces = Namespaces::new(BTreeSet::from(["kube-system".to_owned()]));
        namespaces.seen(&named("kube-system", "1"));
        assert_eq!(namespaces.state("kube-system"), NamespaceState::Protected);
        assert!(namespaces.selected(&Selector::default()).is_empty());
    }
}
