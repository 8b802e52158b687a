//! Records the results of reads and writes in the state that later reconciles use. Nothing else
//! turns them into retries.

use std::sync::Arc;

use crate::api::namespaced_name::NamespacedName;
use crate::controller::act::Answered;
use crate::controller::act::DestinationOutcome;
use crate::controller::act::Late;
use crate::controller::act::Outcome;
use crate::controller::act::WriteResult;
use crate::controller::observe::Reads;
use crate::controller::retries::FailedAttempt;
use crate::controller::retries::Retries;
use crate::controller::retries::Subject;
use crate::controller::state::State;
use crate::kubernetes::error::ApiFailure;

/// Records the results of the reads of an observation.
pub fn record_reads(state: &State, sync_uid: &str, reads: Reads) {
    let Reads { source, excerpt, failed_copies } = reads;
    match source {
        Some(Ok(())) => state.retries.succeeded(sync_uid, &Subject::Sync),
        Some(Err(failed)) => state.retries.failed(sync_uid, Subject::Sync, failed),
        None => {}
    }
    if let Some(excerpt) = excerpt {
        state.excerpts.keep(sync_uid, excerpt);
    }
    for (at, failed) in failed_copies {
        state.retries.failed(sync_uid, Subject::Destination(at), failed);
    }
}

/// Records that a patch of the finalizer or of the status failed.
pub fn record_failed_patch(retries: &Retries, sync_uid: &str, failure: ApiFailure) {
    retries.failed(sync_uid, Subject::Sync, FailedAttempt::now(failure, None));
}

/// Records the result at each destination. The results of writes in flight are recorded when they
/// arrive; after each of them, `wake` is called.
pub fn record_outcome(
    state: &Arc<State>,
    sync_uid: &str,
    outcome: Outcome,
    wake: impl Fn() + Send + 'static,
) {
    for (at, result) in outcome.results {
        match result {
            DestinationOutcome::Answered(answered) => {
                record_write(&state.retries, sync_uid, at, answered);
            }
            DestinationOutcome::InFlight => state.retries.write_in_flight(sync_uid, &at),
        }
    }
    if !outcome.late.is_empty() {
        let late = record_late(Arc::clone(state), sync_uid.to_owned(), outcome.late, wake);
        tokio::spawn(late);
    }
}

/// Records the result of one write.
pub fn record_write(retries: &Retries, sync_uid: &str, at: NamespacedName, answered: Answered) {
    let Answered { namespace_uid, content_hash, at: now, result } = answered;
    let changed_by_others = match &result {
        WriteResult::Written { is_repair } => *is_repair,
        WriteResult::Conflict { changed_by_others, .. } => *changed_by_others,
        WriteResult::Failed(_) => false,
    };
    if changed_by_others {
        retries.changed_by_others(sync_uid, &at, namespace_uid.clone(), now);
    }
    let subject = Subject::Destination(at);
    match result {
        WriteResult::Written { .. } => retries.succeeded(sync_uid, &subject),
        WriteResult::Conflict { unread: None, .. } => {}
        WriteResult::Conflict { unread: Some(failure), .. } | WriteResult::Failed(failure) => {
            let failed = FailedAttempt { failure, at: now, namespace_uid, content_hash };
            retries.failed(sync_uid, subject, failed);
        }
    }
}

async fn record_late(state: Arc<State>, sync_uid: String, mut late: Late, wake: impl Fn()) {
    while let Some((at, answered)) = late.next().await {
        if let Some(answered) = answered {
            record_write(&state.retries, &sync_uid, at.clone(), answered);
        }
        state.retries.write_ended(&sync_uid, &at);
        wake();
    }
}
