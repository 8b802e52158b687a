//! The first step: what exists, from the cache, and from reads of what the cache cannot answer.
//!
//! While source and copies are in sync, nothing is read. A failed read is part of the observation,
//! not an error.

mod reads;
mod source;
mod view;

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use futures::StreamExt as _;
use futures::stream;

pub use reads::FailedCopyRead;
pub use reads::FailedRead;
pub use reads::Reads;
pub use view::View;

use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::CachedConfigMap;
use crate::cache::Entry;
use crate::controller::observe::source::known_source;
use crate::controller::observe::source::read_source;
use crate::decide::Observed;
use crate::decide::desired::destinations;
use crate::decide::destinations::Target;
use crate::decide::drift::FieldOwnership;
use crate::decide::observed::CopyContent;
use crate::decide::observed::DestinationObject;
use crate::decide::observed::ExistingConfigMap;
use crate::decide::observed::ObservedDestination;
use crate::decide::observed::ObservedSource;
use crate::decide::observed::ObservedSync;
use crate::decide::observed::PendingRetry;
use crate::decide::observed::SourceContent;
use crate::decide::required_reads;

/// One read may require another: first the hash of the source, then the copies that differ from
/// it, then the content to write.
const MAX_TURNS: usize = 4;
/// Copies that one reconcile reads at a time.
const CONCURRENT_READS: usize = 8;

/// What exists, and what became of the reads.
#[derive(Debug)]
pub struct Observation {
    /// What exists.
    pub observed: Observed,
    /// What became of the reads.
    pub reads: Reads,
}

/// Observes everything that a pass for `sync` decides from. With `verify`, source and copies are
/// read even if nothing indicates a change.
pub async fn observe(view: View<'_>, sync: &ObservedSync, verify: bool) -> Observation {
    let mut observed = known(view, sync, verify);
    let mut reads = Reads::default();
    for _ in 0..MAX_TURNS {
        let required = required_reads(&observed);
        if required.is_empty() {
            break;
        }
        if required.source
            && let Ok(spec) = &sync.spec
        {
            observed.source = read_source(view, sync, spec, verify, &mut reads).await;
        }
        let copies: Vec<_> = required.copies.into_iter().map(|at| read_copy(view, at)).collect();
        let copies: Vec<_> =
            stream::iter(copies).buffer_unordered(CONCURRENT_READS).collect().await;
        for (at, destination, failed) in copies {
            observed.destinations.insert(at, destination);
            reads.failed_copies.extend(failed);
        }
    }
    Observation { observed, reads }
}

/// What the cache knows.
fn known(view: View<'_>, sync: &ObservedSync, verify: bool) -> Observed {
    let cache = view.cache;
    // By the spec of this reconcile, even if the cache has a newer one by now.
    let selected = match sync.spec.as_ref().map(Target::of) {
        Ok(Ok(Target::Selected { selector, .. })) => cache.namespaces_matching(&selector),
        _ => BTreeSet::new(),
    };
    let mut names = cache.copies_of(&sync.version.uid);
    names.extend(destinations(&sync.spec, &selected).unwrap_or_default());
    let mut destinations: BTreeMap<_, _> =
        names.into_iter().map(|at| (at.clone(), destination(view, &at))).collect();
    let mut source = match &sync.spec {
        Ok(spec) => known_source(view, sync, spec),
        Err(_) => ObservedSource::Missing { confirmed: false },
    };
    if verify {
        distrust(&mut source, &mut destinations);
    }
    let writes_in_flight = view.held_back.has_writes_in_flight();
    Observed { sync: sync.clone(), source, selected, destinations, writes_in_flight }
}

/// Marks every content as unread.
fn distrust(
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

fn destination(view: View<'_>, at: &NamespacedName) -> ObservedDestination {
    let cache = view.cache;
    let object = match cache.config_map(at) {
        CachedConfigMap::Present(entry) => {
            DestinationObject::Existing(Box::new(existing_config_map(cache, *entry)))
        }
        CachedConfigMap::Absent | CachedConfigMap::Unknown => DestinationObject::Missing,
    };
    let (namespace, namespace_uid) = cache.namespace(&at.namespace);
    let pending_retry = view.held_back.destination(at, namespace_uid.as_deref());
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

/// Reads the copy `at` into the cache. If that fails, its write is held back.
async fn read_copy(
    view: View<'_>,
    at: NamespacedName,
) -> (NamespacedName, ObservedDestination, Option<FailedCopyRead>) {
    let failed = view.reader.read(&at).await.err().map(FailedRead::now);
    let namespace_uid = view.cache.namespace(&at.namespace).1;
    let mut destination = destination(view, &at);
    let failed = failed.map(|read| FailedCopyRead { copy: at.clone(), namespace_uid, read });
    if let Some(FailedCopyRead { read, .. }) = &failed
        && !view.held_back.is_in_flight(&at)
    {
        destination.pending_retry =
            Some(PendingRetry { failure: read.failure.failure.clone(), content_hash: None });
    }
    (at, destination, failed)
}
