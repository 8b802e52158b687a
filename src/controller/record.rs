//! Records the results of reads and writes in the state that later reconciles use. Nothing else
//! turns them into retries.

use std::sync::Arc;
use std::time::Instant;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::api::namespaced_name::NamespacedName;
use crate::controller::act::Answered;
use crate::controller::act::DestinationOutcome;
use crate::controller::act::Late;
use crate::controller::act::Outcome;
use crate::controller::act::WriteResult;
use crate::controller::observe::Reads;
use crate::decide::contention::Response;
use crate::decide::observed::Attempted;
use crate::decide::status::LastWrite;
use crate::kubernetes::sync_patch::SyncPatch;
use crate::state::State;
use crate::state::retries::AnsweredWrite;
use crate::state::retries::FailedAttempt;
use crate::state::retries::Retries;
use crate::state::retries::Subject;

/// What one pass read, wrote and reported.
pub struct Pass {
    pub reads: Reads,
    pub outcome: Outcome,
    /// The patch of the status, if one was attempted or none was necessary.
    pub reported: Option<SyncPatch>,
}

/// Records one pass. The results of writes in flight are recorded when they arrive; after each of
/// them, `wake` is called.
///
/// `trace_id` is the id of the trace of the reconcile.
pub fn record(
    state: &Arc<State>,
    sync_uid: &str,
    pass: Pass,
    trace_id: Option<String>,
    wake: impl Fn() + Send + 'static,
) {
    let Pass { reads, outcome, reported } = pass;
    record_reads(state, sync_uid, reads);
    // We remove our finalizer from a sync only in the end.
    let is_restored = matches!(outcome.finalizer, SyncPatch::Patched { .. })
        && state.read(sync_uid, |sync| sync.own_writes.has_written());
    state.update_retries(sync_uid, |retries| {
        if is_restored {
            retries.restored(Subject::Finalizer, Instant::now());
        }
        match outcome.finalizer {
            // No patch was necessary or possible.
            SyncPatch::Unchanged | SyncPatch::Conflict => {}
            patch => record_patch(retries, Subject::Finalizer, patch),
        }
        if let Some(patch) = reported {
            record_patch(retries, Subject::Status, patch);
        }
    });
    for (at, result) in outcome.results {
        match result {
            DestinationOutcome::Answered(answered) => {
                record_write(state, sync_uid, &at, answered, trace_id.as_deref());
            }
            DestinationOutcome::InFlight => {
                state.update_retries(sync_uid, |retries| retries.write_in_flight(&at));
            }
            DestinationOutcome::Waiting => {
                state.update_retries(sync_uid, |retries| retries.write_waits(&at));
            }
        }
    }
    if !outcome.late.is_empty() {
        let (state, sync_uid) = (Arc::clone(state), sync_uid.to_owned());
        tokio::spawn(record_late(state, sync_uid, outcome.late, trace_id, wake));
    }
}

/// Records the results of reads.
pub fn record_reads(state: &State, sync_uid: &str, reads: Reads) {
    let Reads { failed_namespaces, source, excerpt, failed_copies, consents: _ } = reads;
    state.update(sync_uid, |sync| {
        if let Some(excerpt) = excerpt {
            sync.excerpt = Some(Box::new(excerpt));
        }
    });
    state.update_retries(sync_uid, |retries| {
        match source {
            Some((name, Ok(()))) => retries.succeeded(&Subject::Source(name)),
            Some((name, Err(failed))) => retries.failed(Subject::Source(name), failed),
            None => {}
        }
        if let Some(failed) = failed_namespaces {
            retries.failed(Subject::Namespaces, failed);
        }
        for (at, failed) in failed_copies {
            retries.failed(Subject::Destination(at), failed);
        }
    });
}

fn record_patch(retries: &mut Retries, subject: Subject, patch: SyncPatch) {
    match patch {
        SyncPatch::Unchanged | SyncPatch::Patched { .. } => retries.succeeded(&subject),
        SyncPatch::Failed(failure) => retries.failed(subject, FailedAttempt::now(failure, None)),
        SyncPatch::Conflict => {}
    }
}

/// Records the result of one write.
pub fn record_write(
    state: &State,
    sync_uid: &str,
    at: &NamespacedName,
    answered: Answered,
    trace_id: Option<&str>,
) {
    if answered.result.is_written() {
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap_or_default();
        let write = LastWrite { at: Time(now), trace_id: trace_id.map(ToOwned::to_owned) };
        state.wrote_copy(sync_uid, answered.at, write);
    }
    state.update_retries(sync_uid, |retries| record_retry(retries, at, answered));
}

fn record_retry(retries: &mut Retries, at: &NamespacedName, answered: Answered) {
    let Answered { namespace_uid, metadata_bytes, purpose, at: now, result } = answered;
    let (content_hash, generation) = (purpose.content_hash().cloned(), purpose.generation());
    let attempted = Attempted { content_hash, generation, metadata_bytes, is_review: false };
    let (response, failure) = match result {
        WriteResult::Written => (Some(Response::Written), None),
        WriteResult::Conflict { response, unread: None } => (Some(response), None),
        // After an unread conflict, it is unknown whether another client has changed the copy.
        WriteResult::Conflict { unread: Some(failure), .. } | WriteResult::Failed(failure) => {
            (None, Some(failure))
        }
    };
    if let Some(response) = response {
        let namespace_uid = namespace_uid.clone();
        retries.answered(at, AnsweredWrite { purpose, response, at: now, namespace_uid });
    }
    if let Some(failure) = failure {
        let failed = FailedAttempt { failure, at: now, namespace_uid, attempted };
        retries.failed(Subject::Destination(at.clone()), failed);
    }
}

// === impl Pass ===

impl Pass {
    /// A pass that read, and neither wrote nor reported.
    pub fn of(reads: Reads) -> Self {
        Self { reads, outcome: Outcome::nothing(), reported: None }
    }
}

async fn record_late(
    state: Arc<State>,
    sync_uid: String,
    mut late: Late,
    trace_id: Option<String>,
    wake: impl Fn(),
) {
    while let Some((at, answered)) = late.next().await {
        if let Some(answered) = answered {
            record_write(&state, &sync_uid, &at, answered, trace_id.as_deref());
        }
        state.update_retries(&sync_uid, |retries| retries.write_ended(&at));
        wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::contention::Purpose;
    use crate::decide::reason::Reason;
    use crate::kubernetes::error::ApiFailure;

    /// Why a write is held back after `count` conflicts and a successful read.
    fn held_after_conflicts(count: usize, unread: Option<&ApiFailure>) -> Option<Reason> {
        let (mut retries, now) = (Retries::default(), Instant::now());
        let at = NamespacedName::new("app", "shared");
        for _ in 0..count {
            let response = Response::Conflict;
            let result = WriteResult::Conflict { response, unread: unread.cloned() };
            let purpose = Purpose::Retire;
            let (namespace_uid, metadata_bytes) = (None, 0);
            let answered = Answered { namespace_uid, metadata_bytes, purpose, at: now, result };
            record_retry(&mut retries, &at, answered);
        }
        retries.succeeded(&Subject::Destination(at.clone()));
        retries.held_back(now).destination(&at, None).map(|held| held.failure.reason)
    }

    #[test]
    fn a_conflict_whose_copy_could_not_be_read_is_no_contention() {
        assert_eq!(held_after_conflicts(20, None), Some(Reason::Contended));
        let unread = ApiFailure::transient("404".to_owned());
        assert_eq!(held_after_conflicts(20, Some(&unread)), None);
    }
}
