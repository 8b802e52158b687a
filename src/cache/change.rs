//! Changes of `ConfigMap`s, and the `ConfigMapSync`s (syncs) that they affect.
//!
//! A reconcile that reads or writes a `ConfigMap` observes the result before the watch delivers it.
//! Until then, the change is pending: the event of the watch enqueues the other affected syncs.

use std::collections::BTreeSet;

use crate::api::namespaced_name::NamespacedName;

/// Where a version of a `ConfigMap` was observed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In an event of the watch.
    Watch,
    /// In the response to a read, by the reconcile of any sync.
    Read,
    /// In the response to a write, by the reconcile of the sync that the ownership markers name.
    Write,
}

/// A `ConfigMap` was created, changed or deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigMapChange {
    /// Namespace and name of the `ConfigMap`.
    pub at: NamespacedName,
    /// The uids of the syncs that the ownership markers name now or named before the change.
    pub sync_uids: BTreeSet<String>,
    /// The uid of a sync, if the change consists only of its own writes: it is not enqueued.
    pub caused_by: Option<String>,
}

/// A change that was observed in a response, and that the watch has not delivered yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PendingChange {
    /// The uids of the syncs that the ownership markers named at any time since the last event of
    /// the watch.
    pub(super) sync_uids: BTreeSet<String>,
    /// The uid of a sync, if the change consists only of its own writes.
    pub(super) caused_by: Option<String>,
}

// === impl ConfigMapChange ===

impl ConfigMapChange {
    /// The `pending` change of the `ConfigMap` at `at`, which the watch has now delivered.
    pub(super) fn delivered(at: NamespacedName, pending: PendingChange) -> Self {
        Self { at, sync_uids: pending.sync_uids, caused_by: pending.caused_by }
    }
}

// === impl PendingChange ===

impl PendingChange {
    /// The pending change after an observation from `origin`, where `before` was pending until then.
    /// `None` after an event of the watch, which delivers what was pending.
    pub(super) fn after(
        origin: Origin,
        sync_uids: &BTreeSet<String>,
        writer: Option<&String>,
        before: Option<&Self>,
    ) -> Option<Box<Self>> {
        let caused_by = match (origin, before) {
            (Origin::Watch, _) => return None,
            (Origin::Write, None) => writer.cloned(),
            (Origin::Write, Some(before)) => {
                writer.filter(|writer| before.caused_by.as_ref() == Some(*writer)).cloned()
            }
            (Origin::Read, _) => None,
        };
        let mut sync_uids = sync_uids.clone();
        sync_uids.extend(before.into_iter().flat_map(|before| before.sync_uids.iter().cloned()));
        Some(Box::new(Self { sync_uids, caused_by }))
    }
}

#[cfg(test)]
mod tests {
    use crate::decide::drift::ConfigMapMetadata;

    use super::*;
    use crate::cache::config_maps::ConfigMaps;
    use crate::names;

    fn at() -> NamespacedName {
        NamespacedName::new("app", "shared")
    }

    fn copy(resource_version: &str, sync_uid: &str) -> ConfigMapMetadata {
        ConfigMapMetadata {
            namespace: Some(at().namespace),
            name: Some(at().name),
            uid: Some("u".into()),
            resource_version: Some(resource_version.into()),
            labels: Some([(names::LABEL_SYNC_UID.to_owned(), sync_uid.to_owned())].into()),
            ..ConfigMapMetadata::default()
        }
    }

    fn deliver(
        config_maps: &mut ConfigMaps,
        metadata: &ConfigMapMetadata,
    ) -> Option<ConfigMapChange> {
        config_maps.apply(metadata, Origin::Watch, |_| false)
    }

    fn change(sync_uids: &[&str], caused_by: Option<&str>) -> ConfigMapChange {
        let sync_uids = sync_uids.iter().map(|uid| (*uid).to_owned()).collect();
        ConfigMapChange { at: at(), sync_uids, caused_by: caused_by.map(str::to_owned) }
    }

    #[test]
    fn the_watch_delivers_a_write_once_with_its_cause() {
        let mut config_maps = ConfigMaps::default();
        assert!(config_maps.apply(&copy("1", "s"), Origin::Write, |_| false).is_some());
        assert_eq!(deliver(&mut config_maps, &copy("1", "s")), Some(change(&["s"], Some("s"))));
        assert_eq!(deliver(&mut config_maps, &copy("1", "s")), None);
    }

    #[test]
    fn the_watch_delivers_a_read_without_a_cause() {
        let mut config_maps = ConfigMaps::default();
        deliver(&mut config_maps, &copy("1", "s"));
        assert!(config_maps.apply(&copy("2", "t"), Origin::Read, |_| false).is_some());
        assert!(config_maps.apply(&copy("3", "t"), Origin::Write, |_| false).is_some());
        assert_eq!(deliver(&mut config_maps, &copy("2", "t")), None);
        assert_eq!(deliver(&mut config_maps, &copy("3", "t")), Some(change(&["s", "t"], None)));
    }

    #[test]
    fn the_watch_delivers_our_deletion_to_referring_syncs() {
        let mut config_maps = ConfigMaps::default();
        deliver(&mut config_maps, &copy("1", "s"));
        assert!(config_maps.remove(&at(), Some("u"), Origin::Write, |_| true).is_some());
        let delivered = config_maps.remove(&at(), Some("u"), Origin::Watch, |_| true);
        assert_eq!(delivered, Some(change(&[], None)));
        assert_eq!(config_maps.remove(&at(), Some("u"), Origin::Watch, |_| false), None);
    }
}
