//! The step that observes what exists, from the cache and, where necessary, by reads. Which reads are
//! necessary, the decision on what is known says: both take turns until it requires no read, at most
//! [`MAX_TURNS`] times.
//!
//! While source and copies are in sync, nothing is read. A failed read is part of the observation,
//! not an error of the step.

mod source;
mod view;

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use futures::StreamExt as _;
use futures::future::join;
use futures::stream;
use tracing::Instrument as _;

pub use view::Reads;
pub use view::View;

use crate::api::namespaced_name::NamespacedName;
use crate::cache::CachedConfigMap;
use crate::controller::observe::source::known_source;
use crate::controller::observe::source::read_source;
use crate::decide::Decision;
use crate::decide::Failure;
use crate::decide::Observed;
use crate::decide::RequiredReads;
use crate::decide::consent::is_reported;
use crate::decide::desired::destinations;
use crate::decide::destinations::selector;
use crate::decide::observed::DestinationObject;
use crate::decide::observed::ObservedDestination;
use crate::decide::observed::ObservedSource;
use crate::decide::observed::ObservedSync;
use crate::decide::verb::Verb;
use crate::reviews::Consents;
use crate::state::retries::FailedAttempt;
use crate::telemetry;

/// The result of one read can require another: of the source, then of copies that may differ from
/// it, then of the content to write. Before each of them, permissions may have to be asked for.
const MAX_TURNS: usize = 8;
/// Copies that one reconcile reads at a time.
const CONCURRENT_READS: usize = 8;

/// What exists, the results of the reads, and what is decided on it.
#[derive(Debug)]
pub struct Observation {
    pub observed: Observed,
    pub reads: Reads,
    pub decision: Decision,
}

/// Observes everything that the decision about `sync` needs, and decides. With `verify`, source and
/// copies are read even if nothing indicates a change.
pub async fn observe(view: View<'_>, sync: &ObservedSync, verify: bool) -> Observation {
    let span = || tracing::info_span!(telemetry::OBSERVE_SPAN, verify);
    let (mut observed, mut reads) = first_look(view, sync, verify).instrument(span()).await;
    let mut decision = decide(&observed);
    for _ in 0..MAX_TURNS {
        if decision.reads.is_empty() {
            break;
        }
        let required = decision.into_reads();
        read(view, verify, &mut observed, required, &mut reads).instrument(span()).await;
        decision = decide(&observed);
    }
    Observation { observed, reads, decision }
}

fn decide(observed: &Observed) -> Decision {
    tracing::info_span!(telemetry::PLAN_SPAN).in_scope(|| Decision::of(observed))
}

/// What the cache knows, and the source.
async fn first_look(view: View<'_>, sync: &ObservedSync, verify: bool) -> (Observed, Reads) {
    let consents = Consents::of(view.reviewer.account_of(sync));
    let mut reads = Reads { consents, ..Reads::default() };
    let selected = selected(view, sync, &mut reads).await;
    let mut observed = without_destinations(view, sync, selected, verify, &reads.consents);
    // The destinations are looked up while the source is being read.
    let source = async {
        let spec = sync.spec.as_ref().ok().filter(|_| Decision::of(&observed).reads.source)?;
        Some(read_source(view, sync, spec, verify, &mut reads).await)
    };
    let destinations = async { known_destinations(view, sync, &observed.selected, verify) };
    let (source, destinations) = join(source, destinations).await;
    observed.source = source.unwrap_or(observed.source);
    observed.destinations = destinations;
    (observed, reads)
}

/// Reads what is `required`.
async fn read(
    view: View<'_>,
    verify: bool,
    observed: &mut Observed,
    required: RequiredReads,
    reads: &mut Reads,
) {
    if required.source
        && required.consents.is_empty()
        && let Ok(spec) = &observed.sync.spec
    {
        observed.source = read_source(view, &observed.sync, spec, verify, reads).await;
    }
    if !required.consents.is_empty() {
        observed.source.drop_large_content();
        ask_writes(view, observed, required.consents, reads).await;
    }
    let consents = &reads.consents;
    let copies = required.copies.into_iter().map(|at| read_copy(view, consents, at));
    let copies: Vec<_> = copies.collect();
    let copies: Vec<_> = stream::iter(copies).buffer_unordered(CONCURRENT_READS).collect().await;
    for (at, destination, failed) in copies {
        reads.failed_copies.extend(failed.map(|failed| (at.clone(), failed)));
        observed.destinations.insert(at, destination);
    }
}

/// The namespaces that the selector selects. The cache does not decide that for those with large
/// labels: they are read, unless that must wait, or no copy is desired in them.
async fn selected(
    view: View<'_>,
    sync: &ObservedSync,
    reads: &mut Reads,
) -> Result<BTreeSet<String>, Failure> {
    // By the spec of this reconcile: the cache may have a newer one by now.
    let Some(selector) = selector(&sync.spec) else { return Ok(BTreeSet::new()) };
    let known = view.cache.select(&selector);
    if known.undecided.is_empty() || sync.deleting {
        return Ok(known.names);
    }
    if let Some(failure) = view.held_back.namespaces() {
        return Err(failure);
    }
    let selected = view.reader.select(&selector).await;
    let failed = selected.as_ref().err();
    reads.failed_namespaces = failed.map(|error| FailedAttempt::now(error.clone(), None));
    selected.map_err(|error| error.failure)
}

/// What the cache knows, beside the `selected` namespaces.
fn without_destinations(
    view: View<'_>,
    sync: &ObservedSync,
    selected: Result<BTreeSet<String>, Failure>,
    verify: bool,
    consents: &Consents,
) -> Observed {
    let mut source = match &sync.spec {
        Ok(spec) => known_source(view, sync, spec),
        Err(_) => ObservedSource::Unknown,
    };
    if verify {
        source = source.distrusted();
    }
    if !consents.cover_source() && !is_reported(sync, &source) {
        // What the cache knows is not for this ServiceAccount, unless it may read the source.
        source = ObservedSource::Unknown;
    }
    Observed {
        sync: sync.clone(),
        source,
        selected,
        destinations: BTreeMap::new(),
        writes_in_flight: view.held_back.has_writes_in_flight()
            || (sync.deleting && view.has_late_writes),
        finalizer_failure: view.held_back.finalizer(),
    }
}

/// What the cache knows of the destinations. No permission to write them is known yet.
fn known_destinations(
    view: View<'_>,
    sync: &ObservedSync,
    selected: &Result<BTreeSet<String>, Failure>,
    verify: bool,
) -> BTreeMap<NamespacedName, ObservedDestination> {
    let consents = Consents::of(view.reviewer.account_of(sync));
    let mut names = view.cache.copies_of(&sync.version.uid);
    let desired = selected.as_ref().ok().and_then(|it| destinations(&sync.spec, it).ok());
    names.extend(desired.unwrap_or_default());
    let mut destinations: BTreeMap<_, _> =
        names.into_iter().map(|at| (at.clone(), destination(view, &consents, &at))).collect();
    if verify {
        destinations.values_mut().for_each(ObservedDestination::distrust);
    }
    destinations
}

fn destination(view: View<'_>, consents: &Consents, at: &NamespacedName) -> ObservedDestination {
    let cache = view.cache;
    let object = match cache.config_map(at) {
        CachedConfigMap::Present(entry) => {
            let owner = entry.sync_uid().and_then(|uid| cache.sync_with_uid(uid));
            DestinationObject::Existing(Box::new(entry.into_existing(owner)))
        }
        CachedConfigMap::Absent | CachedConfigMap::Unknown => DestinationObject::Missing,
    };
    let (namespace, namespace_uid) = cache.namespace(&at.namespace);
    let pending_retry = view.held_back.destination(at, namespace_uid.as_deref());
    ObservedDestination { namespace, object, pending_retry, consent: consents.at(at) }
}

/// Reads the copy `at` into the cache. After a failure, its write must wait.
async fn read_copy(
    view: View<'_>,
    consents: &Consents,
    at: NamespacedName,
) -> (NamespacedName, ObservedDestination, Option<FailedAttempt>) {
    let error = view.reader.compare(&at).await.err();
    let mut destination = destination(view, consents, &at);
    let namespace_uid = view.cache.namespace(&at.namespace).1;
    let failed = error.map(|error| FailedAttempt::now(error, namespace_uid));
    if let Some(failed) = failed.as_ref().filter(|_| !view.held_back.is_in_flight(&at)) {
        destination.pending_retry = Some(failed.pending());
    }
    (at, destination, failed)
}

/// Asks for the `required` permissions to write copies. A denial or a failure counts as a failed
/// write.
async fn ask_writes(
    View { cache, reviewer, .. }: View<'_>,
    observed: &mut Observed,
    required: BTreeMap<NamespacedName, BTreeSet<Verb>>,
    reads: &mut Reads,
) {
    let failed = reads.consents.ask_writes(reviewer, cache, &observed.sync, required).await;
    for (at, destination) in &mut observed.destinations {
        destination.consent = reads.consents.at(at);
    }
    for (at, failed) in &failed {
        if let Some(destination) = observed.destinations.get_mut(at) {
            destination.pending_retry = Some(failed.pending());
        }
    }
    reads.failed_copies.extend(failed);
}
