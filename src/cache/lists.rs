//! The lists that fill a part of the cache: one of the whole cluster, or one per namespace.

use std::collections::HashMap;

/// The progress of the lists of one kind.
#[derive(Debug, Default)]
pub(super) struct Lists {
    cluster: ListState,
    /// The namespaces that are listed by themselves.
    by_namespace: HashMap<Box<str>, ListState>,
}

/// The progress of one list.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ListState {
    /// The number of the latest list, complete or in progress.
    pub(super) number: u64,
    /// Whether it is in progress.
    is_listing: bool,
    /// Since the last list: the resourceVersion up to which the watch has delivered every event.
    pub(super) watched: Option<u128>,
}

// === impl Lists ===

impl Lists {
    /// A list of `namespace` begins; without one, of the whole cluster.
    pub(super) fn begin(&mut self, namespace: Option<&str>) {
        let list = match namespace {
            None => &mut self.cluster,
            Some(namespace) => self.by_namespace.entry(namespace.into()).or_default(),
        };
        *list = ListState { number: list.number + 1, is_listing: true, watched: None };
    }

    pub(super) fn end(&mut self, namespace: Option<&str>) {
        self.get_mut(namespace.unwrap_or_default()).is_listing = false;
    }

    /// Records that the watch has delivered an object in `namespace` at this resourceVersion.
    pub(super) fn delivered(&mut self, namespace: &str, version: Option<u128>) {
        let list = self.get_mut(namespace);
        if !list.is_listing {
            list.watched = list.watched.max(version);
        }
    }

    /// The list that contains the objects in `namespace`.
    pub(super) fn of(&self, namespace: &str) -> ListState {
        *self.by_namespace.get(namespace).unwrap_or(&self.cluster)
    }

    fn get_mut(&mut self, namespace: &str) -> &mut ListState {
        self.by_namespace.get_mut(namespace).unwrap_or(&mut self.cluster)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_namespace_has_its_own_list() {
        let mut lists = Lists::default();
        lists.begin(Some("a"));
        lists.begin(Some("b"));
        lists.end(Some("b"));
        lists.begin(Some("b"));
        assert_eq!((lists.of("a").number, lists.of("b").number), (1, 2));
        lists.delivered("a", Some(7));
        assert_eq!(lists.of("a").watched, None, "what a list contains was not watched");
        lists.end(Some("a"));
        lists.delivered("a", Some(8));
        assert_eq!((lists.of("a").watched, lists.of("b").watched), (Some(8), None));
    }

    #[test]
    fn the_list_of_the_cluster_contains_every_namespace() {
        let mut lists = Lists::default();
        lists.begin(None);
        lists.end(None);
        lists.delivered("a", Some(3));
        assert_eq!((lists.of("b").number, lists.of("b").watched), (1, Some(3)));
    }
}
