use std::collections::BTreeMap;

use kube::core::Expression;

use super::*;

fn named(name: &str, uid: &str) -> NamespaceMetadata {
    let (name, uid) = (Some(name.into()), Some(uid.into()));
    NamespaceMetadata { name, uid, ..NamespaceMetadata::default() }
}

fn labelled(labels: &BTreeMap<String, String>) -> NamespaceMetadata {
    NamespaceMetadata { labels: Some(NamespaceLabels::of(labels)), ..named("app", "1") }
}

/// Labels that are too large to be kept, and `team`.
fn large(team: &str) -> BTreeMap<String, String> {
    let many = (0..100).map(|number| (format!("key-{number:02}"), "v".repeat(63)));
    many.chain([("team".to_owned(), team.to_owned())]).collect()
}

#[test]
fn a_namespace_changes_once_and_when_recreated() {
    let mut namespaces = Namespaces::new(NamespacePatterns::default());
    assert!(namespaces.apply(&named("app", "1")).is_some());
    assert!(namespaces.apply(&named("app", "1")).is_none());
    assert!(namespaces.apply(&named("app", "2")).is_some(), "re-created under the same name");
}

#[test]
fn a_changed_label_is_a_change_of_labels_only() {
    let mut namespaces = Namespaces::new(NamespacePatterns::default());
    assert!(!namespaces.apply(&named("app", "1")).unwrap().is_of_labels_only());
    let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
    let change = namespaces.apply(&labelled(&labels)).unwrap();
    assert!(change.is_of_labels_only());
    assert!(!namespaces.remove("app").unwrap().is_of_labels_only());
}

#[test]
fn a_changed_refusal_is_more_than_a_change_of_labels() {
    let mut namespaces = Namespaces::new(NamespacePatterns::default());
    namespaces.apply(&named("app", "1"));
    for (value, expected) in [
        ("TRUE", NamespaceState::Refused),
        ("yes", NamespaceState::Unclear),
        ("false", NamespaceState::Active),
    ] {
        let annotations = [(names::ANNOTATION_NO_COPIES.to_owned(), value.to_owned())];
        let annotations = Some(BTreeMap::from(annotations));
        let change =
            namespaces.apply(&NamespaceMetadata { annotations, ..named("app", "1") }).unwrap();
        assert!(!change.is_of_labels_only());
        assert_eq!(namespaces.state("app"), expected);
    }
    assert!(namespaces.apply(&named("app", "1")).is_none(), "absent means allowed");
}

#[test]
fn a_list_removes_namespaces_that_it_lacks() {
    let mut namespaces = Namespaces::new(NamespacePatterns::default());
    namespaces.apply(&named("app", "1"));
    namespaces.begin_list();
    let gone: Vec<_> = namespaces.end_list().into_iter().map(|change| change.name).collect();
    assert_eq!(gone, ["app"]);
    assert_eq!(namespaces.state("app"), NamespaceState::Missing);
}

#[test]
fn a_protected_namespace_stays_protected() {
    let mut namespaces = Namespaces::new("kube-system,openshift-*".parse().unwrap());
    for name in ["kube-system", "openshift-config"] {
        namespaces.apply(&named(name, "1"));
        assert_eq!(namespaces.state(name), NamespaceState::Protected);
    }
    assert_eq!(namespaces.select(&Selector::default()), Selected::default());
}

#[test]
fn labels_that_are_not_kept_are_undecided_until_a_read() {
    let mut namespaces = Namespaces::new(NamespacePatterns::default());
    let selectors = [
        Expression::DoesNotExist("team".to_owned()),
        Expression::NotIn("team".to_owned(), ["a".to_owned()].into()),
        Expression::Exists("team".to_owned()),
    ];
    namespaces.apply(&labelled(&large("a")));
    for selector in selectors.clone().map(Selector::from) {
        let selected = namespaces.select(&selector);
        assert!(selected.names.is_empty() && selected.undecided.contains("app"), "{selector}");
        namespaces.record_match(
            &selector,
            "app",
            Some("1"),
            &NamespaceLabels::of(&large("a")),
            true,
        );
        assert_eq!(namespaces.is_selected_now(&selector, "app"), Some(true));
    }
    assert!(namespaces.apply(&labelled(&large("a"))).is_none());
    let [selector, ..] = selectors.map(Selector::from);
    assert_eq!(namespaces.is_selected_now(&selector, "app"), Some(true), "nothing has changed");
    assert_eq!(namespaces.is_selected_now(&Selector::default(), "app"), Some(true));

    let change = namespaces.apply(&labelled(&large("b"))).unwrap();
    assert!(!change.is_of_labels_only(), "any selector may be concerned");
    assert_eq!(namespaces.is_selected_now(&selector, "app"), None);
}

#[test]
fn a_read_of_other_labels_is_not_remembered() {
    let mut namespaces = Namespaces::new(NamespacePatterns::default());
    let selector = Selector::from(Expression::Exists("team".to_owned()));
    let labels = NamespaceLabels::of(&large("a"));
    namespaces.apply(&labelled(&large("b")));
    namespaces.record_match(&selector, "app", Some("1"), &labels, true);
    namespaces.apply(&labelled(&large("a")));
    namespaces.record_match(&selector, "app", Some("2"), &labels, true);
    assert_eq!(namespaces.is_selected_now(&selector, "app"), None);
    namespaces.record_match(&selector, "app", Some("1"), &labels, true);
    assert_eq!(namespaces.is_selected_now(&selector, "app"), Some(true));
}

#[test]
fn a_terminating_namespace_is_not_read() {
    let mut namespaces = Namespaces::new(NamespacePatterns::default());
    let deletion_timestamp = serde_json::from_str("\"2026-01-01T00:00:00Z\"").ok();
    namespaces.apply(&NamespaceMetadata { deletion_timestamp, ..labelled(&large("a")) });
    let selector = Selector::from(Expression::Exists("team".to_owned()));
    assert_eq!(namespaces.select(&selector), Selected::default());
}
