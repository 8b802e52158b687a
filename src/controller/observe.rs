//! What there is: a glance at the cache, and a read of what it cannot tell.
//!
//! In order means no reads at all. A failed read is not an error of the round: it is part of what
//! was observed.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::time::Instant;

use futures::StreamExt as _;
use futures::stream;

use crate::api::ConfigMapSyncSpec;
use crate::api::SourceVersion;
use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::CachedConfigMap;
use crate::cache::Entry;
use crate::cache::reader::LiveConfigMap;
use crate::cache::reader::Reader;
use crate::controller::memory::Attempt;
use crate::controller::memory::Memory;
use crate::decide::ContentHash;
use crate::decide::Observed;
use crate::decide::Ownership;
use crate::decide::desired::destinations;
use crate::decide::desired::source_name;
use crate::decide::destinations::Target;
use crate::decide::drift::FieldOwnership;
use crate::decide::excerpt::Excerpt;
use crate::decide::excerpt::excerpt;
use crate::decide::observed::CopyContent;
use crate::decide::observed::DestinationObject;
use crate::decide::observed::ExistingConfigMap;
use crate::decide::observed::ExistingSource;
use crate::decide::observed::ObservedDestination;
use crate::decide::observed::ObservedSource;
use crate::decide::observed::ObservedSync;
use crate::decide::observed::SourceContent;
use crate::decide::observed::Version;
use crate::decide::ownership;
use crate::decide::required_reads;

/// Reads answer questions, and answers may raise questions: first the hash of the source, then
/// the copies that differ, then the content to write.
const MAX_TURNS: usize = 4;
/// How many copies one round reads at a time.
const CONCURRENT_READS: usize = 8;

/// What there is to look with.
#[derive(Clone, Copy)]
pub struct View<'a> {
    /// What is known.
    pub cache: &'a Cache,
    /// Reads what is not known.
    pub reader: &'a Reader,
    /// What earlier rounds met.
    pub memory: &'a Memory,
    /// When the round began. A delay that ends later is over for the next round only, so that a
    /// round tries each copy at most once, and ends.
    pub began: Instant,
}

/// Observes everything that a round of `sync` decides from. With `verify`, source and copies are
/// read even if nothing tells that they have changed.
pub async fn observe(view: View<'_>, sync: &ObservedSync, verify: bool) -> Observed {
    let mut observed = glance(view, sync, verify);
    for _ in 0..MAX_TURNS {
        let reads = required_reads(&observed);
        if reads.is_empty() {
            break;
        }
        if reads.source
            && let Ok(spec) = &sync.spec
        {
            observed.source = read_source(view, sync, spec, verify).await;
        }
        let copies: Vec<_> = reads.copies.into_iter().map(|at| read_copy(view, sync, at)).collect();
        let destinations: Vec<_> =
            stream::iter(copies).buffer_unordered(CONCURRENT_READS).collect().await;
        observed.destinations.extend(destinations);
    }
    observed
}

fn glance(view: View<'_>, sync: &ObservedSync, verify: bool) -> Observed {
    let cache = view.cache;
    // By the spec that this round is about, whatever the cache has seen since.
    let selected = match sync.spec.as_ref().map(Target::of) {
        Ok(Ok(Target::Selected { selector, .. })) => cache.namespaces_matching(&selector),
        _ => BTreeSet::new(),
    };
    let mut names = cache.copies_of(&sync.version.uid);
    names.extend(destinations(&sync.spec, &selected).unwrap_or_default());
    let mut destinations: BTreeMap<_, _> =
        names.into_iter().map(|at| (at.clone(), destination(view, sync, &at))).collect();
    let mut source = match &sync.spec {
        Ok(spec) => known_source(view, sync, spec),
        Err(_) => ObservedSource::Missing { confirmed: false },
    };
    if verify {
        doubt(&mut source, &mut destinations);
    }
    let writes_in_flight = view.memory.is_writing(&sync.version.uid);
    Observed { sync: sync.clone(), source, selected, destinations, writes_in_flight }
}

fn doubt(
    source: &mut ObservedSource,
    destinations: &mut BTreeMap<NamespacedName, ObservedDestination>,
) {
    if let ObservedSource::Existing(source) = source {
        source.content = SourceContent::Unread;
    }
    for destination in destinations.values_mut() {
        if let DestinationObject::Existing(existing) = &mut destination.object {
            existing.content = CopyContent::Suspect;
        }
    }
}

/// What the cache tells of a source. One that nobody has looked at counts as present and
/// unread, so that it is looked at.
fn known_source(view: View<'_>, sync: &ObservedSync, spec: &ConfigMapSyncSpec) -> ObservedSource {
    let (cache, name) = (view.cache, source_name(spec));
    match cache.config_map(&name) {
        CachedConfigMap::Absent => ObservedSource::Missing { confirmed: false },
        CachedConfigMap::Unknown => ObservedSource::Existing(ExistingSource {
            version: SourceVersion::default(),
            refused: false,
            is_copy: false,
            content: SourceContent::Unread,
        }),
        CachedConfigMap::Present(entry) => {
            let known = known_excerpt(view, sync, spec, &entry);
            let seen = known.map_or(SourceContent::Unread, SourceContent::Known);
            let version = source_version(entry.version.clone());
            ObservedSource::Existing(source(cache, &name, &entry, version, seen))
        }
    }
}

fn source(
    cache: &Cache,
    name: &NamespacedName,
    entry: &Entry,
    version: SourceVersion,
    content: SourceContent,
) -> ExistingSource {
    ExistingSource {
        version,
        refused: entry.no_copy,
        is_copy: is_copy(cache, name, entry),
        content,
    }
}

fn source_version(Version { uid, resource_version }: Version) -> SourceVersion {
    SourceVersion { uid, resource_version }
}

/// A source is a copy if the identity of its markers agrees, whoever's copy it is.
fn is_copy(cache: &Cache, name: &NamespacedName, entry: &Entry) -> bool {
    let Some(markers) = &entry.markers else { return false };
    let owner = cache.sync_with_uid(&markers.sync_uid);
    let Some(marked) = markers.sync.as_ref().and_then(|sync| sync.parse().ok()) else {
        return false;
    };
    ownership(name, Some(markers), "", &marked, owner.as_ref()) != Ownership::Foreign
}

/// What is copied of a source, from an earlier read of this version, by this process or by the one
/// that wrote the status.
fn known_excerpt(
    view: View<'_>,
    sync: &ObservedSync,
    spec: &ConfigMapSyncSpec,
    entry: &Entry,
) -> Option<Excerpt> {
    if let Some(known) = entry.read.as_ref().and_then(|read| Excerpt::of_all_keys(read, spec)) {
        return Some(known);
    }
    let version = source_version(entry.version.clone());
    let uid = &sync.version.uid;
    if let Some(kept) = view.memory.excerpt(uid, &version, sync.generation) {
        return Some(kept);
    }
    let status = &sync.status;
    if status.source.as_ref() != Some(&version) || status.observed_generation != sync.generation {
        return None;
    }
    let keys = usize::try_from(status.keys?).ok()?;
    let hash = ContentHash::from_text(status.content_hash.as_ref()?);
    Excerpt::remembered(hash, keys, spec)
}

fn destination(view: View<'_>, sync: &ObservedSync, at: &NamespacedName) -> ObservedDestination {
    let cache = view.cache;
    let object = match cache.config_map(at) {
        CachedConfigMap::Present(entry) => {
            DestinationObject::Existing(Box::new(existing_config_map(cache, *entry)))
        }
        CachedConfigMap::Absent | CachedConfigMap::Unknown => DestinationObject::Missing,
    };
    let (namespace, namespace_uid) = cache.namespace(&at.namespace);
    let uid = &sync.version.uid;
    let pending_retry = view.memory.held_at(uid, at, namespace_uid.as_deref(), view.began);
    ObservedDestination { namespace, object, pending_retry }
}

fn existing_config_map(cache: &Cache, entry: Entry) -> ExistingConfigMap {
    let owner = entry.markers.as_ref().and_then(|markers| cache.sync_with_uid(&markers.sync_uid));
    let content = match (entry.read, entry.fields) {
        (Some(digest), _) => CopyContent::Read(digest),
        (None, FieldOwnership::Ours { keys, immutable }) => {
            CopyContent::Untouched { keys, immutable }
        }
        (None, FieldOwnership::Suspect) => CopyContent::Suspect,
    };
    ExistingConfigMap {
        version: entry.version,
        deleting: entry.deleting,
        markers: entry.markers,
        managed_by: entry.managed_by,
        has_owner_references: entry.has_owner_references,
        other_metadata: entry.other_metadata,
        owner,
        content,
    }
}

async fn read_source(
    view: View<'_>,
    sync: &ObservedSync,
    spec: &ConfigMapSyncSpec,
    verify: bool,
) -> ObservedSource {
    let (uid, name) = (&sync.version.uid, source_name(spec));
    if let Some(failure) = view.memory.held(uid, view.began) {
        return ObservedSource::Unreadable(failure);
    }
    let read =
        if verify { view.reader.read(&name).await } else { view.reader.read_shared(&name).await };
    match read {
        Ok(Some(LiveConfigMap { version, content, digest })) => {
            view.memory.succeeded(uid, &None);
            let CachedConfigMap::Present(entry) = view.cache.config_map(&name) else {
                return ObservedSource::Missing { confirmed: false };
            };
            // What was read, which need not be the latest that is known.
            let version = source_version(version);
            let (known, part) = excerpt(&content, &digest, spec);
            if spec.keys.is_some() {
                let version = version.clone();
                view.memory.keep_excerpt(uid, version, sync.generation, known.clone());
            }
            let seen = SourceContent::Read(known, part);
            ObservedSource::Existing(source(view.cache, &name, &entry, version, seen))
        }
        Ok(None) => match view.cache.config_map(&name) {
            // It came while the answer was on its way.
            CachedConfigMap::Present(_) => known_source(view, sync, spec),
            CachedConfigMap::Absent | CachedConfigMap::Unknown => {
                ObservedSource::Missing { confirmed: true }
            }
        },
        Err(refusal) => {
            let failure = refusal.failure.clone();
            view.memory.failed(uid, Attempt::default(), refusal, Instant::now());
            ObservedSource::Unreadable(failure)
        }
    }
}

async fn read_copy(
    view: View<'_>,
    sync: &ObservedSync,
    at: NamespacedName,
) -> (NamespacedName, ObservedDestination) {
    if let Err(refusal) = view.reader.read(&at).await {
        let attempt = Attempt::on(&at, view.cache, None);
        view.memory.failed(&sync.version.uid, attempt, refusal, Instant::now());
    }
    let destination = destination(view, sync, &at);
    (at, destination)
}
