use std::collections::BTreeMap;

use super::*;
use crate::names;

fn metadata(uid: &str, resource_version: &str, sync_uid: Option<&str>) -> ObjectMeta {
    ObjectMeta {
        namespace: Some("app".into()),
        name: Some("shared".into()),
        uid: Some(uid.into()),
        resource_version: Some(resource_version.into()),
        labels: sync_uid
            .map(|uid| BTreeMap::from([(names::LABEL_SYNC_UID.to_owned(), uid.to_owned())])),
        ..ObjectMeta::default()
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

fn seen(config_maps: &mut ConfigMaps, metadata: &ObjectMeta) -> Option<ConfigMapChange> {
    config_maps.seen(metadata, Origin::Watch, |_| false)
}

#[test]
fn within_one_uid_it_never_goes_back() {
    let mut config_maps = ConfigMaps::default();
    assert!(seen(&mut config_maps, &metadata("u", "10", Some("s"))).is_some());
    assert_eq!(seen(&mut config_maps, &metadata("u", "9", Some("s"))), None);
    assert_eq!(version(&config_maps).as_deref(), Some("10"));
}

#[test]
fn a_list_is_believed_even_if_storage_was_restored_to_an_earlier_state() {
    let mut config_maps = ConfigMaps::default();
    seen(&mut config_maps, &metadata("u", "10", Some("s")));
    config_maps.list_begins();
    assert!(seen(&mut config_maps, &metadata("u", "9", Some("s"))).is_some());
    assert_eq!(version(&config_maps).as_deref(), Some("9"));
}

#[test]
fn another_uid_is_believed_whatever_its_resource_version() {
    let mut config_maps = ConfigMaps::default();
    seen(&mut config_maps, &metadata("u", "10", Some("s")));
    assert!(seen(&mut config_maps, &metadata("v", "3", Some("s"))).is_some());
    assert_eq!(version(&config_maps).as_deref(), Some("3"));
}

#[test]
fn the_deletion_of_an_earlier_object_does_not_hide_the_later_one() {
    let mut config_maps = ConfigMaps::default();
    seen(&mut config_maps, &metadata("v", "12", Some("s")));
    assert_eq!(config_maps.gone(&at(), Some("u"), Origin::Watch, |_| false), None);
    assert!(version(&config_maps).is_some());
}

#[test]
fn what_is_neither_marked_nor_referred_to_is_dropped() {
    let mut config_maps = ConfigMaps::default();
    assert_eq!(seen(&mut config_maps, &metadata("u", "1", None)), None);
    assert_eq!(config_maps.get(&at()), CachedConfigMap::Unknown);
    assert!(config_maps.seen(&metadata("u", "1", None), Origin::Watch, |_| true).is_some());
    config_maps.no_longer_referred_to(&at());
    assert_eq!(config_maps.get(&at()), CachedConfigMap::Unknown);
}

#[test]
fn a_list_takes_away_what_is_not_in_it_but_not_what_was_written_meanwhile() {
    let mut config_maps = ConfigMaps::default();
    seen(&mut config_maps, &metadata("u", "1", Some("s")));
    config_maps.list_begins();
    let gone = config_maps.list_ends();
    assert_eq!(
        gone,
        vec![ConfigMapChange {
            at: at(),
            sync_uids: BTreeSet::from(["s".to_owned()]),
            caused_by: None
        }]
    );
    config_maps.list_begins();
    seen(&mut config_maps, &metadata("v", "2", Some("s")));
    assert_eq!(config_maps.list_ends(), vec![]);
    assert_eq!(config_maps.copies_of("s"), vec![at()]);
}

#[test]
fn a_change_of_owner_concerns_both() {
    let mut config_maps = ConfigMaps::default();
    seen(&mut config_maps, &metadata("u", "1", Some("s")));
    let change = seen(&mut config_maps, &metadata("u", "2", Some("t"))).unwrap();
    assert_eq!(change.sync_uids, BTreeSet::from(["s".to_owned(), "t".to_owned()]));
    assert!(config_maps.copies_of("s").is_empty());
}

#[test]
fn an_answer_that_the_watch_has_overtaken_brings_nothing_back() {
    let mut config_maps = ConfigMaps::default();
    seen(&mut config_maps, &metadata("u", "2", Some("s")));
    config_maps.gone(&at(), Some("u"), Origin::Watch, |_| false);
    let late = metadata("u", "2", Some("s"));
    assert_eq!(config_maps.seen(&late, Origin::Write, |_| true), None);
    assert_eq!(config_maps.get(&at()), CachedConfigMap::Unknown);

    seen(&mut config_maps, &metadata("v", "4", Some("t")));
    assert_eq!(config_maps.seen(&late, Origin::Write, |_| true), None);
    assert_eq!(version(&config_maps).as_deref(), Some("4"));
    assert!(config_maps.seen(&metadata("w", "5", Some("s")), Origin::Write, |_| true).is_some());
}

#[test]
fn a_list_tells_nothing_of_the_order_in_which_things_happened() {
    let mut config_maps = ConfigMaps::default();
    config_maps.list_begins();
    seen(&mut config_maps, &metadata("u", "9", Some("s")));
    config_maps.gone(&at(), Some("u"), Origin::Write, |_| false);
    config_maps.list_ends();
    let written = metadata("v", "8", Some("s"));
    assert!(config_maps.seen(&written, Origin::Write, |_| true).is_some());
}

#[test]
fn what_we_wrote_ourselves_need_not_be_read() {
    let mut config_maps = ConfigMaps::default();
    config_maps.seen(&metadata("u", "2", None), Origin::Watch, |_| true);
    let seen = Version { uid: "u".into(), resource_version: "2".into() };
    let content = Content { immutable: true, ..Content::default() };
    config_maps.written(&metadata("u", "3", Some("s")), &seen, Some(&content));
    let seen = Version { uid: "u".into(), resource_version: "3".into() };
    config_maps.written(&metadata("u", "4", Some("s")), &seen, None);
    let CachedConfigMap::Present(entry) = config_maps.get(&at()) else { panic!("it is there") };
    assert_eq!(entry.read, Some(content.digest()));
}

#[test]
fn a_read_counts_only_for_the_version_that_was_read() {
    let mut config_maps = ConfigMaps::default();
    seen(&mut config_maps, &metadata("u", "2", Some("s")));
    let digest = Content::default().digest();
    let older = Version { uid: "u".into(), resource_version: "1".into() };
    config_maps.record_content(&at(), &older, digest);
    let CachedConfigMap::Present(entry) = config_maps.get(&at()) else { panic!("it is there") };
    assert_eq!(entry.read, None);
}

/// A read begins, something is told, and then its answer comes: this, or nothing.
fn read(
    config_maps: &mut ConfigMaps,
    told: impl FnOnce(&mut ConfigMaps),
    answer: Option<&ObjectMeta>,
) {
    let began = config_maps.begin_read(&at());
    told(config_maps);
    match answer {
        Some(found) => config_maps.found(found, began, |_| true),
        None => config_maps.found_nothing(&at(), began, |_| true),
    }
    config_maps.end_read(&at());
}

#[test]
fn what_was_told_while_a_read_was_under_way_is_not_taken_back_by_its_answer() {
    let at_version = |version| metadata("u", version, Some("s"));
    let tell = |version| move |config_maps: &mut ConfigMaps| drop(seen(config_maps, &version));
    let mut config_maps = ConfigMaps::default();
    seen(&mut config_maps, &at_version("1"));
    read(&mut config_maps, tell(at_version("3")), Some(&at_version("2")));
    assert_eq!(version(&config_maps).as_deref(), Some("3"));
    read(&mut config_maps, tell(at_version("4")), None);
    assert_eq!(version(&config_maps).as_deref(), Some("4"));
    read(&mut config_maps, tell(metadata("v", "6", Some("s"))), Some(&at_version("5")));
    assert_eq!(version(&config_maps).as_deref(), Some("6"));
    let newer = metadata("v", "8", Some("s"));
    read(&mut config_maps, tell(metadata("v", "7", Some("s"))), Some(&newer));
    assert_eq!(version(&config_maps).as_deref(), Some("8"), "newer than what was told");
    let gone =
        |config_maps: &mut ConfigMaps| drop(config_maps.gone(&at(), None, Origin::Watch, |_| true));
    read(&mut config_maps, gone, Some(&metadata("v", "9", None)));
    assert_eq!(version(&config_maps), None);
}

#[test]
fn an_answer_that_nothing_has_overtaken_is_believed() {
    let nothing = |_: &mut ConfigMaps| {};
    let mut config_maps = ConfigMaps::default();
    seen(&mut config_maps, &metadata("u", "10", Some("s")));
    read(&mut config_maps, nothing, Some(&metadata("u", "9", Some("s"))));
    assert_eq!(version(&config_maps).as_deref(), Some("9"), "storage was restored");
    read(&mut config_maps, nothing, None);
    assert_eq!(config_maps.get(&at()), CachedConfigMap::Absent);
}
