//! What users see of a round.
//!
//! A status is computed only from a [`Settled`] plan, one that asks for nothing more, so that it
//! never speaks of what was merely intended.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use crate::api::ConfigMapSyncStatus;
use crate::api::CopyCount;
use crate::api::DestinationFailure;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::Desired;
use crate::decide::Failure;
use crate::decide::Observed;
use crate::decide::Plan;
use crate::decide::desired::DesiredCopies;
use crate::decide::desired::destinations;
use crate::decide::observed::ObservedSource;
use crate::decide::reason::Reason;
use crate::decide::reason::Retry;
use crate::names;

/// How many failures a status lists. It never grows with the number of namespaces.
const MAX_FAILURES: usize = 10;
/// Longest message, in bytes of JSON; the rest is cut.
const MAX_MESSAGE: usize = 256;
/// What the messages of all listed failures may take together, in bytes of JSON, so that a status
/// stays below 4 KiB whatever the server says and however long names are.
const MAX_MESSAGES: usize = 1_400;

/// A plan that asks for no more writes in this round.
#[derive(Clone, Debug)]
pub struct Settled {
    steps: BTreeMap<NamespacedName, Action>,
}

/// What the round wrote, if it wrote a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastWrite {
    /// When.
    pub at: Time,
    /// Id of the trace that tells how, if traces are on.
    pub trace_id: Option<String>,
}

// === impl Settled ===

impl Settled {
    /// A plan whose last pass asked for nothing, or one whose writes have to wait for the next
    /// round: those count as Progressing.
    #[must_use]
    pub fn of(plan: Plan) -> Self {
        let settle = |(at, action): (NamespacedName, Action)| match action {
            write if write.is_write() => {
                let message = format!("{at} waits for its {}", write.verb());
                (at, Action::Leave(Failure::new(Reason::Progressing, message)))
            }
            other => (at, other),
        };
        Self { steps: plan.steps.into_iter().map(settle).collect() }
    }

    /// How many places are tried again by themselves, under backoff.
    #[must_use]
    pub fn retry_count(&self) -> usize {
        let is_retried = |failure: &Failure| failure.reason.retry() == Retry::Backoff;
        self.failures().into_iter().filter(|(_, failure)| is_retried(failure)).count()
    }

    /// Whether something is left undone at `at`.
    #[must_use]
    pub fn is_left(&self, at: &NamespacedName) -> bool {
        matches!(self.steps.get(at), Some(Action::Leave(_)))
    }

    /// How many places something stands in the way of.
    fn failed(&self) -> usize {
        self.failures().iter().filter(|(_, failure)| is_failure(failure)).count()
    }

    fn failures(&self) -> Vec<(&NamespacedName, &Failure)> {
        self.steps
            .iter()
            .filter_map(|(at, action)| match action {
                Action::Leave(failure) => Some((at, failure)),
                _ => None,
            })
            .collect()
    }
}

/// Tells the reason and the sentence that the sync as a whole reports: the worst of all.
#[must_use]
pub fn summary(observed: &Observed, desired: &Desired, settled: &Settled) -> Failure {
    let failures = settled.failures();
    if observed.sync.deleting {
        return Failure::new(Reason::Deleting, deleting_message(&failures));
    }
    let of_destinations = failures
        .iter()
        .min_by_key(|(_, failure)| failure.reason)
        .map(|(_, worst)| Failure::new(worst.reason, worst_message(worst, failures.len())));
    let of_sync = match desired {
        Desired::Hold(failure) => return failure.clone(),
        Desired::Nothing(failure) => failure.clone(),
        Desired::Copies(wanted) => keys_not_found(wanted),
    };
    let worst = of_sync.into_iter().chain(of_destinations).min_by_key(|failure| failure.reason);
    worst.unwrap_or_else(|| match desired {
        Desired::Copies(wanted) => Failure::new(Reason::Synced, synced_message(wanted)),
        _ => Failure::new(Reason::Progressing, "no copy is wanted"),
    })
}

/// Tells what users see.
///
/// `now` is the time of the round; `wrote` tells of its writes, if a copy was written. A
/// condition's transition time moves only when its status changes. What is not known in this
/// round is kept as it was.
#[must_use]
pub fn status(
    observed: &Observed,
    desired: &Desired,
    settled: &Settled,
    now: &Time,
    wrote: Option<&LastWrite>,
) -> ConfigMapSyncStatus {
    let before = &observed.sync.status;
    let verdict = summary(observed, desired, settled);
    let mut after = ConfigMapSyncStatus {
        observed_generation: observed.sync.generation,
        conditions: conditions(observed, &verdict, now),
        copies: copies(observed, desired, settled, &verdict),
        failures: listed_failures(settled),
        ..before.clone()
    };
    if let Desired::Copies(wanted) = desired {
        after.content_hash = Some(wanted.excerpt.hash.to_string());
        after.keys = i64::try_from(wanted.excerpt.keys).ok();
        if let ObservedSource::Existing(source) = &observed.source {
            after.source = Some(source.version.clone());
        }
    }
    if let Some(wrote) = wrote {
        after.last_sync_time = Some(wrote.at.clone());
        after.last_trace_id.clone_from(&wrote.trace_id);
    }
    after
}

/// Whether `after` says anything that is worth a write.
///
/// The version of the source alone is not: an edit of its labels costs no write.
#[must_use]
pub fn is_worth_writing(before: &ConfigMapSyncStatus, after: &ConfigMapSyncStatus) -> bool {
    let comparable = ConfigMapSyncStatus {
        source: if before.source.is_some() { before.source.clone() } else { after.source.clone() },
        ..after.clone()
    };
    comparable != *before
}

/// The reason of the condition `Ready` in `status`, if there is one.
#[must_use]
pub fn ready_reason(status: &ConfigMapSyncStatus) -> Option<&str> {
    status
        .conditions
        .iter()
        .find(|condition| condition.type_ == names::CONDITION_READY)
        .map(|condition| condition.reason.as_str())
}

fn conditions(observed: &Observed, verdict: &Failure, now: &Time) -> Vec<Condition> {
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
            reason: verdict.reason.as_str().to_owned(),
            message: verdict.message.clone(),
            observed_generation: observed.sync.generation,
            last_transition_time: since,
        }
    };
    let mut conditions = vec![condition(names::CONDITION_READY, verdict.reason == Reason::Synced)];
    if verdict.reason.is_stalled() {
        conditions.push(condition(names::CONDITION_STALLED, true));
    }
    conditions
}

fn copies(
    observed: &Observed,
    desired: &Desired,
    settled: &Settled,
    verdict: &Failure,
) -> Option<CopyCount> {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    match desired {
        Desired::Hold(_) if verdict.reason == Reason::Suspended => observed.sync.status.copies,
        Desired::Hold(_) => {
            let asked = destinations(&observed.sync.spec, &observed.selected)
                .map_or(0, |places| places.len());
            Some(CopyCount { desired: count(asked), ready: 0, failed: count(asked) })
        }
        Desired::Nothing(_) => {
            let failed = count(settled.failed());
            Some(CopyCount { desired: 0, ready: 0, failed })
        }
        Desired::Copies(wanted) => {
            let ready = wanted
                .destinations
                .iter()
                .filter(|at| settled.steps.get(at) == Some(&Action::Keep))
                .count();
            let desired = count(wanted.destinations.len());
            Some(CopyCount { desired, ready: count(ready), failed: count(settled.failed()) })
        }
    }
}

fn listed_failures(settled: &Settled) -> Vec<DestinationFailure> {
    let failures = settled.failures().into_iter().filter(|(_, failure)| is_failure(failure));
    let listed: Vec<_> = failures.take(MAX_FAILURES).collect();
    let share = MAX_MESSAGE.min(MAX_MESSAGES / listed.len().max(1));
    listed
        .into_iter()
        .map(|(at, failure)| DestinationFailure {
            namespace: at.namespace.clone(),
            reason: failure.reason.as_str().to_owned(),
            message: cut_to(share, &failure.message),
        })
        .collect()
}

/// What is under way is not in order, but has not failed.
fn is_failure(failure: &Failure) -> bool {
    failure.reason != Reason::Progressing
}

fn deleting_message(failures: &[(&NamespacedName, &Failure)]) -> String {
    match failures.first() {
        Some((at, failure)) => format!("{at} is not cleaned up yet: {}", cut(&failure.message)),
        None => "copies are being cleaned up".to_owned(),
    }
}

fn worst_message(worst: &Failure, failures: usize) -> String {
    match failures {
        1 => cut(&worst.message),
        many => format!("{} (and {} more)", cut(&worst.message), many - 1),
    }
}

fn keys_not_found(wanted: &DesiredCopies) -> Option<Failure> {
    let (first, more) = wanted.excerpt.missing.split_first()?;
    let source = &wanted.source;
    let message = match more.len() {
        0 => format!("ConfigMap {source} has no key {first:?}; its other keys are copied"),
        more => format!(
            "ConfigMap {source} has no key {first:?} (and {more} more are missing); its other keys \
             are copied"
        ),
    };
    Some(Failure::new(Reason::KeyNotFound, cut(&message)))
}

fn synced_message(wanted: &DesiredCopies) -> String {
    match wanted.destinations.len() {
        0 => "no namespace is selected".to_owned(),
        1 => format!("the copy equals ConfigMap {}", wanted.source),
        many => format!("{many} copies equal ConfigMap {}", wanted.source),
    }
}

fn cut(message: &str) -> String {
    cut_to(MAX_MESSAGE, message)
}

/// As much of `message` as takes at most `bytes` when it is written as JSON.
fn cut_to(bytes: usize, message: &str) -> String {
    let mut taken = 0;
    let mut ends = message.char_indices().map(|(start, letter)| {
        taken += bytes_in_json(letter);
        (start, taken)
    });
    let Some((fits, _)) = ends.find(|(_, taken)| *taken > bytes) else {
        return message.to_owned();
    };
    format!("{}…", &message[..fits])
}

fn bytes_in_json(letter: char) -> usize {
    match letter {
        '"' | '\\' => 2,
        letter if letter.is_control() => 6,
        letter => letter.len_utf8(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_not_cut() {
        assert_eq!(cut_to(5, "abcde"), "abcde");
        assert_eq!(cut_to(4, "abcde"), "abcd…");
    }

    #[test]
    fn bytes_count_as_they_are_written_and_letters_stay_whole() {
        assert_eq!(cut_to(6, "\"\"\"\""), "\"\"\"…");
        assert_eq!(cut_to(7, "配置不"), "配置…");
        assert_eq!(cut_to(6, "\n\n"), "\n…");
        for message in ["配\"\\\u{1}x".repeat(80), "é\u{1f6ab}".repeat(80)] {
            let written = serde_json::to_string(&cut_to(100, &message)).unwrap();
            assert!(written.len() <= 100 + "\"…\"".len(), "{written}");
        }
    }
}
