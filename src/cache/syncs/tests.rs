use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::json;

use super::*;
use crate::api::StoredConfigMapSync;

fn sync(uid: &str, source: &str) -> ObservedSync {
    let stored: StoredConfigMapSync = serde_json::from_value(json!({
        "metadata": {"namespace": "team", "name": "sync", "uid": uid, "resourceVersion": "1"},
        "spec": {
            "sourceNamespace": "central",
            "configMapName": source,
            "destinationNamespace": "app",
            "destinationName": "copy",
        },
    }))
    .unwrap();
    ObservedSync::of(&stored).unwrap()
}

fn selecting(uid: &str) -> ObservedSync {
    let mut sync = sync(uid, "a");
    let spec = sync.spec.as_mut().unwrap();
    spec.destination_namespace = None;
    spec.destination_namespace_selector = Some(LabelSelector::default());
    sync
}

fn refers_to(syncs: &Syncs, at: &NamespacedName) -> bool {
    !syncs.referring_to(at, |_| false).is_empty()
}

fn name() -> NamespacedName {
    NamespacedName::new("team", "sync")
}

#[test]
fn a_sync_refers_to_source_and_destination() {
    let mut syncs = Syncs::default();
    syncs.apply(&sync("1", "a"));
    assert!(refers_to(&syncs, &NamespacedName::new("central", "a")));
    assert!(refers_to(&syncs, &NamespacedName::new("app", "copy")));
    assert_eq!(syncs.with_destination_in("app").collect::<Vec<_>>(), [name()]);
}

#[test]
fn a_changed_sync_drops_its_former_references() {
    let mut syncs = Syncs::default();
    syncs.apply(&sync("1", "a"));
    let source = NamespacedName::new("central", "a");
    assert!(syncs.apply(&sync("1", "b")).names.contains(&source));
    assert!(!syncs.may_refer_to(&source));
}

#[test]
fn a_selecting_sync_refers_to_copies_it_selects() {
    let mut syncs = Syncs::default();
    syncs.apply(&selecting("1"));
    let copy = NamespacedName::new("anywhere", "copy");
    assert!(syncs.may_refer_to(&copy));
    assert_eq!(syncs.referring_to(&copy, |_| true), BTreeSet::from([name()]));
    assert!(syncs.referring_to(&copy, |_| false).is_empty());
    assert!(syncs.remove(&name()).unwrap().1.selection);
    assert!(!syncs.may_refer_to(&copy));
    assert_eq!(syncs.selecting(|_| true).count(), 0);
}

#[test]
fn a_large_sync_is_known_by_what_it_refers_to() {
    let mut syncs = Syncs::default();
    let mut large = selecting("1");
    let keys = || (0..512).map(|key| format!("key-{key}"));
    large.spec.as_mut().unwrap().keys = Some(keys().collect());
    syncs.apply(&large);
    assert_eq!(syncs.selecting(|_| true).collect::<Vec<_>>(), [name()], "its selector is small");
    let labels = keys().map(|key| (key, String::new()));
    large.spec.as_mut().unwrap().destination_namespace_selector =
        Some(LabelSelector { match_labels: Some(labels.collect()), ..LabelSelector::default() });
    syncs.apply(&large);
    assert!(
        matches!(syncs.get(&name()), Some(KnownSync::Large { uid, bytes }) if uid == "1" && bytes > MAX_SYNC)
    );
    assert!(syncs.is_source_of(&NamespacedName::new("central", "a"), &name()));
    let copy = NamespacedName::new("anywhere", "copy");
    assert_eq!(syncs.referring_to(&copy, |_| false), BTreeSet::from([name()]), "it may");
    assert_eq!(syncs.selecting(|_| true).count(), 0);
    assert_eq!(syncs.with_unknown_selection().collect::<Vec<_>>(), [name()]);
    assert!(syncs.apply(&selecting("1")).selection);
    assert!(matches!(syncs.get(&name()), Some(KnownSync::Whole(_))));
}

#[test]
fn a_recreated_sync_is_known_by_its_new_uid_only() {
    let mut syncs = Syncs::default();
    syncs.apply(&sync("1", "a"));
    assert_eq!(syncs.replaced_by(&sync("1", "b")), None);
    assert_eq!(syncs.replaced_by(&sync("2", "a")).as_deref(), Some("1"));
    syncs.apply(&sync("2", "a"));
    assert_eq!(syncs.named(&"1".into()), None);
    assert_eq!(syncs.named(&"2".into()), Some(name()));
}
