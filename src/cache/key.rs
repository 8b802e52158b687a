//! A name as key of a table: one string, shared by all entries that contain it.

use std::borrow::Borrow;
use std::sync::Arc;

use crate::api::namespaced_name::NamespacedName;

/// `namespace/name`. In the order of keys, the keys of one namespace are adjacent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Key(Arc<str>);

// === impl Key ===

impl Key {
    /// The name in two parts.
    pub(super) fn name(&self) -> NamespacedName {
        let (namespace, name) = self.0.split_once('/').unwrap_or_default();
        NamespacedName::new(namespace, name)
    }

    /// The name in one part.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The namespace.
    pub(super) fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// Whether the name is in `namespace`.
    pub(super) fn is_in(&self, namespace: &str) -> bool {
        self.0.strip_prefix(namespace).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl From<&NamespacedName> for Key {
    fn from(name: &NamespacedName) -> Self {
        Self(name.to_string().into())
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn key(namespace: &str, name: &str) -> Key {
        Key::from(&NamespacedName::new(namespace, name))
    }

    #[test]
    fn a_key_converts_back_to_its_name() {
        let name = NamespacedName::new("team-a", "settings.v2");
        assert_eq!(Key::from(&name).name(), name);
    }

    #[test]
    fn keys_of_one_namespace_are_adjacent() {
        let others = [key("team-a", "z"), key("team.a", "z"), key("tea", "z"), key("teams", "a")];
        let keys: BTreeSet<_> =
            others.into_iter().chain([key("team", "a"), key("team", "b")]).collect();
        let from: Vec<_> = keys.range(key("team", "")..).take(2).map(Key::name).collect();
        assert_eq!(from, [NamespacedName::new("team", "a"), NamespacedName::new("team", "b")]);
        assert_eq!(keys.iter().filter(|key| key.is_in("team")).count(), 2);
    }
}
