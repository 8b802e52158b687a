//! The operator's cache, filled with what it has observed, and the input of its decisions.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use configmapsync::api::ConfigMapSyncStatus;
use configmapsync::api::SourceVersion;
use configmapsync::api::namespace_patterns::NamespacePatterns;
use configmapsync::api::namespaced_name::NamespacedName;
use configmapsync::cache::Cache;
use configmapsync::cache::CachedConfigMap;
use configmapsync::cache::NamespaceLabels;
use configmapsync::cache::NamespaceMetadata;
use configmapsync::cache::Origin;
use configmapsync::decide::Failure;
use configmapsync::decide::Observed;
use configmapsync::decide::desired::destinations;
use configmapsync::decide::destinations::Target;
use configmapsync::decide::excerpt::excerpt;
use configmapsync::decide::observed::Attempted;
use configmapsync::decide::observed::DestinationObject;
use configmapsync::decide::observed::ExistingSource;
use configmapsync::decide::observed::ObservedDestination;
use configmapsync::decide::observed::ObservedSource;
use configmapsync::decide::observed::ObservedSync;
use configmapsync::decide::observed::PendingRetry;
use configmapsync::decide::observed::SourceContent;
use configmapsync::decide::observed::Version;
use configmapsync::decide::opt_out::OptOut;
use configmapsync::decide::reason::Reason;
use configmapsync::decide::verb::WriteConsent;
use configmapsync::names;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::content::source_content;
use crate::names::Life;
use crate::names::NAMESPACES;
use crate::names::PLACES;
use crate::names::Place;
use crate::names::SYNCS;
use crate::names::Sync;
use crate::names::at;
use crate::names::namespace_name;
use crate::names::place_at;
use crate::names::sync_name;
use crate::spec::SELECTED_LABEL;
use crate::state::Phase;
use crate::state::SeenObject;
use crate::state::SeenSync;
use crate::state::Source;
use crate::state::StoredNamespace;
use crate::state::View;
use crate::store::Store;

/// What one pass of a reconcile decides on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PassInput {
    /// The sync.
    pub sync: Sync,
    /// What is observed.
    pub view: View,
    /// Whether the source was read in this pass.
    pub source_was_read: bool,
    /// The places at which a write is in flight.
    pub in_flight: [bool; PLACES],
}

/// The version of every observed object.
pub fn version(uid: &str) -> Version {
    Version { uid: uid.to_owned(), resource_version: "7".to_owned() }
}

/// The uid of an observed `ConfigMap`: those that existed when the deletion of their sync was
/// observed are distinguished from those that did not.
pub fn object_uid(place: Place, seen: &SeenObject) -> String {
    let age = if seen.is_left_behind { "left" } else { "new" };
    format!("{age}-{place}")
}

// === impl SeenSync ===

impl SeenSync {
    /// Its stage of life.
    pub const fn life(self) -> Life {
        if self.is_former { Life::Former } else { Life::Current }
    }

    /// As the operator parses it.
    pub fn observed(self, sync: Sync) -> ObservedSync {
        let finalizer = self.sync.has_finalizer.then(|| names::FINALIZER.to_owned());
        ObservedSync {
            name: sync_name(sync),
            version: version(&self.life().uid(sync)),
            generation: Some(1),
            deleting: self.sync.is_deleting,
            finalizers: finalizer.into_iter().collect(),
            spec: Ok(self.sync.spec.stored()),
            status: ConfigMapSyncStatus::default(),
            trace_parent: None,
        }
    }
}

// === impl View ===

impl View {
    /// The cache with this content.
    pub fn cache(&self, store: &Store) -> Cache {
        let namespaces = (0..NAMESPACES).map(|it| (namespace_name(it), self.namespaces[it]));
        let protected = namespaces.clone().filter(|(_, it)| it.is_protected);
        let protected =
            protected.fold(NamespacePatterns::default(), |list, (name, _)| list.with(name));
        let cache = Cache::new(protected);
        for (name, namespace) in namespaces {
            if let Some(metadata) = namespace_metadata(name, namespace) {
                cache.apply_namespace(&metadata);
            }
        }
        for sync in 0..SYNCS {
            if let Some(seen) = self.syncs[sync] {
                cache.apply_sync(&seen.observed(sync));
            }
        }
        for (place, seen) in self.objects.iter().enumerate() {
            let Some(id) = seen.id else { continue };
            let (object, uid) = (store.get(id), object_uid(place, seen));
            cache.apply_config_map(&object.metadata(at(place), &uid), Origin::Watch);
            if seen.is_read {
                cache.record_content(&at(place), &version(&uid), object.content().digest());
            }
        }
        cache
    }
}

fn namespace_metadata(name: &str, namespace: StoredNamespace) -> Option<NamespaceMetadata> {
    let label = || (SELECTED_LABEL.0.to_owned(), SELECTED_LABEL.1.to_owned());
    let labels = BTreeMap::from_iter(namespace.is_labelled.then(label));
    let deleted = || Time(Timestamp::UNIX_EPOCH);
    let metadata = NamespaceMetadata {
        name: Some(name.to_owned()),
        uid: Some(name.to_owned()),
        labels: Some(NamespaceLabels::of(&labels)),
        deletion_timestamp: (namespace.phase == Phase::Terminating).then(deleted),
        ..NamespaceMetadata::default()
    };
    (namespace.phase != Phase::Missing).then_some(metadata)
}

// === impl PassInput ===

impl PassInput {
    /// Everything that the decisions of this pass need; `None` if the sync is unknown.
    pub fn observed(&self, store: &Store) -> Option<Observed> {
        let sync = self.view.syncs[self.sync]?.observed(self.sync);
        let cache = self.view.cache(store);
        let selected = match sync.spec.as_ref().map(Target::of) {
            Ok(Ok(Target::Selected { selector, .. })) => cache.select(&selector).names,
            _ => BTreeSet::new(),
        };
        let mut names = cache.copies_of(&sync.version.uid);
        names.extend(destinations(&sync.spec, &selected).unwrap_or_default());
        let destinations = names.into_iter().map(|at| (at.clone(), self.destination(&cache, &at)));
        Some(Observed {
            source: self.source(&sync),
            selected: Ok(selected),
            destinations: destinations.collect(),
            writes_in_flight: self.in_flight.contains(&true),
            finalizer_failure: None,
            sync,
        })
    }

    fn source(&self, sync: &ObservedSync) -> ObservedSource {
        let Source::Existing { content, forbids } = self.view.source.source else {
            let missing = ObservedSource::Missing { confirmed: self.source_was_read };
            return if self.view.source.is_read { missing } else { ObservedSource::Unknown };
        };
        let content = Arc::new(source_content(content));
        let known = sync.spec.as_ref().map(|spec| excerpt(&content, &content.digest(), spec));
        let content = match known {
            Ok((excerpt, part)) if self.source_was_read => SourceContent::Read(excerpt, part),
            Ok((excerpt, _)) if self.view.source.is_read => SourceContent::Known(excerpt),
            _ => SourceContent::Unread,
        };
        let version = SourceVersion::default();
        ObservedSource::Existing(ExistingSource {
            version,
            no_copy: if forbids { OptOut::Forbidden } else { OptOut::Allowed },
            is_copy: false,
            content,
        })
    }

    fn destination(&self, cache: &Cache, at: &NamespacedName) -> ObservedDestination {
        let object = match cache.config_map(at) {
            CachedConfigMap::Present(entry) => {
                let owner = entry.sync_uid().and_then(|uid| cache.sync_with_uid(uid));
                DestinationObject::Existing(Box::new(entry.into_existing(owner)))
            }
            CachedConfigMap::Absent | CachedConfigMap::Unknown => DestinationObject::Missing,
        };
        let is_in_flight = place_at(at).is_some_and(|place| self.in_flight[place]);
        let pending_retry = is_in_flight.then(|| PendingRetry {
            failure: Failure::new(Reason::Progressing, format!("a write of {at} is in flight")),
            attempted: Attempted::default(),
        });
        let namespace = cache.namespace(&at.namespace).0;
        let consent = WriteConsent::NotRequired;
        ObservedDestination { namespace, object, pending_retry, consent }
    }
}
