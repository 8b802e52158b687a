use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::api::ConfigMapSyncSpec;
use crate::api::ConfigMapSyncStatus;
use crate::api::SourceDeletionPolicy;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Observed;
use crate::decide::desired;
use crate::decide::markers::tests::keys_of;
use crate::decide::observed::CopyContent;
use crate::decide::observed::DestinationObject;
use crate::decide::observed::ExistingConfigMap;
use crate::decide::observed::NamespaceState;
use crate::decide::observed::ObservedDestination;
use crate::decide::observed::ObservedSource;
use crate::decide::observed::ObservedSync;
use crate::decide::orphans::CollectionMode;
use crate::decide::orphans::ObservedOrphans;
use crate::decide::orphans::OrphanCandidate;
use crate::decide::orphans::OwnerState;
use crate::decide::orphans::plan_collection;
use crate::decide::other_metadata::OtherMetadata;
use crate::decide::plan;
use crate::decide::uninstall::CopyHandling;
use crate::decide::uninstall::CopyOwner;
use crate::decide::uninstall::MarkedCopy;
use crate::decide::uninstall::uninstall_action;
use crate::decide::verb::WriteConsent;
use crate::names;

type Map = BTreeMap<String, String>;

const SYNC_UID: &str = "uid-1";

fn sync() -> NamespacedName {
    NamespacedName::new("team", "settings")
}

fn copy() -> NamespacedName {
    NamespacedName::new("app", "shared")
}

/// A marker with the given value, mostly; otherwise it is missing or has an unexpected value.
fn mostly(value: &str) -> impl Strategy<Value = Option<String>> + use<> {
    prop_oneof![
        6 => Just(Some(value.to_owned())),
        2 => Just(None),
        1 => Just(Some(String::new())),
        1 => Just(Some(value.to_uppercase())),
        1 => "[a-z/]{1,9}".prop_map(Some),
    ]
}

/// `created`, with values that resemble `true`.
fn any_created() -> impl Strategy<Value = Option<String>> {
    let odd = proptest::sample::select(vec!["TRUE", "True", "1", "yes", "", " true", "false"]);
    prop_oneof![
        3 => Just(Some("true".to_owned())),
        2 => Just(None),
        2 => odd.prop_map(|value| Some(value.to_owned())),
    ]
}

/// The labels and annotations of a copy with complete, partial or odd markers.
fn any_metadata() -> impl Strategy<Value = (Map, Map)> {
    let identity = (mostly(SYNC_UID), mostly("team/settings"), mostly("app/shared"));
    let state = (any_created(), mostly("Delete"), mostly("v1:00"));
    (identity, state).prop_map(|((uid, sync, copy), (created, policy, hash))| {
        let entry = |key: &str, value: Option<String>| value.map(|value| (key.to_owned(), value));
        let annotations = [
            entry(names::ANNOTATION_SYNC, sync),
            entry(names::ANNOTATION_COPY, copy),
            entry(names::ANNOTATION_CREATED, created),
            entry(names::ANNOTATION_DELETION_POLICY, policy),
            entry(names::ANNOTATION_CONTENT_HASH, hash),
        ];
        let labels = entry(names::LABEL_SYNC_UID, uid).into_iter().collect();
        (labels, annotations.into_iter().flatten().collect())
    })
}

fn any_policy() -> impl Strategy<Value = DeletionPolicy> {
    prop_oneof![Just(DeletionPolicy::Delete), Just(DeletionPolicy::Retain)]
}

/// What makes the plan of a reconcile retire a copy.
#[derive(Clone, Copy, Debug)]
enum PlanCase {
    SyncDeleted,
    Renamed,
    SourceMissing,
}

fn any_plan_case() -> impl Strategy<Value = PlanCase> {
    prop_oneof![Just(PlanCase::SyncDeleted), Just(PlanCase::Renamed), Just(PlanCase::SourceMissing)]
}

fn any_owner() -> impl Strategy<Value = Option<CopyOwner>> {
    let owner = proptest::option::of(any_policy());
    proptest::option::of(owner.prop_map(|policy| CopyOwner { name: sync(), policy }))
}

fn version() -> Version {
    Version { uid: "copy".into(), resource_version: "7".into() }
}

fn planned(
    markers: Option<&Markers>,
    case: PlanCase,
    policy: Option<DeletionPolicy>,
) -> Vec<Action> {
    let spec = policy.map(|deletion_policy| ConfigMapSyncSpec {
        source_namespace: "central".into(),
        config_map_name: "shared".into(),
        destination_namespace: Some("app".into()),
        destination_name: matches!(case, PlanCase::Renamed).then(|| "renamed".to_owned()),
        deletion_policy,
        source_deletion_policy: SourceDeletionPolicy::Delete,
        ..ConfigMapSyncSpec::default()
    });
    let existing = ExistingConfigMap {
        version: version(),
        deleting: false,
        markers: markers.cloned(),
        marker_keys: markers.map(keys_of).unwrap_or_default(),
        managed_by: ManagedBy::Us,
        has_owner_references: false,
        metadata_bytes: 0,
        other_metadata: OtherMetadata::default(),
        owner: Some(sync()),
        content: CopyContent::Suspect,
    };
    let destination = ObservedDestination {
        namespace: NamespaceState::Active,
        object: DestinationObject::Existing(Box::new(existing)),
        pending_retry: None,
        consent: WriteConsent::NotRequired,
    };
    let observed = Observed {
        sync: ObservedSync {
            name: sync(),
            version: Version { uid: SYNC_UID.into(), resource_version: "1".into() },
            generation: Some(1),
            deleting: matches!(case, PlanCase::SyncDeleted),
            finalizers: vec![names::FINALIZER.to_owned()],
            spec: spec.ok_or_else(|| "spec cannot be parsed".to_owned()),
            status: ConfigMapSyncStatus::default(),
            trace_parent: None,
        },
        source: ObservedSource::Missing { confirmed: true },
        selected: Ok(BTreeSet::new()),
        destinations: BTreeMap::from([(copy(), destination)]),
        writes_in_flight: false,
        finalizer_failure: None,
    };
    plan(&observed, &desired(&observed)).steps.into_values().collect()
}

fn collected(markers: &Markers, mode: CollectionMode) -> Option<Action> {
    let candidate = OrphanCandidate {
        version: version(),
        deleting: false,
        markers: markers.clone(),
        marker_keys: keys_of(markers),
        managed_by: ManagedBy::Us,
        namespace: NamespaceState::Active,
        adoptable: false,
        seen_alive: true,
        known_for: Duration::ZERO,
        owner: OwnerState::Deleted,
        pending_retry: None,
    };
    let candidates = BTreeMap::from([(copy(), candidate)]);
    let plan = plan_collection(&ObservedOrphans::all(candidates, 1, mode));
    plan.steps[&copy()].action()
}

fn uninstalled(
    markers: &Markers,
    handling: CopyHandling,
    owner: Option<CopyOwner>,
) -> Option<Action> {
    let copy_seen = MarkedCopy {
        version: version(),
        deleting: false,
        markers: markers.clone(),
        marker_keys: keys_of(markers),
        managed_by: ManagedBy::Us,
        owner,
    };
    uninstall_action(&copy(), &copy_seen, handling)
}

fn deletes(actions: impl IntoIterator<Item = Action>) -> bool {
    actions.into_iter().any(|it| matches!(it, Action::Delete { .. } | Action::Replace { .. }))
}

fn is_created(annotations: &Map) -> bool {
    annotations.get(names::ANNOTATION_CREATED).is_some_and(|value| value == "true")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_the_operator_did_not_create_is_never_deleted(
        (labels, annotations) in any_metadata(),
        case in any_plan_case(),
        spec_policy in proptest::option::of(any_policy()),
        owner in any_owner(),
        requested: bool,
        keep: bool,
    ) {
        let markers = Markers::parse(Some(&labels), Some(&annotations));
        let is_created = is_created(&annotations);
        let in_plan = planned(markers.as_ref(), case, spec_policy);
        prop_assert!(is_created || !deletes(in_plan.clone()), "the plan deletes: {:?}", in_plan);
        let Some(markers) = markers else { return Ok(()) };
        let mode = if requested {
            CollectionMode::Requested
        } else {
            CollectionMode::Automatic(Duration::ZERO)
        };
        let in_collection = collected(&markers, mode);
        prop_assert!(is_created || !deletes(in_collection), "orphan collection deletes");
        let handling = if keep { CopyHandling::Keep } else { CopyHandling::Delete };
        let in_uninstall = uninstalled(&markers, handling, owner);
        prop_assert!(is_created || !deletes(in_uninstall), "uninstallation deletes");
    }

    #[test]
    fn an_orphan_is_deleted_only_with_both_markers((labels, annotations) in any_metadata()) {
        let markers = Markers::parse(Some(&labels), Some(&annotations));
        let Some(markers) = markers else { return Ok(()) };
        let policy = annotations.get(names::ANNOTATION_DELETION_POLICY);
        let may_delete = is_created(&annotations) && policy.is_some_and(|it| it == "Delete");
        prop_assert!(may_delete || !deletes(collected(&markers, CollectionMode::Requested)));
    }
}

fn complete_markers() -> Markers {
    Markers {
        sync_uid: SYNC_UID.into(),
        sync: Some(sync().to_string()),
        copy: Some(copy().to_string()),
        source: Some("central/shared".into()),
        content_hash: None,
        created: true,
        deletion_policy: Some("Delete".into()),
    }
}

#[test]
fn the_cause_decides_what_happens_to_a_created_copy() {
    use DeletionPolicy::Delete;
    use DeletionPolicy::Retain;
    use RetireCause::NotDesired;
    use RetireCause::Orphaned;
    use RetireCause::SourceGone;
    use RetireCause::UninstallDelete;
    use RetireCause::UninstallKeep;
    let rows = [
        (NotDesired(Some(Delete)), "delete", "delete"),
        (NotDesired(Some(Retain)), "release", "release"),
        (NotDesired(None), "delete", "release"),
        (SourceGone, "delete", "delete"),
        (Orphaned, "delete", "release"),
        (UninstallKeep, "restamp", "keep"),
        (UninstallDelete(Some(Delete)), "delete", "delete"),
        (UninstallDelete(Some(Retain)), "release", "release"),
        (UninstallDelete(None), "delete", "release"),
    ];
    let without_policy = Markers { deletion_policy: None, ..complete_markers() };
    for (cause, with_policy_marker, without_policy_marker) in rows {
        let verb = |markers: &Markers| {
            let version = version();
            let copy = RetiredCopy {
                version: &version,
                markers,
                marker_keys: keys_of(markers),
                managed_by: ManagedBy::Us,
            };
            retire(copy, cause).verb()
        };
        assert_eq!(verb(&complete_markers()), with_policy_marker, "{cause:?}");
        assert_eq!(verb(&without_policy), without_policy_marker, "{cause:?}");
    }
}

#[test]
fn every_caller_deletes_a_copy_with_complete_markers() {
    let markers = complete_markers();
    let policy = Some(DeletionPolicy::Delete);
    for case in [PlanCase::SyncDeleted, PlanCase::SourceMissing] {
        assert!(deletes(planned(Some(&markers), case, policy)), "{case:?}");
    }
    assert!(deletes(collected(&markers, CollectionMode::Requested)));
    assert!(deletes(uninstalled(&markers, CopyHandling::Delete, None)));
}
