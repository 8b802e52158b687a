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
use crate::decide::observed::ContentSeen;
use crate::decide::observed::CopySeen;
use crate::decide::observed::Occupant;
use crate::decide::observed::Place;
use crate::decide::observed::Source;
use crate::decide::observed::SourceSeen;
use crate::decide::observed::Standing;
use crate::decide::observed::SyncSeen;
use crate::decide::observed::Version;
use crate::decide::ownership;
use crate::decide::questions;

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
pub async fn observe(view: View<'_>, sync: &SyncSeen, verify: bool) -> Observed {
    let mut observed = glance(view, sync, verify);
    for _ in 0..MAX_TURNS {
        let questions = questions(&observed);
        if questions.is_empty() {
            break;
        }
        if questions.source
            && let Ok(spec) = &sync.spec
        {
            observed.source = read_source(view, sync, spec, verify).await;
        }
        let reads: Vec<_> =
            questions.copies.into_iter().map(|at| read_copy(view, sync, at)).collect();
        let places: Vec<_> = stream::iter(reads).buffer_unordered(CONCURRENT_READS).collect().await;
        observed.places.extend(places);
    }
    observed
}

fn glance(view: View<'_>, sync: &SyncSeen, verify: bool) -> Observed {
    let cache = view.cache;
    // By the spec that this round is about, whatever the cache has seen since.
    let selected = match sync.spec.as_ref().map(Target::of) {
        Ok(Ok(Target::Selected { selector, .. })) => cache.namespaces_matching(&selector),
        _ => BTreeSet::new(),
    };
    let mut names = cache.copies_of(&sync.version.uid);
    names.extend(destinations(&sync.spec, &selected).unwrap_or_default());
    let mut places: BTreeMap<_, _> =
        names.into_iter().map(|at| (at.clone(), place(view, sync, &at))).collect();
    let mut source = match &sync.spec {
        Ok(spec) => known_source(view, sync, spec),
        Err(_) => SourceSeen::Absent { confirmed: false },
    };
    if verify {
        doubt(&mut source, &mut places);
    }
    let writes_in_flight = view.memory.is_writing(&sync.version.uid);
    Observed { sync: sync.clone(), source, selected, places, writes_in_flight }
}

fn doubt(source: &mut SourceSeen, places: &mut BTreeMap<NamespacedName, Place>) {
    if let SourceSeen::Present(source) = source {
        source.content = ContentSeen::Unread;
    }
    for place in places.values_mut() {
        if let Standing::Occupied(occupant) = &mut place.standing {
            occupant.content = CopySeen::Suspect;
        }
    }
}

/// What the cache tells of a source. One that nobody has looked at counts as present and
/// unread, so that it is looked at.
fn known_source(view: View<'_>, sync: &SyncSeen, spec: &ConfigMapSyncSpec) -> SourceSeen {
    let (cache, name) = (view.cache, source_name(spec));
    match cache.config_map(&name) {
        CachedConfigMap::Absent => SourceSeen::Absent { confirmed: false },
        CachedConfigMap::Unknown => SourceSeen::Present(Source {
            version: SourceVersion::default(),
            refused: false,
            is_copy: false,
            content: ContentSeen::Unread,
        }),
        CachedConfigMap::Present(entry) => {
            let known = known_excerpt(view, sync, spec, &entry);
            let seen = known.map_or(ContentSeen::Unread, ContentSeen::Known);
            let version = source_version(entry.version.clone());
            SourceSeen::Present(source(cache, &name, &entry, version, seen))
        }
    }
}

fn source(
    cache: &Cache,
    name: &NamespacedName,
    entry: &Entry,
    version: SourceVersion,
    content: ContentSeen,
) -> Source {
    Source { version, refused: entry.no_copy, is_copy: is_copy(cache, name, entry), content }
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
    sync: &SyncSeen,
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

fn place(view: View<'_>, sync: &SyncSeen, at: &NamespacedName) -> Place {
    let cache = view.cache;
    let standing = match cache.config_map(at) {
        CachedConfigMap::Present(entry) => Standing::Occupied(Box::new(occupant(cache, *entry))),
        CachedConfigMap::Absent | CachedConfigMap::Unknown => Standing::Vacant,
    };
    let (namespace, namespace_uid) = cache.namespace(&at.namespace);
    let uid = &sync.version.uid;
    let held = view.memory.held_at(uid, at, namespace_uid.as_deref(), view.began);
    Place { namespace, standing, held }
}

fn occupant(cache: &Cache, entry: Entry) -> Occupant {
    let owner = entry.markers.as_ref().and_then(|markers| cache.sync_with_uid(&markers.sync_uid));
    let content = match (entry.read, entry.fields) {
        (Some(digest), _) => CopySeen::Read(digest),
        (None, FieldOwnership::Ours { keys, immutable }) => CopySeen::Untouched { keys, immutable },
        (None, FieldOwnership::Suspect) => CopySeen::Suspect,
    };
    Occupant {
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
    sync: &SyncSeen,
    spec: &ConfigMapSyncSpec,
    verify: bool,
) -> SourceSeen {
    let (uid, name) = (&sync.version.uid, source_name(spec));
    if let Some(failure) = view.memory.held(uid, view.began) {
        return SourceSeen::Unreadable(failure);
    }
    let read =
        if verify { view.reader.read(&name).await } else { view.reader.read_shared(&name).await };
    match read {
        Ok(Some(LiveConfigMap { version, content, digest })) => {
            view.memory.succeeded(uid, &None);
            let CachedConfigMap::Present(entry) = view.cache.config_map(&name) else {
                return SourceSeen::Absent { confirmed: false };
            };
            // What was read, which need not be the latest that is known.
            let version = source_version(version);
            let (known, part) = excerpt(&content, &digest, spec);
            if spec.keys.is_some() {
                let version = version.clone();
                view.memory.keep_excerpt(uid, version, sync.generation, known.clone());
            }
            let seen = ContentSeen::Read(known, part);
            SourceSeen::Present(source(view.cache, &name, &entry, version, seen))
        }
        Ok(None) => match view.cache.config_map(&name) {
            // It came while the answer was on its way.
            CachedConfigMap::Present(_) => known_source(view, sync, spec),
            CachedConfigMap::Absent | CachedConfigMap::Unknown => {
                SourceSeen::Absent { confirmed: true }
            }
        },
        Err(refusal) => {
            let failure = refusal.failure.clone();
            view.memory.failed(uid, Attempt::default(), refusal, Instant::now());
            SourceSeen::Unreadable(failure)
        }
    }
}

async fn read_copy(view: View<'_>, sync: &SyncSeen, at: NamespacedName) -> (NamespacedName, Place) {
    if let Err(refusal) = view.reader.read(&at).await {
        let attempt = Attempt::on(&at, view.cache, None);
        view.memory.failed(&sync.version.uid, attempt, refusal, Instant::now());
    }
    let place = place(view, sync, &at);
    (at, place)
}
