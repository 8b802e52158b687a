//! The namespaces that the operator works in.

use std::collections::BTreeSet;

/// The whole cluster, or some namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Every namespace.
    #[default]
    Cluster,
    /// These namespaces only.
    Namespaces(BTreeSet<String>),
}

// === impl Scope ===

impl Scope {
    /// These namespaces and `own`, that of the operator; without any, the whole cluster.
    #[must_use]
    pub fn of(namespaces: &[String], own: &str) -> Self {
        if namespaces.is_empty() {
            return Self::Cluster;
        }
        Self::Namespaces(namespaces.iter().cloned().chain([own.to_owned()]).collect())
    }

    /// Whether the operator works in the namespace called `name`.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        match self {
            Self::Cluster => true,
            Self::Namespaces(names) => names.contains(name),
        }
    }

    /// What has to be listed to see all of it: each namespace, or once, `None`, the whole cluster.
    #[must_use]
    pub fn parts(&self) -> Vec<Option<&str>> {
        match self {
            Self::Cluster => vec![None],
            Self::Namespaces(names) => names.iter().map(|name| Some(name.as_str())).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_namespaces_the_scope_is_the_cluster() {
        let scope = Scope::of(&[], "own");
        assert!(scope.contains("anything"));
        assert_eq!(scope.parts(), [None]);
    }

    #[test]
    fn the_own_namespace_is_in_the_scope() {
        let scope = Scope::of(&["b".to_owned(), "a".to_owned()], "own");
        assert!(["a", "b", "own"].iter().all(|name| scope.contains(name)));
        assert!(!scope.contains("c"));
        assert_eq!(scope.parts(), [Some("a"), Some("b"), Some("own")]);
    }
}
