//! The namespaces that the operator works in.

use std::collections::BTreeSet;

use crate::api::dns_names::MAX_LABEL;
use crate::api::dns_names::is_dns_label;

/// The whole cluster, or some namespaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Every namespace.
    #[default]
    Cluster,
    /// These namespaces only.
    Namespaces(BTreeSet<String>),
}

/// The text cannot be the name of a namespace.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is not the name of a namespace: use at most {MAX_LABEL} lowercase letters, digits and '-', \
     without '-' at either end; globs are not supported here"
)]
pub struct NotANamespace(String);

/// Checks that `text` may be the name of a namespace, or is empty.
///
/// # Errors
/// [`NotANamespace`].
pub fn namespace_name(text: &str) -> Result<String, NotANamespace> {
    if text.is_empty() || is_dns_label(text) {
        Ok(text.to_owned())
    } else {
        Err(NotANamespace(text.to_owned()))
    }
}

// === impl Scope ===

impl Scope {
    /// These namespaces; without any, the whole cluster. Empty names are ignored.
    #[must_use]
    pub fn only(namespaces: &[String]) -> Self {
        let named: BTreeSet<_> = namespaces.iter().filter(|it| !it.is_empty()).cloned().collect();
        if named.is_empty() { Self::Cluster } else { Self::Namespaces(named) }
    }

    /// The scope of an operator with this list in its flag: the namespaces in it and `own`, that of the
    /// operator; without any, the whole cluster.
    #[must_use]
    pub fn of(namespaces: &[String], own: &str) -> Self {
        match Self::only(namespaces) {
            Self::Cluster => Self::Cluster,
            Self::Namespaces(mut named) => {
                named.insert(own.to_owned());
                Self::Namespaces(named)
            }
        }
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
        for namespaces in [vec![], vec![String::new()]] {
            let scope = Scope::of(&namespaces, "own");
            assert!(scope.contains("anything"));
            assert_eq!(scope.parts(), [None]);
        }
    }

    #[test]
    fn a_glob_is_not_the_name_of_a_namespace() {
        for text in ["", "team-a", "0"] {
            assert_eq!(namespace_name(text).as_deref(), Ok(text));
        }
        for text in ["team-*", "*", "Team", "-a", "a-", "a.b", "a b", &"a".repeat(64)] {
            let error = namespace_name(text).unwrap_err().to_string();
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn the_own_namespace_is_in_the_scope() {
        let scope = Scope::of(&["b".to_owned(), "a".to_owned()], "own");
        assert!(["a", "b", "own"].iter().all(|name| scope.contains(name)));
        assert!(!scope.contains("c"));
        assert_eq!(scope.parts(), [Some("a"), Some("b"), Some("own")]);
    }
}
