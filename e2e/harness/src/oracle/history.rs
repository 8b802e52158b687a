//! All revisions of the recorded objects.

use std::collections::BTreeSet;

use configmapsync::api::namespaced_name::NamespacedName;
use serde_json::Value;

/// The kinds of recorded objects.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// `ConfigMap`s: sources, copies and others.
    ConfigMap,
    /// `ConfigMapSync`s.
    Sync,
    /// Namespaces. Their [`Change::at`] has an empty namespace.
    Namespace,
    /// Leases in the operator's namespace.
    Lease,
    /// `ConfigMapSyncLeader`s: leader records.
    Leader,
}

/// A revision of an object: created, changed or deleted.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace and name.
    pub at: NamespacedName,
    /// The etcd revision.
    pub revision: u64,
    /// The object at this revision; its last state if it is deleted.
    pub object: Value,
    /// Whether the object is deleted at this revision.
    pub deleted: bool,
    /// Whether the object existed before the recording started.
    pub listed: bool,
}

/// All changes of all recorded objects, ordered by revision.
#[derive(Clone, Debug, Default)]
pub struct History {
    changes: Vec<Change>,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::ConfigMap, Self::Sync, Self::Namespace, Self::Lease, Self::Leader];
    /// The kinds that show which replica leads.
    pub const OF_LEADERSHIP: [Self; 2] = [Self::Lease, Self::Leader];

    /// The plural name, as in URLs.
    #[must_use]
    pub const fn resource(self) -> &'static str {
        match self {
            Self::ConfigMap => "configmaps",
            Self::Sync => "configmapsyncs",
            Self::Namespace => "namespaces",
            Self::Lease => "leases",
            Self::Leader => "configmapsyncleaders",
        }
    }
}

impl Change {
    /// The object's uid.
    #[must_use]
    pub fn uid(&self) -> &str {
        uid(&self.object)
    }
}

impl History {
    /// A history of these changes, given in any order.
    #[must_use]
    pub fn new(mut changes: Vec<Change>) -> Self {
        changes.sort_by_key(|change| change.revision);
        Self { changes }
    }

    /// Keeps only the changes that are `wanted`.
    #[must_use]
    pub fn only(mut self, wanted: impl Fn(&Change) -> bool) -> Self {
        self.changes.retain(wanted);
        self
    }

    /// All changes of one kind.
    #[must_use]
    pub fn changes(&self, kind: Kind) -> impl DoubleEndedIterator<Item = &Change> {
        self.changes.iter().filter(move |change| change.kind == kind)
    }

    /// All changes of the objects with this name, of any uid.
    #[must_use]
    pub fn of<'a>(
        &'a self,
        kind: Kind,
        at: &'a NamespacedName,
    ) -> impl DoubleEndedIterator<Item = &'a Change> {
        self.changes(kind).filter(move |change| change.at == *at)
    }

    /// The change of the object with this name at exactly this revision.
    #[must_use]
    pub fn change(&self, kind: Kind, at: &NamespacedName, revision: u64) -> Option<&Change> {
        self.changes(kind).find(|change| change.at == *at && change.revision == revision)
    }

    /// The object with this name right after a revision, if it existed.
    #[must_use]
    pub fn at(&self, kind: Kind, at: &NamespacedName, revision: u64) -> Option<&Value> {
        let mut changes = self.changes(kind);
        let last = changes.rfind(|change| change.at == *at && change.revision <= revision)?;
        (!last.deleted).then_some(&last.object)
    }

    /// The object with this name right before a revision, if it existed.
    #[must_use]
    pub fn before(&self, kind: Kind, at: &NamespacedName, revision: u64) -> Option<&Value> {
        self.at(kind, at, revision.checked_sub(1)?)
    }

    /// The newest change of each object of a kind that existed right after a revision.
    #[must_use]
    pub fn present(&self, kind: Kind, revision: u64) -> Vec<&Change> {
        let mut last = std::collections::BTreeMap::new();
        for change in self.changes(kind).filter(|change| change.revision <= revision) {
            last.insert(&change.at, change);
        }
        last.into_values().filter(|change| !change.deleted).collect()
    }

    /// The lowest number of objects that matched `count` at any revision since the first one matched;
    /// `None` if none ever matched.
    #[must_use]
    pub fn fewest_present(&self, kind: Kind, count: impl Fn(&Change) -> bool) -> Option<usize> {
        let mut present = BTreeSet::new();
        let mut fewest: Option<usize> = None;
        for change in self.changes(kind) {
            if !change.deleted && count(change) {
                present.insert(&change.at);
            } else {
                present.remove(&change.at);
            }
            let now = present.len();
            fewest = fewest.map(|before| before.min(now)).or_else(|| (now > 0).then_some(now));
        }
        fewest
    }

    /// The `ConfigMapSync` with this uid right after a revision, if it existed. One with a deletion
    /// timestamp exists.
    #[must_use]
    pub fn sync(&self, uid: &str, revision: u64) -> Option<&Change> {
        self.present(Kind::Sync, revision).into_iter().find(|change| change.uid() == uid)
    }

    /// The newest revision; 0 for an empty history.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.changes.last().map_or(0, |change| change.revision)
    }
}

/// An object's uid, empty if it has none.
pub(super) fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// An object's resourceVersion, which is an etcd revision.
pub(super) fn revision(object: &Value) -> Option<u64> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fewest(changes: &[(&str, bool)]) -> Option<usize> {
        let change = |(revision, (name, deleted)): (u64, &(&str, bool))| Change {
            kind: Kind::ConfigMap,
            at: NamespacedName::new("a", *name),
            revision,
            object: Value::Null,
            deleted: *deleted,
            listed: false,
        };
        let history = History::new((1..).zip(changes).map(change).collect());
        history.fewest_present(Kind::ConfigMap, |change| change.at.name != "other")
    }

    #[test]
    fn fewest_present_counts_from_the_first_match() {
        assert_eq!(fewest(&[]), None);
        assert_eq!(fewest(&[("other", false)]), None);
        assert_eq!(fewest(&[("x", false)]), Some(1));
        assert_eq!(fewest(&[("x", false), ("y", false), ("x", true)]), Some(1));
        assert_eq!(fewest(&[("x", false), ("x", true), ("y", false)]), Some(0));
    }
}
