//! Namespaces whose annotation `no-copies` forbids copies in them, or is unclear.

use crate::api::DeletionPolicy;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::Content;
use crate::decide::observed::NamespaceState;
use crate::decide::reason::Reason;
use crate::decide::simulation::cluster::SimulatedCluster;
use crate::decide::simulation::crashes::copy;
use crate::decide::simulation::crashes::settle;
use crate::decide::simulation::crashes::settled_cluster;

/// A cluster with one copy in sync, in a namespace that is now in this state.
fn cluster_with(state: NamespaceState) -> SimulatedCluster {
    let mut cluster = settled_cluster(content("1"));
    cluster.namespaces.insert("n".into(), state);
    cluster
}

fn content(value: &str) -> Content {
    let data = [("key".to_owned(), value.to_owned())].into();
    Content { data, ..Content::default() }
}

fn reason_at(cluster: &SimulatedCluster, at: &NamespacedName) -> Option<Reason> {
    match cluster.plan().steps.get(at) {
        Some(Action::Leave(failure)) => Some(failure.reason),
        _ => None,
    }
}

#[test]
fn a_copy_in_a_refusing_namespace_is_deleted_and_reported() {
    let mut cluster = cluster_with(NamespaceState::Refused);
    settle(&mut cluster);
    assert!(!cluster.config_maps.contains_key(&copy()));
    assert_eq!(reason_at(&cluster, &copy()), Some(Reason::DestinationRefused));
    assert!(cluster.finalizer);

    cluster.namespaces.remove("n");
    settle(&mut cluster);
    assert_eq!(cluster.config_maps[&copy()].content, content("1"));
}

#[test]
fn a_retained_copy_in_a_refusing_namespace_is_released() {
    let mut cluster = cluster_with(NamespaceState::Refused);
    cluster.spec.deletion_policy = DeletionPolicy::Retain;
    settle(&mut cluster);
    let left = &cluster.config_maps[&copy()];
    assert_eq!((left.markers(), &left.content), (None, &content("1")));
    assert_eq!(reason_at(&cluster, &copy()), Some(Reason::DestinationRefused));
}

#[test]
fn a_renamed_copy_in_a_refusing_namespace_is_not_kept() {
    let mut cluster = cluster_with(NamespaceState::Refused);
    cluster.spec.destination_name = Some("renamed".into());
    settle(&mut cluster);
    assert!(!cluster.config_maps.contains_key(&copy()));
    let renamed = NamespacedName::new("n", "renamed");
    assert_eq!(reason_at(&cluster, &renamed), Some(Reason::DestinationRefused));
}

#[test]
fn a_selector_skips_refusing_namespaces() {
    let mut cluster = settled_cluster(content("1"));
    cluster.spec.destination_namespace = None;
    cluster.spec.destination_namespace_selector = Some(serde_json::from_str("{}").unwrap());
    settle(&mut cluster);
    assert!(cluster.config_maps.contains_key(&copy()));
    cluster.namespaces.insert("n".into(), NamespaceState::Refused);
    settle(&mut cluster);
    assert!(!cluster.config_maps.contains_key(&copy()));
    assert_eq!(reason_at(&cluster, &copy()), None);
}

#[test]
fn an_unclear_annotation_keeps_the_copy_unchanged() {
    for selector in [None, Some(serde_json::from_str("{}").unwrap())] {
        let mut cluster = cluster_with(NamespaceState::Unclear);
        if selector.is_some() {
            cluster.spec.destination_namespace = None;
            cluster.spec.destination_namespace_selector = selector;
        }
        cluster.put(&NamespacedName::new("central", "s"), content("2"), None);
        settle(&mut cluster);
        assert_eq!(cluster.config_maps[&copy()].content, content("1"));
        assert_eq!(reason_at(&cluster, &copy()), Some(Reason::DestinationRefused));

        cluster.deleting = true;
        settle(&mut cluster);
        assert!(!cluster.config_maps.contains_key(&copy()) && !cluster.finalizer);
    }
}
