//! What a call of ours told before the watch did.
//!
//! A round that reads or writes a `ConfigMap` learns of it first. Everybody else whom it concerns
//! learns of it when the watch tells the same: nobody is left out because another knew before.

use std::collections::BTreeSet;

/// Who tells of a `ConfigMap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The watch, on behalf of whoever it concerns.
    Watch,
    /// A read by the round of some sync.
    Read,
    /// The answer to a write by the round of the sync that the markers name.
    Write,
}

/// Whom the watch still has to tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PendingChange {
    /// The uids of the syncs that the markers named at any time since.
    pub sync_uids: BTreeSet<String>,
    /// The uid of the one sync that did it all by itself, and need not be told.
    pub caused_by: Option<String>,
}

// === impl PendingChange ===

impl PendingChange {
    /// What is news after a call, where `before` was news already.
    pub fn after(
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
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;
    use crate::api::namespaced_name::NamespacedName;
    use crate::cache::ConfigMapChange;
    use crate::cache::config_maps::ConfigMaps;
    use crate::names;

    fn at() -> NamespacedName {
        NamespacedName::new("app", "shared")
    }

    fn copy(resource_version: &str, sync_uid: &str) -> ObjectMeta {
        ObjectMeta {
            namespace: Some(at().namespace),
            name: Some(at().name),
            uid: Some("u".into()),
            resource_version: Some(resource_version.into()),
            labels: Some([(names::LABEL_SYNC_UID.to_owned(), sync_uid.to_owned())].into()),
            ..ObjectMeta::default()
        }
    }

    fn seen(config_maps: &mut ConfigMaps, metadata: &ObjectMeta) -> Option<ConfigMapChange> {
        config_maps.seen(metadata, Origin::Watch, |_| false)
    }

    fn concerns(sync_uids: &[&str], caused_by: Option<&str>) -> ConfigMapChange {
        let sync_uids = sync_uids.iter().map(|uid| (*uid).to_owned()).collect();
        ConfigMapChange { at: at(), sync_uids, caused_by: caused_by.map(str::to_owned) }
    }

    #[test]
    fn what_a_write_told_first_is_told_by_the_watch_once_to_all_but_the_writer() {
        let mut config_maps = ConfigMaps::default();
        assert!(config_maps.seen(&copy("1", "s"), Origin::Write, |_| false).is_some());
        assert_eq!(seen(&mut config_maps, &copy("1", "s")), Some(concerns(&["s"], Some("s"))));
        assert_eq!(seen(&mut config_maps, &copy("1", "s")), None);
    }

    #[test]
    fn what_a_read_told_first_is_told_by_the_watch_to_all() {
        let mut config_maps = ConfigMaps::default();
        seen(&mut config_maps, &copy("1", "s"));
        assert!(config_maps.seen(&copy("2", "t"), Origin::Read, |_| false).is_some());
        assert!(config_maps.seen(&copy("3", "t"), Origin::Write, |_| false).is_some());
        assert_eq!(seen(&mut config_maps, &copy("2", "t")), None);
        assert_eq!(seen(&mut config_maps, &copy("3", "t")), Some(concerns(&["s", "t"], None)));
    }

    #[test]
    fn what_went_in_a_call_is_told_by_the_watch_to_whoever_refers_to_it() {
        let mut config_maps = ConfigMaps::default();
        seen(&mut config_maps, &copy("1", "s"));
        assert!(config_maps.gone(&at(), Some("u"), Origin::Write, |_| true).is_some());
        let gone = config_maps.gone(&at(), Some("u"), Origin::Watch, |_| true);
        assert_eq!(gone, Some(concerns(&[], None)));
        assert_eq!(config_maps.gone(&at(), Some("u"), Origin::Watch, |_| false), None);
    }
}
