//! Asks for the permissions of the ServiceAccount of a sync, before anything is read on its behalf.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::api::ConfigMapSyncSpec;
use crate::api::namespaced_name::NamespacedName;
use crate::controller::observe::source::distrust;
use crate::controller::observe::source::known_source;
use crate::controller::observe::view::Reads;
use crate::controller::observe::view::View;
use crate::decide::Observed;
use crate::decide::desired::source_name;
use crate::decide::observed::ObservedSource;
use crate::decide::observed::ObservedSync;
use crate::decide::observed::PendingRetry;
use crate::decide::verb::Verb;

/// Asks whether the source may be read, unless that must wait. Returns what is known of the source.
pub async fn ask_source(
    view: View<'_>,
    sync: &ObservedSync,
    spec: &ConfigMapSyncSpec,
    verify: bool,
    reads: &mut Reads,
) -> ObservedSource {
    let name = source_name(spec);
    if let Some(failure) = view.held_back.source(&name, sync.generation) {
        return ObservedSource::Unreadable(failure);
    }
    let View { cache, reviewer, .. } = view;
    if let Err(failed) = reads.consents.ask_source(reviewer, cache, sync, &name).await {
        let failure = failed.failure.failure.clone();
        reads.source = Some((name, Err(failed)));
        return ObservedSource::Unreadable(failure);
    }
    let mut source = known_source(view, sync, spec);
    if verify {
        distrust(&mut source);
    }
    source
}

/// Asks for the `required` permissions to write copies. A denial or a failure counts as a failed
/// write.
pub async fn ask_writes(
    View { cache, reviewer, .. }: View<'_>,
    observed: &mut Observed,
    required: BTreeMap<NamespacedName, BTreeSet<Verb>>,
    reads: &mut Reads,
) {
    if required.is_empty() {
        return;
    }
    let failed = reads.consents.ask_writes(reviewer, cache, &observed.sync, required).await;
    for (at, destination) in &mut observed.destinations {
        destination.consent = reads.consents.at(at);
    }
    for (at, failed) in &failed {
        if let Some(destination) = observed.destinations.get_mut(at) {
            let (failure, attempted) = (failed.failure.failure.clone(), failed.attempted.clone());
            destination.pending_retry = Some(PendingRetry { failure, attempted });
        }
    }
    reads.failed_copies.extend(failed);
}
