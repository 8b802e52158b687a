//! Namespaces.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;

use crate::api::metadata::Metadata;
use kube::core::Selector;

use crate::api::namespace_patterns::NamespacePatterns;
use crate::decide::destinations::selects;
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
    pub labels: BTreeMap<String, String>,
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

#[derive(Debug)]
pub(super) struct Namespaces {
    protected: NamespacePatterns,
    by_name: HashMap<String, CachedNamespace>,
    list: u64,
}

#[derive(Clone, Debug)]
struct CachedNamespace {
    facts: NamespaceFacts,
    list: u64,
}

// === impl NamespaceChange ===

impl NamespaceChange {
    /// Whether only labels have changed.
    #[must_use]
    pub fn is_of_labels_only(&self) -> bool {
        let without_labels =
            |facts: &NamespaceFacts| (facts.uid.clone(), facts.terminating, facts.no_copies);
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => without_labels(before) == without_labels(after),
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

    pub(super) fn apply(&mut self, metadata: &Metadata) -> Option<NamespaceChange> {
        let name = metadata.name.clone()?;
        let annotations = metadata.annotations.as_ref();
        let no_copies = annotations.and_then(|all| all.get(names::ANNOTATION_NO_COPIES));
        let facts = NamespaceFacts {
            uid: metadata.uid.clone(),
            terminating: metadata.deletion_timestamp.is_some(),
            no_copies: OptOut::of(no_copies.map(String::as_str)),
            labels: metadata.labels.clone().unwrap_or_default(),
        };
        let cached = CachedNamespace { facts: facts.clone(), list: self.list };
        let before = self.by_name.insert(name.clone(), cached).map(|before| before.facts);
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

    /// Whether `selector` selects the namespace `name` if it has these `facts`.
    pub(super) fn is_selected(
        &self,
        selector: &Selector,
        name: &str,
        facts: Option<&NamespaceFacts>,
    ) -> bool {
        facts
            .is_some_and(|facts| selects(selector, self.state_of(name, Some(facts)), &facts.labels))
    }

    /// Whether `selector` selects the namespace `name`.
    pub(super) fn is_selected_now(&self, selector: &Selector, name: &str) -> bool {
        self.is_selected(selector, name, self.by_name.get(name).map(|cached| &cached.facts))
    }

    pub(super) fn matching(&self, selector: &Selector) -> BTreeSet<String> {
        let names = self.by_name.keys().filter(|name| self.is_selected_now(selector, name));
        names.cloned().collect()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str, uid: &str) -> Metadata {
        Metadata { name: Some(name.into()), uid: Some(uid.into()), ..Metadata::default() }
    }

    #[test]
    fn a_namespace_changes_once_and_when_recreated() {
        let mut namespaces = Namespaces::new(NamespacePatterns::default());
        assert!(namespaces.apply(&named("app", "1")).is_some());
        assert!(namespaces.apply(&named("app", "1")).is_none());
        assert!(namespaces.apply(&named("app", "2")).is_some(), "re-created under the same name");
    }

    #[test]
    fn a_changed_label_is_a_change_of_labels_only() {
        let mut namespaces = Namespaces::new(NamespacePatterns::default());
        assert!(!namespaces.apply(&named("app", "1")).unwrap().is_of_labels_only());
        let labels = Some(BTreeMap::from([("team".to_owned(), "a".to_owned())]));
        let change = namespaces.apply(&Metadata { labels, ..named("app", "1") }).unwrap();
        assert!(change.is_of_labels_only());
        assert!(!namespaces.remove("app").unwrap().is_of_labels_only());
    }

    #[test]
    fn a_changed_refusal_is_more_than_a_change_of_labels() {
        let mut namespaces = Namespaces::new(NamespacePatterns::default());
        namespaces.apply(&named("app", "1"));
        for (value, expected) in [
            ("TRUE", NamespaceState::Refused),
            ("yes", NamespaceState::Unclear),
            ("false", NamespaceState::Active),
        ] {
            let annotations = [(names::ANNOTATION_NO_COPIES.to_owned(), value.to_owned())];
            let annotations = Some(BTreeMap::from(annotations));
            let change = namespaces.apply(&Metadata { annotations, ..named("app", "1") }).unwrap();
            assert!(!change.is_of_labels_only());
            assert_eq!(namespaces.state("app"), expected);
        }
        assert!(namespaces.apply(&named("app", "1")).is_none(), "absent means allowed");
    }

    #[test]
    fn a_list_removes_namespaces_that_it_lacks() {
        let mut namespaces = Namespaces::new(NamespacePatterns::default());
        namespaces.apply(&named("app", "1"));
        namespaces.begin_list();
        let gone: Vec<_> = namespaces.end_list().into_iter().map(|change| change.name).collect();
        assert_eq!(gone, ["app"]);
        assert_eq!(namespaces.state("app"), NamespaceState::Missing);
    }

    #[test]
    fn a_protected_namespace_stays_protected() {
        let mut namespaces = Namespaces::new("kube-system,openshift-*".parse().unwrap());
        for name in ["kube-system", "openshift-config"] {
            namespaces.apply(&named(name, "1"));
            assert_eq!(namespaces.state(name), NamespaceState::Protected);
        }
        assert!(namespaces.matching(&Selector::default()).is_empty());
    }
}
