//! After a crash at any point, repeated reconciles reach the same final state and stay there: for
//! random clusters, and for every prefix of a plan.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use proptest::prelude::*;

use crate::api::ConfigMapSyncSpec;
use crate::api::ConflictPolicy;
use crate::api::DeletionPolicy;
use crate::api::DestinationMetadata;
use crate::api::SourceDeletionPolicy;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Content;
use crate::decide::ContentHash;
use crate::decide::Markers;
use crate::decide::Ownership;
use crate::decide::desired;
use crate::decide::desired::source_name;
use crate::decide::observed::NamespaceState;
use crate::decide::ownership;
use crate::decide::plan;
use crate::decide::plan::FinalizerStep;
use crate::decide::simulation::cluster::SYNC_UID;
use crate::decide::simulation::cluster::SimulatedCluster;
use crate::decide::simulation::cluster::StoredConfigMap;
use crate::decide::simulation::cluster::one_to_one;
use crate::decide::simulation::cluster::sync_name;
use crate::names;

/// A reconcile settles within this many passes.
const MAX_PASSES: usize = 6;

fn any_content() -> impl Strategy<Value = Content> {
    (proptest::collection::btree_map("[ab]", "[xy]", 0..3), any::<bool>())
        .prop_map(|(data, immutable)| Content { data, immutable, ..Content::default() })
}

fn any_spec() -> impl Strategy<Value = ConfigMapSyncSpec> {
    let where_to = (proptest::option::of("[cd]"), proptest::option::of("[nm]"));
    let what = (proptest::option::of(Just("a")), proptest::option::of("[xy]"));
    let policies = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (where_to, what, policies).prop_map(
        |((destination_name, namespace), (key, label), (retain, suspend, follow, adopt))| {
            let selector = namespace.is_none().then(LabelSelector::default);
            let labels = |value| BTreeMap::from([("team".to_owned(), value)]);
            ConfigMapSyncSpec {
                source_namespace: "central".into(),
                config_map_name: "s".into(),
                destination_namespace: namespace,
                destination_namespace_selector: selector,
                destination_name,
                service_account_name: None,
                keys: key.map(|key| vec![key.to_owned()]),
                destination_metadata: label.map(|value| DestinationMetadata {
                    labels: labels(value),
                    ..DestinationMetadata::default()
                }),
                deletion_policy: if retain {
                    DeletionPolicy::Retain
                } else {
                    DeletionPolicy::Delete
                },
                source_deletion_policy: if follow {
                    SourceDeletionPolicy::Delete
                } else {
                    SourceDeletionPolicy::Retain
                },
                conflict_policy: if adopt { ConflictPolicy::Adopt } else { ConflictPolicy::Refuse },
                suspend: suspend && retain,
            }
        },
    )
}

/// Markers of this `ConfigMapSync`, of another existing one, or of a deleted one; consistent, or
/// naming another object.
fn any_markers() -> impl Strategy<Value = Option<Markers>> {
    let uid = prop_oneof![Just(SYNC_UID), Just("other"), Just("dead")];
    let named = prop_oneof![Just("team/sync"), Just("team/other")];
    let markers = (uid, named, "[nm]/[scd]", any::<bool>(), any::<bool>()).prop_map(
        |(uid, sync, copy, created, stale)| Markers {
            sync_uid: uid.into(),
            sync: Some(sync.into()),
            copy: Some(copy),
            source: Some("central/s".into()),
            content_hash: stale.then(|| ContentHash::from_text("v1:stale")),
            created,
            deletion_policy: None,
        },
    );
    proptest::option::of(markers)
}

fn any_cluster() -> impl Strategy<Value = SimulatedCluster> {
    let objects = proptest::collection::btree_map(
        "[nm]/[scd]",
        (any_content(), any_markers(), any::<bool>()),
        0..6,
    );
    let source = proptest::option::of(any_content());
    let states: [NamespaceState; 5] = [
        NamespaceState::Terminating,
        NamespaceState::Missing,
        NamespaceState::Protected,
        NamespaceState::Refused,
        NamespaceState::Unclear,
    ];
    let unusable = proptest::option::weighted(0.4, proptest::sample::select(states.to_vec()));
    (any_spec(), source, objects, any::<bool>(), any::<bool>(), unusable).prop_map(
        |(spec, source, objects, deleting, finalizer, unusable)| {
            let mut cluster = SimulatedCluster::new(spec);
            cluster.syncs.insert("other".into(), NamespacedName::new("team", "other"));
            cluster.deleting = deleting;
            cluster.finalizer = finalizer || deleting;
            if let Some(source) = source {
                let at = source_name(&cluster.spec);
                cluster.put(&at, source, None);
            }
            for (at, (content, markers, is_labelled)) in objects {
                let at = at.parse().unwrap();
                cluster.put(&at, content, markers);
                if !is_labelled && let Some(stored) = cluster.config_maps.get_mut(&at) {
                    stored.labels.remove(names::LABEL_SYNC_UID);
                }
            }
            if let Some(state) = unusable {
                cluster.namespaces.insert("m".into(), state);
            }
            cluster
        },
    )
}

/// Carries out plans until one has no writes.
pub fn settle(cluster: &mut SimulatedCluster) {
    for _ in 0..MAX_PASSES {
        let plan = cluster.plan();
        if !plan.has_writes() {
            return;
        }
        cluster.act(&plan, usize::MAX);
    }
    panic!("not settled within {MAX_PASSES} passes; last plan: {:?}", cluster.plan());
}

/// The state that must not depend on a crash: everything except versions.
type FinalState = BTreeMap<NamespacedName, (Content, Map, Map)>;
type Map = BTreeMap<String, String>;

fn final_state(cluster: &SimulatedCluster) -> (bool, FinalState) {
    let objects = cluster.config_maps.iter().map(|(at, stored)| {
        let StoredConfigMap { content, labels, annotations, .. } = stored.clone();
        (at.clone(), (content, labels, annotations))
    });
    (cluster.finalizer, objects.collect())
}

fn leaves_copies(cluster: &SimulatedCluster, namespace: &str) -> bool {
    cluster.namespaces.get(namespace).is_some_and(|state| state.leaves_copies())
}

/// The objects that this `ConfigMapSync` must never write: those that are not its own, and those in a
/// namespace that is unknown, terminating or protected.
fn untouchable(cluster: &SimulatedCluster) -> BTreeMap<NamespacedName, StoredConfigMap> {
    cluster
        .config_maps
        .iter()
        .filter(|(at, stored)| {
            if leaves_copies(cluster, &at.namespace) {
                return true;
            }
            let markers = stored.markers();
            let owner = markers.as_ref().and_then(|markers| cluster.syncs.get(&markers.sync_uid));
            match ownership(at, markers.as_ref(), SYNC_UID, &sync_name(), owner) {
                Ownership::Ours => false,
                Ownership::Orphan => markers.unwrap().sync != Some(sync_name().to_string()),
                Ownership::Sibling(_) => true,
                Ownership::Foreign => {
                    stored.content.immutable
                        || cluster.spec.conflict_policy == ConflictPolicy::Refuse
                }
            }
        })
        .map(|(at, stored)| (at.clone(), stored.clone()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn a_crash_does_not_change_the_final_state(cluster in any_cluster()) {
        let mut undisturbed = cluster.clone();
        settle(&mut undisturbed);
        let untouchable = untouchable(&cluster);

        for crash_after in 0..8 {
            let mut crashed = cluster.clone();
            let plan = crashed.plan();
            crashed.act(&plan, crash_after);
            settle(&mut crashed);
            prop_assert_eq!(final_state(&crashed), final_state(&undisturbed));
            for (at, stored) in &untouchable {
                prop_assert_eq!(crashed.config_maps.get(at), Some(stored));
            }
        }
    }

    #[test]
    fn a_settled_cluster_is_not_written(cluster in any_cluster()) {
        let mut cluster = cluster;
        settle(&mut cluster);
        let before = cluster.clock;
        settle(&mut cluster);
        prop_assert_eq!(cluster.clock, before);
    }

    #[test]
    fn only_created_objects_are_deleted(cluster in any_cluster()) {
        let kept: Vec<_> = cluster
            .config_maps
            .iter()
            .filter(|(_, stored)| !stored.markers().is_some_and(|markers| markers.created))
            .map(|(at, _)| at.clone())
            .collect();
        let mut after = cluster.clone();
        settle(&mut after);
        for at in kept {
            prop_assert!(after.config_maps.contains_key(&at), "{at} is gone");
        }
    }

    #[test]
    fn foreign_objects_survive_deletion_of_the_sync(cluster in any_cluster()) {
        let foreign: Vec<_> = cluster
            .config_maps
            .iter()
            .filter(|(at, stored)| {
                let markers = stored.markers();
                let owner = markers.as_ref().and_then(|markers| cluster.syncs.get(&markers.sync_uid));
                let owner = ownership(at, markers.as_ref(), SYNC_UID, &sync_name(), owner);
                owner == Ownership::Foreign
            })
            .map(|(at, _)| at.clone())
            .collect();
        let mut after = cluster.clone();
        settle(&mut after);
        after.deleting = true;
        settle(&mut after);
        for at in foreign {
            prop_assert!(after.config_maps.contains_key(&at), "{at} is gone");
        }
    }

    #[test]
    fn a_copy_in_an_unusable_namespace_holds_no_finalizer(cluster in any_cluster()) {
        let mut after = cluster.clone();
        settle(&mut after);
        after.deleting = true;
        settle(&mut after);
        prop_assert!(!after.finalizer);
        for (at, stored) in &cluster.config_maps {
            if leaves_copies(&cluster, &at.namespace) {
                prop_assert_eq!(after.config_maps.get(at), Some(stored));
            }
        }
    }

    #[test]
    fn an_edited_state_marker_is_repaired(
        content in any_content(),
        which in 0..3_usize,
        text in proptest::option::of("[a-z]{1,9}"),
    ) {
        let mut cluster = settled_cluster(content);
        let undisturbed = final_state(&cluster);
        edit_markers(&mut cluster, |markers| match which {
            0 => markers.source = text,
            1 => markers.content_hash = text.map(ContentHash::from_text),
            _ => markers.deletion_policy = text,
        });
        settle(&mut cluster);
        prop_assert_eq!(final_state(&cluster), undisturbed);
    }

    #[test]
    fn without_created_a_copy_is_released(content in any_content()) {
        let mut cluster = settled_cluster(content.clone());
        edit_markers(&mut cluster, |markers| markers.created = false);
        settle(&mut cluster);
        cluster.deleting = true;
        settle(&mut cluster);
        let left = &cluster.config_maps[&copy()];
        prop_assert_eq!(&left.content, &content);
        prop_assert_eq!(left.markers(), None);
        prop_assert!(!cluster.finalizer);
    }

    #[test]
    fn a_deleted_sync_leaves_no_copies(content in any_content()) {
        let mut cluster = settled_cluster(content);
        cluster.deleting = true;
        settle(&mut cluster);
        prop_assert!(!cluster.config_maps.contains_key(&copy()));
        prop_assert!(!cluster.finalizer);
    }
}

#[test]
fn the_finalizer_stays_while_a_write_is_in_flight() {
    let mut cluster = SimulatedCluster::new(ConfigMapSyncSpec::default());
    (cluster.deleting, cluster.finalizer) = (true, true);
    let mut observed = cluster.observe();
    assert_eq!(plan(&observed, &desired(&observed)).finalizer, FinalizerStep::Remove);
    observed.writes_in_flight = true;
    assert_eq!(plan(&observed, &desired(&observed)).finalizer, FinalizerStep::Keep);
}

pub fn copy() -> NamespacedName {
    NamespacedName::new("n", "s")
}

/// A cluster with one copy that equals its source.
pub fn settled_cluster(content: Content) -> SimulatedCluster {
    let mut cluster = SimulatedCluster::new(one_to_one());
    cluster.put(&NamespacedName::new("central", "s"), content, None);
    settle(&mut cluster);
    assert!(cluster.config_maps.contains_key(&copy()));
    cluster
}

fn edit_markers(cluster: &mut SimulatedCluster, edit: impl FnOnce(&mut Markers)) {
    let stored = cluster.config_maps.get_mut(&copy()).unwrap();
    let mut markers = stored.markers().unwrap();
    edit(&mut markers);
    stored.set_markers(Some(markers));
    cluster.clock += 1;
    stored.version.resource_version = cluster.clock.to_string();
}
