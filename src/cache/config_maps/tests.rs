use std::collections::BTreeMap;

use super::*;
use crate::names;

fn metadata(uid: &str, resource_version: &str, sync_uid: Option<&str>) -> ConfigMapMetadata {
    ConfigMapMetadata {
        namespace: Some("app".into()),
        name: Some("shared".into()),
        uid: Some(uid.into()),
        resource_version: Some(resource_version.into()),
        labels: sync_uid
            .map(|uid| BTreeMap::from([(names::LABEL_SYNC_UID.to_owned(), uid.to_owned())])),
        ..ConfigMapMetadata::default()
    }
}

fn at() -> NamespacedName {
    NamespacedName::new("app", "shared")
}

fn version(config_maps: &ConfigMaps) -> Option<String> {
    match config_maps.get(&at()) {
        CachedConfigMap::Present(entry) => Some(entry.version.resource_version),
        CachedConfigMap::Absent | CachedConfigMap::Unknown => None,
    }
}

fn watch(config_maps: &mut ConfigMaps, metadata: &ConfigMapMetadata) -> Option<ConfigMapChange> {
    config_maps.apply(metadata, Origin::Watch, |_| false)
}

#[test]
fn an_older_version_of_one_uid_is_ignored() {
    let mut config_maps = ConfigMaps::default();
    assert!(watch(&mut config_maps, &metadata("u", "10", Some("s"))).is_some());
    assert_eq!(watch(&mut config_maps, &metadata("u", "9", Some("s"))), None);
    assert_eq!(version(&config_maps).as_deref(), Some("10"));
}

#[test]
fn a_list_counts_after_a_restore_of_etcd() {
    let mut config_maps = ConfigMaps::default();
    watch(&mut config_maps, &metadata("u", "10", Some("s")));
    config_maps.begin_list(None);
    assert!(watch(&mut config_maps, &metadata("u", "9", Some("s"))).is_some());
    assert_eq!(version(&config_maps).as_deref(), Some("9"));
}

#[test]
fn another_uid_counts_with_any_resource_version() {
    let mut config_maps = ConfigMaps::default();
    watch(&mut config_maps, &metadata("u", "10", Some("s")));
    assert!(watch(&mut config_maps, &metadata("v", "3", Some("s"))).is_some());
    assert_eq!(version(&config_maps).as_deref(), Some("3"));
}

#[test]
fn deletion_of_a_predecessor_keeps_the_successor() {
    let mut config_maps = ConfigMaps::default();
    watch(&mut config_maps, &metadata("v", "12", Some("s")));
    assert_eq!(config_maps.remove(&at(), Some("u"), Origin::Watch, |_| false), None);
    assert!(version(&config_maps).is_some());
}

#[test]
fn an_unmarked_unreferenced_config_map_is_dropped() {
    let mut config_maps = ConfigMaps::default();
    assert_eq!(watch(&mut config_maps, &metadata("u", "1", None)), None);
    assert_eq!(config_maps.get(&at()), CachedConfigMap::Unknown);
    assert!(config_maps.apply(&metadata("u", "1", None), Origin::Watch, |_| true).is_some());
    config_maps.drop_unmarked(&at());
    assert_eq!(config_maps.get(&at()), CachedConfigMap::Unknown);
}

#[test]
fn a_list_removes_what_it_lacks_except_later_writes() {
    let mut config_maps = ConfigMaps::default();
    watch(&mut config_maps, &metadata("u", "1", Some("s")));
    config_maps.begin_list(None);
    let gone = config_maps.end_list(None);
    assert_eq!(
        gone,
        vec![ConfigMapChange {
            at: at(),
            sync_uids: BTreeSet::from(["s".to_owned()]),
            caused_by: None
        }]
    );
    config_maps.begin_list(None);
    watch(&mut config_maps, &metadata("v", "2", Some("s")));
    assert_eq!(config_maps.end_list(None), vec![]);
    assert_eq!(config_maps.copies_of("s"), vec![at()]);
}

#[test]
fn a_change_of_owner_concerns_both_syncs() {
    let mut config_maps = ConfigMaps::default();
    watch(&mut config_maps, &metadata("u", "1", Some("s")));
    let change = watch(&mut config_maps, &metadata("u", "2", Some("t"))).unwrap();
    assert_eq!(change.sync_uids, BTreeSet::from(["s".to_owned(), "t".to_owned()]));
    assert!(config_maps.copies_of("s").is_empty());
}

#[test]
fn an_overtaken_write_response_revives_nothing() {
    let mut config_maps = ConfigMaps::default();
    watch(&mut config_maps, &metadata("u", "2", Some("s")));
    config_maps.remove(&at(), Some("u"), Origin::Watch, |_| false);
    let late = metadata("u", "2", Some("s"));
    assert_eq!(config_maps.apply(&late, Origin::Write, |_| true), None);
    assert_eq!(config_maps.get(&at()), CachedConfigMap::Unknown);

    watch(&mut config_maps, &metadata("v", "4", Some("t")));
    assert_eq!(config_maps.apply(&late, Origin::Write, |_| true), None);
    assert_eq!(version(&config_maps).as_deref(), Some("4"));
    assert!(config_maps.apply(&metadata("w", "5", Some("s")), Origin::Write, |_| true).is_some());
}

#[test]
fn a_list_does_not_overtake_a_write_response() {
    let mut config_maps = ConfigMaps::default();
    config_maps.begin_list(None);
    watch(&mut config_maps, &metadata("u", "9", Some("s")));
    config_maps.remove(&at(), Some("u"), Origin::Write, |_| false);
    config_maps.end_list(None);
    let written = metadata("v", "8", Some("s"));
    assert!(config_maps.apply(&written, Origin::Write, |_| true).is_some());
}

#[test]
fn our_own_patch_needs_no_read() {
    let mut config_maps = ConfigMaps::default();
    config_maps.apply(&metadata("u", "2", None), Origin::Watch, |_| true);
    let seen = Version { uid: "u".into(), resource_version: "2".into() };
    let content = Content { immutable: true, ..Content::default() };
    config_maps.record_patch(&metadata("u", "3", Some("s")), &seen, Some(&content));
    let seen = Version { uid: "u".into(), resource_version: "3".into() };
    config_maps.record_patch(&metadata("u", "4", Some("s")), &seen, None);
    let CachedConfigMap::Present(entry) = config_maps.get(&at()) else { panic!("it exists") };
    assert_eq!(entry.read, Some(content.digest()));
}

#[test]
fn content_counts_only_for_the_version_read() {
    let mut config_maps = ConfigMaps::default();
    watch(&mut config_maps, &metadata("u", "2", Some("s")));
    let digest = Content::default().digest();
    let older = Version { uid: "u".into(), resource_version: "1".into() };
    config_maps.record_content(&at(), &older, digest);
    let CachedConfigMap::Present(entry) = config_maps.get(&at()) else { panic!("it exists") };
    assert_eq!(entry.read, None);
}

/// A read begins, `meanwhile` happens, and the read returns `response`, or 404.
fn read(
    config_maps: &mut ConfigMaps,
    meanwhile: impl FnOnce(&mut ConfigMaps),
    response: Option<&ConfigMapMetadata>,
) {
    let start = config_maps.begin_read(&at());
    meanwhile(config_maps);
    match response {
        Some(found) => config_maps.record_found(found, start, |_| true),
        None => config_maps.record_not_found(&at(), start, |_| true),
    }
    config_maps.end_read(&at());
}

#[test]
fn a_read_response_does_not_revert_later_events() {
    let at_version = |version| metadata("u", version, Some("s"));
    let event = |version| move |config_maps: &mut ConfigMaps| drop(watch(config_maps, &version));
    let mut config_maps = ConfigMaps::default();
    watch(&mut config_maps, &at_version("1"));
    read(&mut config_maps, event(at_version("3")), Some(&at_version("2")));
    assert_eq!(version(&config_maps).as_deref(), Some("3"));
    read(&mut config_maps, event(at_version("4")), None);
    assert_eq!(version(&config_maps).as_deref(), Some("4"));
    read(&mut config_maps, event(metadata("v", "6", Some("s"))), Some(&at_version("5")));
    assert_eq!(version(&config_maps).as_deref(), Some("6"));
    let newer = metadata("v", "8", Some("s"));
    read(&mut config_maps, event(metadata("v", "7", Some("s"))), Some(&newer));
    assert_eq!(version(&config_maps).as_deref(), Some("8"), "newer than the event");
    let gone = |config_maps: &mut ConfigMaps| {
        drop(config_maps.remove(&at(), None, Origin::Watch, |_| true));
    };
    read(&mut config_maps, gone, Some(&metadata("v", "9", None)));
    assert_eq!(version(&config_maps), None);
}

#[test]
fn a_read_response_that_nothing_overtook_counts() {
    let nothing = |_: &mut ConfigMaps| {};
    let mut config_maps = ConfigMaps::default();
    watch(&mut config_maps, &metadata("u", "10", Some("s")));
    read(&mut config_maps, nothing, Some(&metadata("u", "9", Some("s"))));
    assert_eq!(version(&config_maps).as_deref(), Some("9"), "etcd was restored");
    read(&mut config_maps, nothing, None);
    assert_eq!(config_maps.get(&at()), CachedConfigMap::Absent);
}

#[test]
fn a_list_of_a_namespace_removes_nothing_elsewhere() {
    let mut config_maps = ConfigMaps::default();
    let elsewhere =
        || ConfigMapMetadata { namespace: Some("other".into()), ..metadata("v", "2", Some("s")) };
    for namespace in ["app", "other"] {
        config_maps.begin_list(Some(namespace));
    }
    watch(&mut config_maps, &metadata("u", "1", Some("s")));
    watch(&mut config_maps, &elsewhere());
    for namespace in ["app", "other"] {
        assert_eq!(config_maps.end_list(Some(namespace)), vec![]);
    }
    config_maps.begin_list(Some("app"));
    let gone = config_maps.end_list(Some("app"));
    assert_eq!(gone.into_iter().map(|change| change.at).collect::<Vec<_>>(), [at()]);
    assert_eq!(config_maps.copies_of("s"), [NamespacedName::new("other", "shared")]);
}
