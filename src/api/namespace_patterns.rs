//! Namespaces, by name or by glob.

use std::collections::BTreeSet;
use std::str::FromStr;

use crate::api::dns_names::MAX_LABEL;
use crate::api::dns_names::is_dns_label;

/// Stands for any characters of a name, or none.
const WILDCARD: char = '*';

/// A set of namespaces, written as a comma-separated list of names and globs: `kube-system,openshift-*`.
///
/// In a glob, `*` stands for any characters, or none. Empty items are ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespacePatterns {
    patterns: BTreeSet<String>,
}

/// An item is neither the name of a namespace nor a glob.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is neither the name of a namespace nor a glob such as openshift-*: use at most \
     {MAX_LABEL} lowercase letters, digits, '-' and '*', without '-' at either end"
)]
pub struct NotANamespacePattern(String);

// === impl NamespacePatterns ===

impl NamespacePatterns {
    /// These namespaces, and the one called `name`.
    #[must_use]
    pub fn with(mut self, name: &str) -> Self {
        self.patterns.insert(name.to_owned());
        self
    }

    /// Whether the namespace called `name` is one of them.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.patterns.iter().any(|pattern| matches(pattern, name))
    }
}

impl FromStr for NamespacePatterns {
    type Err = NotANamespacePattern;

    fn from_str(list: &str) -> Result<Self, Self::Err> {
        let items = list.split(',').filter(|item| !item.is_empty());
        let checked = items.map(|item| {
            if is_pattern(item) {
                Ok(item.to_owned())
            } else {
                Err(NotANamespacePattern(item.into()))
            }
        });
        Ok(Self { patterns: checked.collect::<Result<_, _>>()? })
    }
}

impl FromIterator<Self> for NamespacePatterns {
    /// The union.
    fn from_iter<I: IntoIterator<Item = Self>>(lists: I) -> Self {
        Self { patterns: lists.into_iter().flat_map(|list| list.patterns).collect() }
    }
}

fn is_pattern(text: &str) -> bool {
    is_dns_label(&text.replace(WILDCARD, "a"))
}

fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split(WILDCARD);
    let first = parts.next().unwrap_or_default();
    let Some(last) = parts.next_back() else { return pattern == name };
    let middle = name.strip_prefix(first).and_then(|rest| rest.strip_suffix(last));
    let Some(mut rest) = middle else { return false };
    parts.all(|part| {
        let after = rest.split_once(part).map(|(_, after)| after);
        rest = after.unwrap_or_default();
        after.is_some()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(list: &str, name: &str) -> bool {
        list.parse::<NamespacePatterns>().unwrap().contains(name)
    }

    #[test]
    fn a_name_matches_itself_alone() {
        assert!(contains("kube-system,vault", "vault"));
        assert!(!contains("kube-system,vault", "vault-2"));
        assert!(!contains("", "vault"));
        assert!(!contains("", ""));
    }

    #[test]
    fn a_glob_matches_whole_names() {
        for (glob, name, expected) in [
            ("openshift-*", "openshift-config", true),
            ("openshift-*", "openshift-", true),
            ("openshift-*", "openshift", false),
            ("openshift-*", "my-openshift-config", false),
            ("*-system", "cert-manager-system", true),
            ("*-system", "kube-systems", false),
            ("team-*-prod", "team-a-prod", true),
            ("team-*-prod", "team-prod", false),
            ("team-*-prod", "team-a-prod-b-prod", true),
            ("a*b*c", "a1b2bc", true),
            ("a*b*c", "a1c2c", false),
            ("ab*ba", "aba", false),
            ("*", "anything", true),
            ("a**b", "a-b", true),
        ] {
            assert_eq!(contains(glob, name), expected, "{glob} {name}");
        }
    }

    #[test]
    fn items_that_are_no_names_and_no_globs_are_rejected() {
        let long = "a".repeat(MAX_LABEL + 1);
        for item in ["Team", "a.b", "a b", " a", "-a", "a-", "a?", "[ab]", "a|b", "a'b", &long] {
            let error = format!("ok,{item}").parse::<NamespacePatterns>().unwrap_err().to_string();
            assert!(
                error.contains(&format!("{item:?}")) && error.contains("openshift-*"),
                "{error}"
            );
        }
    }

    #[test]
    fn lists_are_united() {
        let lists = ["a,,b", "", "c-*"].map(|list| list.parse::<NamespacePatterns>().unwrap());
        let union = lists.into_iter().collect::<NamespacePatterns>().with("own");
        assert!(["a", "b", "c-1", "own"].iter().all(|name| union.contains(name)));
        assert!(!union.contains("d"));
    }
}
