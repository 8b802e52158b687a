//! Computes the status of a `ConfigMapSync` after a reconcile.
//!
//! The status is computed from a [`Settled`] plan, which requires no more writes, so that it never
//! reports a write that has not happened.

mod message;
mod settled;

use std::hash::DefaultHasher;
use std::hash::Hash as _;
use std::hash::Hasher as _;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

pub use settled::Settled;

use crate::api::ConfigMapSyncStatus;
use crate::api::CopyCount;
use crate::api::DestinationFailure;
use crate::decide::Desired;
use crate::decide::Failure;
use crate::decide::Observed;
use crate::decide::desired::destinations;
use crate::decide::observed::ObservedSource;
use crate::decide::reason::Reason;
use crate::decide::status::message::MAX_CONDITION;
use crate::decide::status::message::MAX_MESSAGE;
use crate::decide::status::message::deleting_message;
use crate::decide::status::message::keys_not_found;
use crate::decide::status::message::most_severe_message;
use crate::decide::status::message::synced_message;
use crate::decide::status::settled::is_failure;
use crate::decide::text::cut;
use crate::decide::text::json_len;
use crate::names;

/// Maximum number of listed failures, so that a status does not grow with the number of namespaces.
const MAX_FAILURES: usize = 10;
/// Maximum length of the messages of all conditions and listed failures together, in bytes of JSON.
/// It keeps a status below 4 KiB whatever the API server returns and however long names are.
const MAX_MESSAGES: usize = 1_600;

/// The last write of a copy in this reconcile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWrite {
    /// When it happened.
    pub at: Time,
    /// Id of the trace of this reconcile, if tracing is enabled.
    pub trace_id: Option<String>,
}

/// The reason and message that the `ConfigMapSync` reports: the most severe of its own, that of a
/// finalizer that is not patched yet, and those of its destinations.
#[must_use]
pub fn summary(observed: &Observed, desired: &Desired, settled: &Settled) -> Failure {
    let failures = settled.failures();
    if observed.sync.deleting {
        let of_finalizer = settled.finalizer.as_ref().map(|failure| failure.message.clone());
        let message = of_finalizer.unwrap_or_else(|| deleting_message(&failures));
        return Failure::new(Reason::Deleting, message);
    }
    let of_destinations =
        failures.iter().min_by_key(|(_, failure)| failure.reason).map(|(_, failure)| {
            Failure::new(failure.reason, most_severe_message(failure, failures.len()))
        });
    let of_sync = match desired {
        Desired::Hold(failure) => Some(failure.clone()),
        Desired::Nothing(failure) => failure.clone(),
        Desired::Copies(copies) => keys_not_found(copies),
    };
    let all = of_sync.into_iter().chain(settled.finalizer.clone()).chain(of_destinations);
    let worst = all.min_by_key(|failure| failure.reason);
    worst.unwrap_or_else(|| match desired {
        Desired::Copies(copies) => Failure::new(Reason::Synced, synced_message(copies)),
        _ => Failure::new(Reason::Progressing, "no copies are desired"),
    })
}

/// What is wrong, if anything is: the most severe fault of the `ConfigMapSync` and of its
/// destinations. While it is being deleted, what prevents its end.
#[must_use]
pub fn fault(summary: &Failure, settled: &Settled) -> Option<Failure> {
    if summary.reason != Reason::Deleting {
        return summary.reason.is_fault().then(|| summary.clone());
    }
    let of_copies = settled.failures().into_iter().map(|(_, failure)| failure);
    let reasons = of_copies.chain(&settled.finalizer).map(|failure| failure.reason);
    let worst = reasons.filter(|reason| reason.is_fault()).min()?;
    Some(Failure::new(worst, summary.message.clone()))
}

/// Computes the status to report.
///
/// * `now`: the time of the reconcile.
/// * `last_write`: set if a write of a copy took effect that is not reported yet.
/// * `trace_id`: of this reconcile, if it is traced.
///
/// The transition time of a condition changes only with its status. Fields that are unknown in this
/// reconcile keep their previous value, except the version of the source after a change of the spec:
/// it is reported only if the source was read under the reported generation.
#[must_use]
pub fn status(
    observed: &Observed,
    desired: &Desired,
    settled: &Settled,
    now: &Time,
    last_write: Option<&LastWrite>,
    trace_id: Option<&str>,
) -> ConfigMapSyncStatus {
    let before = &observed.sync.status;
    let summary = summary(observed, desired, settled);
    let is_same_generation = before.observed_generation == observed.sync.generation;
    let conditions = conditions(observed, &summary, now);
    let is_same_verdict = is_same_generation && verdict(&before.conditions) == verdict(&conditions);
    let last_failure_trace_id = match summary.reason {
        Reason::Synced => None,
        _ if is_same_verdict => before.last_failure_trace_id.clone(),
        _ => trace_id.map(str::to_owned),
    };
    let of_conditions: usize = conditions.iter().map(|it| json_len(&it.message)).sum();
    let mut after = ConfigMapSyncStatus {
        observed_generation: observed.sync.generation,
        conditions,
        copies: copies(observed, desired, settled, &summary),
        failures: listed_failures(settled, MAX_MESSAGES.saturating_sub(of_conditions)),
        // Hash and keys belong to this version and this generation: with another spec, the source
        // must be read again.
        source: before.source.clone().filter(|_| is_same_generation),
        last_failure_trace_id,
        ..before.clone()
    };
    if let Desired::Copies(copies) = desired {
        after.content_hash = Some(copies.excerpt.hash.to_string());
        after.keys = i64::try_from(copies.excerpt.keys).ok();
        if let ObservedSource::Existing(source) = &observed.source {
            after.source = Some(source.version.clone());
        }
    }
    if let Some(last_write) = last_write {
        after.last_sync_time = Some(last_write.at.clone());
        after.last_trace_id.clone_from(&last_write.trace_id);
    }
    after
}

/// Whether `after` differs enough from `before` to be written. A changed version of the source
/// alone does not: an edit of its labels causes no write.
#[must_use]
pub fn is_worth_writing(before: &ConfigMapSyncStatus, after: &ConfigMapSyncStatus) -> bool {
    let comparable = ConfigMapSyncStatus {
        source: if before.source.is_some() { before.source.clone() } else { after.source.clone() },
        ..after.clone()
    };
    comparable != *before
}

/// A hash of the status, without what depends on the status before: two patches in a row with the
/// same one mean that another client has changed the status in between.
#[must_use]
pub fn fingerprint(status: &ConfigMapSyncStatus) -> u64 {
    let mut compared = ConfigMapSyncStatus { last_failure_trace_id: None, ..status.clone() };
    for condition in &mut compared.conditions {
        condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
    }
    let mut hasher = DefaultHasher::new();
    serde_json::to_string(&compared).unwrap_or_default().hash(&mut hasher);
    hasher.finish()
}

/// Whether the status reports `reason` for the sync or for one of the listed destinations.
#[must_use]
pub fn reports(status: &ConfigMapSyncStatus, reason: Reason) -> bool {
    ready_reason(status) == Some(reason.as_str())
        || status.failures.iter().any(|failure| failure.reason == reason.as_str())
}

/// The reason of the condition `Ready`, if present.
#[must_use]
pub fn ready_reason(status: &ConfigMapSyncStatus) -> Option<&str> {
    verdict(&status.conditions).map(|(reason, _)| reason)
}

/// Reason and message of the condition `Ready`, if present.
fn verdict(conditions: &[Condition]) -> Option<(&str, &str)> {
    let ready = conditions.iter().find(|condition| condition.type_ == names::CONDITION_READY)?;
    Some((&ready.reason, &ready.message))
}

fn conditions(observed: &Observed, summary: &Failure, now: &Time) -> Vec<Condition> {
    let condition = |type_: &str, holds: bool| {
        let status = if holds { "True" } else { "False" };
        let before = observed.sync.status.conditions.iter().find(|before| before.type_ == type_);
        let since = match before {
            Some(before) if before.status == status => before.last_transition_time.clone(),
            _ => now.clone(),
        };
        Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: summary.reason.as_str().to_owned(),
            message: cut(MAX_CONDITION, &summary.message),
            observed_generation: observed.sync.generation,
            last_transition_time: since,
        }
    };
    let mut conditions = vec![condition(names::CONDITION_READY, summary.reason == Reason::Synced)];
    if summary.reason.is_stalled() {
        conditions.push(condition(names::CONDITION_STALLED, true));
    }
    conditions
}

fn copies(
    observed: &Observed,
    desired: &Desired,
    settled: &Settled,
    summary: &Failure,
) -> Option<CopyCount> {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    match desired {
        Desired::Hold(_) if summary.reason == Reason::Suspended => observed.sync.status.copies,
        Desired::Hold(_) => {
            let requested = match &observed.selected {
                Ok(selected) => destinations(&observed.sync.spec, selected)
                    .map_or(0, |destinations| count(destinations.len())),
                Err(_) => observed.sync.status.copies.map_or(0, |copies| copies.desired),
            };
            Some(CopyCount { desired: requested, ready: 0, failed: requested })
        }
        Desired::Nothing(_) => {
            Some(CopyCount { desired: 0, ready: 0, failed: count(settled.failed()) })
        }
        Desired::Copies(copies) => {
            let ready = copies.destinations.iter().filter(|at| settled.is_ready(at)).count();
            let desired = count(copies.destinations.len());
            Some(CopyCount { desired, ready: count(ready), failed: count(settled.failed()) })
        }
    }
}

/// The failures to list, with messages of at most `max_messages` bytes of JSON together.
fn listed_failures(settled: &Settled, max_messages: usize) -> Vec<DestinationFailure> {
    let failures = settled.failures().into_iter().filter(|(_, failure)| is_failure(failure));
    let listed: Vec<_> = failures.take(MAX_FAILURES).collect();
    let share = MAX_MESSAGE.min(max_messages / listed.len().max(1));
    listed
        .into_iter()
        .map(|(at, failure)| DestinationFailure {
            namespace: at.namespace.clone(),
            reason: failure.reason.as_str().to_owned(),
            message: cut(share, &failure.message),
        })
        .collect()
}

#[cfg(test)]
mod tests;
