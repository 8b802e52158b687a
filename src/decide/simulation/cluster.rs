//! A simulated cluster in memory.
//!
//! It implements the guarantees of the API server that decisions rely on: conditional writes, and a
//! new resourceVersion per change.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use crate::api::ConfigMapSyncSpec;
use crate::api::ConfigMapSyncStatus;
use crate::api::DestinationMetadata;
use crate::api::SourceVersion;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::Content;
use crate::decide::Decision;
use crate::decide::Markers;
use crate::decide::Observed;
use crate::decide::Plan;
use crate::decide::desired::destinations;
use crate::decide::desired::source_name;
use crate::decide::excerpt::excerpt;
use crate::decide::markers::MarkerKeys;
use crate::decide::observed::CopyContent;
use crate::decide::observed::DestinationObject;
use crate::decide::observed::ExistingConfigMap;
use crate::decide::observed::ExistingSource;
use crate::decide::observed::ManagedBy;
use crate::decide::observed::NamespaceState;
use crate::decide::observed::ObservedDestination;
use crate::decide::observed::ObservedSource;
use crate::decide::observed::ObservedSync;
use crate::decide::observed::SourceContent;
use crate::decide::observed::Version;
use crate::decide::opt_out::OptOut;
use crate::decide::other_metadata::OtherMetadata;
use crate::decide::plan::FinalizerStep;
use crate::decide::plan::NewCopy;
use crate::decide::stamp::Stamp;
use crate::decide::stamped::StampedKeys;
use crate::decide::verb::WriteConsent;
use crate::names;

pub const SYNC_UID: &str = "00000000-sync";

/// A stored `ConfigMap`.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredConfigMap {
    pub version: Version,
    pub content: Content,
    pub labels: BTreeMap<String, String>,
    pub annotations: BTreeMap<String, String>,
    /// The keys of labels and annotations that the operator set.
    pub ours: BTreeSet<String>,
    /// Whether another client may have written it after the operator.
    pub touched: bool,
}

// === impl StoredConfigMap ===

impl StoredConfigMap {
    pub fn markers(&self) -> Option<Markers> {
        Markers::parse(Some(&self.labels), Some(&self.annotations))
    }

    pub fn set_markers(&mut self, markers: Option<Markers>) {
        for key in Markers::ANNOTATIONS {
            self.annotations.remove(key);
        }
        self.labels.remove(names::LABEL_SYNC_UID);
        if let Some(markers) = markers {
            self.labels.extend(markers.labels());
            self.annotations.extend(markers.annotations());
        }
    }

    fn apply(&mut self, stamp: &Stamp) {
        for (map, changes) in
            [(&mut self.labels, &stamp.labels), (&mut self.annotations, &stamp.annotations)]
        {
            for key in &changes.remove {
                assert!(map.remove(key).is_some(), "{key} is to be removed, but missing");
            }
            map.extend(changes.set.clone());
            self.ours.extend(changes.set.keys().cloned());
        }
    }

    fn other_metadata(&self) -> OtherMetadata {
        let (labels, annotations) = (Some(&self.labels), Some(&self.annotations));
        OtherMetadata::of(labels, annotations, (&self.ours, &self.ours))
    }

    fn managed_by(&self) -> ManagedBy {
        ManagedBy::of(self.labels.get(names::LABEL_MANAGED_BY).map(String::as_str))
    }
}

#[derive(Clone, Debug)]
pub struct SimulatedCluster {
    pub config_maps: BTreeMap<NamespacedName, StoredConfigMap>,
    pub namespaces: BTreeMap<String, NamespaceState>,
    pub syncs: BTreeMap<String, NamespacedName>,
    pub spec: ConfigMapSyncSpec,
    pub deleting: bool,
    pub finalizer: bool,
    pub clock: u64,
}

pub fn sync_name() -> NamespacedName {
    NamespacedName::new("team", "sync")
}

/// The spec of a sync from `central/s` to the namespace `n`.
pub fn one_to_one() -> ConfigMapSyncSpec {
    ConfigMapSyncSpec {
        source_namespace: "central".into(),
        config_map_name: "s".into(),
        destination_namespace: Some("n".into()),
        ..ConfigMapSyncSpec::default()
    }
}

// === impl SimulatedCluster ===

impl SimulatedCluster {
    pub fn new(spec: ConfigMapSyncSpec) -> Self {
        Self {
            config_maps: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            syncs: BTreeMap::from([(SYNC_UID.to_owned(), sync_name())]),
            spec,
            deleting: false,
            finalizer: false,
            clock: 1,
        }
    }

    pub fn put(&mut self, at: &NamespacedName, content: Content, markers: Option<Markers>) {
        let version = self.next_version();
        let mut stored = StoredConfigMap {
            version,
            content,
            labels: BTreeMap::new(),
            annotations: BTreeMap::new(),
            ours: BTreeSet::new(),
            touched: true,
        };
        stored.set_markers(markers);
        self.config_maps.insert(at.clone(), stored);
    }

    /// Observes and reads until no read is required.
    pub fn observe(&self) -> Observed {
        let mut observed = self.observe_cache();
        for _ in 0..3 {
            let reads = Decision::of(&observed).reads;
            if reads.is_empty() {
                return observed;
            }
            if reads.source {
                self.read_source(&mut observed);
            }
            for at in reads.copies {
                self.read_copy(&mut observed, &at);
            }
        }
        panic!("the required reads do not end: {:?}", Decision::of(&observed).reads);
    }

    pub fn plan(&self) -> Plan {
        Decision::of(&self.observe()).plan
    }

    /// Carries out the first `steps` writes of `plan`.
    pub fn act(&mut self, plan: &Plan, steps: usize) {
        let mut left = steps;
        if plan.finalizer != FinalizerStep::Keep {
            if left == 0 {
                return;
            }
            left -= 1;
            self.finalizer = plan.finalizer == FinalizerStep::Add;
        }
        for (at, action) in plan.steps.iter().filter(|(_, action)| action.is_write()).take(left) {
            self.write(at, action);
        }
    }

    fn write(&mut self, at: &NamespacedName, action: &Action) {
        match action {
            Action::Create(copy) => {
                assert!(!self.config_maps.contains_key(at), "{at} is created, but exists");
                self.create(at, copy);
            }
            Action::Update { seen, stamp, content } => {
                self.check(at, seen);
                self.check_adoption(at, stamp);
                assert!(!self.config_maps[at].content.immutable, "{at} is changed, but immutable");
                self.change(at, |stored| {
                    stored.apply(stamp);
                    stored.content = (**content).clone();
                });
            }
            Action::Restamp { seen, stamp } | Action::Release { seen, stamp } => {
                self.check(at, seen);
                self.check_adoption(at, stamp);
                self.change(at, |stored| stored.apply(stamp));
            }
            Action::Replace { seen, copy } => {
                self.check(at, seen);
                self.config_maps.remove(at);
                self.create(at, copy);
            }
            Action::Delete { seen } => {
                self.check(at, seen);
                let gone = self.config_maps.remove(at).unwrap();
                assert!(
                    gone.markers().unwrap().created,
                    "{at} is deleted, but was not created by the operator"
                );
            }
            Action::Keep | Action::Leave(_) => unreachable!("keep and leave are not writes"),
        }
    }

    fn create(&mut self, at: &NamespacedName, copy: &NewCopy) {
        let DestinationMetadata { mut labels, mut annotations } = (*copy.metadata).clone();
        labels.extend(copy.markers.labels());
        labels.insert(names::LABEL_MANAGED_BY.to_owned(), names::MANAGED_BY.to_owned());
        annotations.extend(copy.markers.annotations());
        let record = StampedKeys::all(&copy.metadata).annotation();
        annotations.extend(record.map(|it| (names::ANNOTATION_STAMPED.to_owned(), it)));
        let stored = StoredConfigMap {
            version: self.next_version(),
            content: (*copy.content).clone(),
            ours: labels.keys().chain(annotations.keys()).cloned().collect(),
            labels,
            annotations,
            touched: false,
        };
        self.config_maps.insert(at.clone(), stored);
    }

    fn change(&mut self, at: &NamespacedName, change: impl FnOnce(&mut StoredConfigMap)) {
        let Version { resource_version, .. } = self.next_version();
        let stored = self.config_maps.get_mut(at).unwrap();
        change(stored);
        stored.version.resource_version = resource_version;
    }

    fn check(&self, at: &NamespacedName, seen: &Version) {
        assert_eq!(&self.config_maps[at].version, seen, "{at} has changed since the decision");
    }

    /// Fails if an adopted `ConfigMap` is then marked as created by the operator.
    fn check_adoption(&self, at: &NamespacedName, stamp: &Stamp) {
        let mut stored = self.config_maps[at].clone();
        let is_adoption = stored.markers().is_none();
        stored.apply(stamp);
        let is_created = stored.annotations.contains_key(names::ANNOTATION_CREATED);
        assert!(!is_adoption || !is_created, "{at} is adopted and marked as created");
    }

    fn next_version(&mut self) -> Version {
        self.clock += 1;
        Version { uid: format!("u{}", self.clock), resource_version: self.clock.to_string() }
    }

    fn observe_cache(&self) -> Observed {
        let spec = Ok(self.spec.clone());
        let selected = self.selected();
        let mut names: Vec<_> =
            destinations(&spec, &selected).unwrap_or_default().into_iter().collect();
        names.extend(self.config_maps.iter().filter(has_our_uid).map(|(at, _)| at.clone()));
        let destinations =
            names.into_iter().map(|at| (at.clone(), self.destination(&at))).collect();
        Observed {
            sync: ObservedSync {
                name: sync_name(),
                version: Version { uid: SYNC_UID.into(), resource_version: "1".into() },
                generation: Some(1),
                deleting: self.deleting,
                finalizers: self
                    .finalizer
                    .then(|| names::FINALIZER.to_owned())
                    .into_iter()
                    .collect(),
                spec,
                status: ConfigMapSyncStatus::default(),
                trace_parent: None,
            },
            source: self.source(),
            selected: Ok(selected),
            destinations,
            writes_in_flight: false,
            finalizer_failure: None,
        }
    }

    /// The selector matches every namespace that exists and accepts copies.
    fn selected(&self) -> BTreeSet<String> {
        let names = ["central", "m", "n"].into_iter();
        let state = |name: &str| self.namespaces.get(name).copied();
        names
            .filter(|name| matches!(state(name), None | Some(NamespaceState::Unclear)))
            .map(str::to_owned)
            .collect()
    }

    fn source(&self) -> ObservedSource {
        let Some(stored) = self.config_maps.get(&source_name(&self.spec)) else {
            return ObservedSource::Missing { confirmed: false };
        };
        ObservedSource::Existing(ExistingSource {
            version: SourceVersion {
                uid: stored.version.uid.clone(),
                resource_version: stored.version.resource_version.clone(),
            },
            no_copy: OptOut::Allowed,
            is_copy: false,
            content: SourceContent::Unread,
        })
    }

    fn destination(&self, at: &NamespacedName) -> ObservedDestination {
        let object = match self.config_maps.get(at) {
            None => DestinationObject::Missing,
            Some(stored) => DestinationObject::Existing(Box::new(ExistingConfigMap {
                version: stored.version.clone(),
                deleting: false,
                markers: stored.markers(),
                marker_keys: MarkerKeys::of(Some(&stored.labels), Some(&stored.annotations)),
                managed_by: stored.managed_by(),
                has_owner_references: false,
                other_metadata: stored.other_metadata(),
                metadata_bytes: 0,
                owner: stored
                    .markers()
                    .and_then(|markers| self.syncs.get(&markers.sync_uid).cloned()),
                content: if stored.touched {
                    CopyContent::Suspect
                } else {
                    let immutable = stored.content.immutable;
                    CopyContent::Untouched { keys: stored.content.keys(), immutable }
                },
            })),
        };
        let namespace =
            self.namespaces.get(&at.namespace).copied().unwrap_or(NamespaceState::Active);
        let consent = WriteConsent::NotRequired;
        ObservedDestination { namespace, object, pending_retry: None, consent }
    }

    fn read_source(&self, observed: &mut Observed) {
        let Some(stored) = self.config_maps.get(&source_name(&self.spec)) else {
            observed.source = ObservedSource::Missing { confirmed: true };
            return;
        };
        if let ObservedSource::Existing(source) = &mut observed.source {
            let content = Arc::new(stored.content.clone());
            let (known, part) = excerpt(&content, &content.digest(), &self.spec);
            source.content = SourceContent::Read(known, part);
        }
    }

    fn read_copy(&self, observed: &mut Observed, at: &NamespacedName) {
        let digest = self.config_maps[at].content.digest();
        if let DestinationObject::Existing(existing) =
            &mut observed.destinations.get_mut(at).unwrap().object
        {
            existing.content = CopyContent::Read(digest);
        }
    }
}

fn has_our_uid((_, stored): &(&NamespacedName, &StoredConfigMap)) -> bool {
    stored.markers().is_some_and(|markers| markers.sync_uid == SYNC_UID)
}
