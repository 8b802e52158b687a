//! What there was, revision by revision.

use std::collections::BTreeSet;

use configmapsync::api::namespaced_name::NamespacedName;
use serde_json::Value;

/// The kinds whose history is kept.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// `ConfigMap`s: sources, copies and others.
    ConfigMap,
    /// `ConfigMapSync`s.
    Sync,
    /// Namespaces, which have a name, and an empty namespace.
    Namespace,
    /// Leases in the operator's namespace.
    Lease,
    /// `ConfigMapSyncLeader`s: who is announced as the leader.
    Leader,
}

/// An object has come into being, has changed, or is gone.
#[derive(Clone, Debug)]
pub struct Change {
    /// Its kind.
    pub kind: Kind,
    /// Where it is.
    pub at: NamespacedName,
    /// The revision of etcd.
    pub revision: u64,
    /// What it became; of one that is gone, what it was last.
    pub object: Value,
    /// Whether it is gone.
    pub gone: bool,
    /// Whether it was there before the history began.
    pub listed: bool,
}

/// All changes of all objects, in order.
#[derive(Clone, Debug, Default)]
pub struct History {
    changes: Vec<Change>,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] =
        [Self::ConfigMap, Self::Sync, Self::Namespace, Self::Lease, Self::Leader];
    /// Those that tell who leads.
    pub const OF_LEADERSHIP: [Self; 2] = [Self::Lease, Self::Leader];

    /// The plural, as in URLs.
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
    /// A history of these changes, in whatever order they come.
    #[must_use]
    pub fn new(mut changes: Vec<Change>) -> Self {
        changes.sort_by_key(|change| change.revision);
        Self { changes }
    }

    /// The part of it that is about some objects only.
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

    /// All changes of what is at one place, whatever its uid.
    #[must_use]
    pub fn of<'a>(
        &'a self,
        kind: Kind,
        at: &'a NamespacedName,
    ) -> impl DoubleEndedIterator<Item = &'a Change> {
        self.changes(kind).filter(move |change| change.at == *at)
    }

    /// The change that made exactly this revision of what is at one place.
    #[must_use]
    pub fn change(&self, kind: Kind, at: &NamespacedName, revision: u64) -> Option<&Change> {
        self.changes(kind).find(|change| change.at == *at && change.revision == revision)
    }

    /// What was at one place right after a revision.
    #[must_use]
    pub fn at(&self, kind: Kind, at: &NamespacedName, revision: u64) -> Option<&Value> {
        let mut changes = self.changes(kind);
        let last = changes.rfind(|change| change.at == *at && change.revision <= revision)?;
        (!last.gone).then_some(&last.object)
    }

    /// What was at one place right before a revision.
    #[must_use]
    pub fn before(&self, kind: Kind, at: &NamespacedName, revision: u64) -> Option<&Value> {
        self.at(kind, at, revision.checked_sub(1)?)
    }

    /// All objects of a kind that there were right after a revision.
    #[must_use]
    pub fn present(&self, kind: Kind, revision: u64) -> Vec<&Change> {
        let mut last = std::collections::BTreeMap::new();
        for change in self.changes(kind).filter(|change| change.revision <= revision) {
            last.insert(&change.at, change);
        }
        last.into_values().filter(|change| !change.gone).collect()
    }

    /// How few of those that `count` there were right after any revision since there was one.
    #[must_use]
    pub fn fewest_present(&self, kind: Kind, count: impl Fn(&Change) -> bool) -> Option<usize> {
        let mut present = BTreeSet::new();
        let mut fewest: Option<usize> = None;
        for change in self.changes(kind) {
            if !change.gone && count(change) {
                present.insert(&change.at);
            } else {
                present.remove(&change.at);
            }
            let now = present.len();
            fewest = fewest.map(|before| before.min(now)).or_else(|| (now > 0).then_some(now));
        }
        fewest
    }

    /// The living sync with this uid right after a revision; one that is being deleted lives.
    #[must_use]
    pub fn sync(&self, uid: &str, revision: u64) -> Option<&Change> {
        self.present(Kind::Sync, revision).into_iter().find(|change| change.uid() == uid)
    }

    /// The newest revision, 0 if nothing happened.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.changes.last().map_or(0, |change| change.revision)
    }
}

/// An object's uid, empty if it has none.
pub(super) fn uid(object: &Value) -> &str {
    object["metadata"]["uid"].as_str().unwrap_or_default()
}

/// An object's resourceVersion, as the revision that it is.
pub(super) fn revision(object: &Value) -> Option<u64> {
    object["metadata"]["resourceVersion"].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fewest(changes: &[(&str, bool)]) -> Option<usize> {
        let change = |(revision, (name, gone)): (u64, &(&str, bool))| Change {
            kind: Kind::ConfigMap,
            at: NamespacedName::new("a", *name),
            revision,
            object: Value::Null,
            gone: *gone,
            listed: false,
        };
        let history = History::new((1..).zip(changes).map(change).collect());
        history.fewest_present(Kind::ConfigMap, |change| change.at.name != "other")
    }

    #[test]
    fn the_fewest_are_counted_since_the_first() {
        assert_eq!(fewest(&[]), None);
        assert_eq!(fewest(&[("other", false)]), None);
        assert_eq!(fewest(&[("x", false)]), Some(1));
        assert_eq!(fewest(&[("x", false), ("y", false), ("x", true)]), Some(1));
        assert_eq!(fewest(&[("x", false), ("x", true), ("y", false)]), Some(0));
    }
}
