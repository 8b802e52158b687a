//! Records what happened in the state that later passes and reconciles use: the one place where
//! the results of reads and writes become retries.

use std::sync::Arc;
use std::time::Instant;

use crate::api::namespaced_name::NamespacedName;
use crate::controller::act::Answered;
use crate::controller::act::DestinationOutcome;
use crate::controller::act::Late;
use crate::controller::act::Outcome;
use crate::controller::act::WriteResult;
use crate::controller::observe::FailedCopyRead;
use crate::controller::observe::Reads;
use crate::controller::retries::Attempt;
use crate::controller::retries::Retries;
use crate::controller::retries::Subject;
use crate::controller::state::State;
use crate::kubernetes::error::ApiFailure;

/// Records what became of the reads of an observation.
pub fn record_reads(state: &State, sync_uid: &str, reads: Reads) {
    let Reads { source, excerpt, failed_copies } = reads;
    match source {
        Some(Ok(())) => state.retries.succeeded(sync_uid, &Subject::Sync),
        Some(Err(failed)) => record_sync_failure(state, sync_uid, failed.failure, failed.at),
        None => {}
    }
    if let Some(excerpt) = excerpt {
        state.excerpts.keep(sync_uid, excerpt);
    }
    for failed in failed_copies {
        record_failed_copy_read(&state.retries, sync_uid, failed);
    }
}

/// Records that a copy could not be read.
pub fn record_failed_copy_read(retries: &Retries, sync_uid: &str, failed: FailedCopyRead) {
    let FailedCopyRead { copy, namespace_uid, read } = failed;
    let attempt = Attempt { namespace_uid, content_hash: None };
    retries.failed(sync_uid, Subject::Destination(copy), attempt, read.failure, read.at);
}

/// Records the failure of something that concerns the sync as a whole.
pub fn record_sync_failure(state: &State, sync_uid: &str, failure: ApiFailure, now: Instant) {
    state.retries.failed(sync_uid, Subject::Sync, Attempt::default(), failure, now);
}

/// Records what happened at each destination. Writes in flight are recorded when they are
/// answered; after each of them, `wake` is called.
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

/// Records what came of one write.
pub fn record_write(retries: &Retries, sync_uid: &str, at: NamespacedName, answered: Answered) {
    let Answered { namespace_uid, content_hash, at: now, result } = answered;
    let attempt = Attempt { namespace_uid: namespace_uid.clone(), content_hash };
    match result {
        WriteResult::Written { is_repair } => {
            retries.succeeded(sync_uid, &Subject::Destination(at.clone()));
            if is_repair {
                retries.changed_by_others(sync_uid, &at, namespace_uid, now);
            }
        }
        WriteResult::Conflict { changed_by_others, unread } => {
            if changed_by_others {
                retries.changed_by_others(sync_uid, &at, namespace_uid, now);
            }
            if let Some(failure) = unread {
                retries.failed(sync_uid, Subject::Destination(at), attempt, failure, now);
            }
        }
        WriteResult::Failed(failure) => {
            retries.failed(sync_uid, Subject::Destination(at), attempt, failure, now);
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
