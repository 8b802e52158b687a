//! What is known of namespaces.

use std::collections::BTreeSet;
use std::collections::HashMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::decide::observed::NamespaceState;

#[derive(Debug)]
pub(super) struct Namespaces {
    protected: BTreeSet<String>,
    known: HashMap<String, Kept>,
    list: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    uid: Option<String>,
    terminating: bool,
    list: u64,
}

// === impl Namespaces ===

impl Namespaces {
    pub(super) fn new(protected: BTreeSet<String>) -> Self {
        Self { protected, known: HashMap::new(), list: 0 }
    }

    pub(super) fn list_begins(&mut self) {
        self.list += 1;
    }

    pub(super) fn list_ends(&mut self) -> Vec<String> {
        let current = self.list;
        let gone: Vec<_> = self
            .known
            .iter()
            .filter(|(_, kept)| kept.list != current)
            .map(|(name, _)| name.clone())
            .collect();
        for name in &gone {
            self.known.remove(name);
        }
        gone
    }

    pub(super) fn seen(&mut self, metadata: &ObjectMeta) -> bool {
        let Some(name) = metadata.name.clone() else { return false };
        let kept = Kept {
            uid: metadata.uid.clone(),
            terminating: metadata.deletion_timestamp.is_some(),
            list: self.list,
        };
        match self.known.insert(name, kept.clone()) {
            Some(before) => Kept { list: self.list, ..before } != kept,
            None => true,
        }
    }

    pub(super) fn gone(&mut self, name: &str) {
        self.known.remove(name);
    }

    pub(super) fn state(&self, name: &str) -> NamespaceState {
        match self.known.get(name) {
            _ if self.protected.contains(name) => NamespaceState::Protected,
            None => NamespaceState::Absent,
            Some(kept) if kept.terminating => NamespaceState::Terminating,
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
        assert!(namespaces.seen(&named("app", "1")));
        assert!(!namespaces.seen(&named("app", "1")));
        assert!(namespaces.seen(&named("app", "2")), "re-created under the same name");
    }

    #[test]
    fn a_list_takes_away_what_is_not_in_it() {
        let mut namespaces = Namespaces::new(BTreeSet::new());
        namespaces.seen(&named("app", "1"));
        namespaces.list_begins();
        assert_eq!(namespaces.list_ends(), ["app"]);
        assert_eq!(namespaces.state("app"), NamespaceState::Absent);
    }

    #[test]
    fn a_protected_namespace_stays_protected_whatever_is_seen() {
        let mut namespaces = Namespaces::new(BTreeSet::from(["kube-system".to_owned()]));
        namespaces.seen(&named("kube-system", "1"));
        assert_eq!(namespaces.state("kube-system"), NamespaceState::Protected);
    }
}
