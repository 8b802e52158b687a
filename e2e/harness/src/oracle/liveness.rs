//! O6: within a deadline after the last fault every `ConfigMapSync` is Ready and every copy is correct;
//! and a leader is followed by another within a deadline.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::jiff::Timestamp;
use testbed::audit::Event;
use testbed::wait::Seen;
use testbed::wait::until_every;

use crate::audit_queries::writes_by_operator;
use crate::oracle::history::History;
use crate::oracle::history::Kind;
use crate::oracle::no_copy_lost;
use crate::oracle::no_orphans;
use crate::oracle::recorder::Recorder;

/// Pause between two evaluations of a history.
const PAUSE: Duration = Duration::from_millis(250);

/// A change of the writing pod: the time between the last write of one and the first write of the next,
/// by the clock of the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// The uid of the previous writer's pod.
    pub from: String,
    /// The uid of the next writer's pod.
    pub to: String,
    /// The time of the response to the previous writer's last write.
    pub last: Timestamp,
    /// The time of the response to the next writer's first write.
    pub first: Timestamp,
}

/// The `ConfigMapSync`s at the end of the history that have a deletion timestamp, or are not Ready for
/// their current generation.
#[must_use]
pub fn violations(history: &History) -> Vec<String> {
    let present = history.present(Kind::Sync, history.end());
    let unfinished = present.iter().filter_map(|sync| {
        if sync.object["metadata"]["deletionTimestamp"].is_string() {
            return Some(format!("{} has a deletion timestamp, but still exists", sync.at));
        }
        let conditions = sync.object["status"]["conditions"].as_array();
        let ready = conditions.into_iter().flatten().find(|it| it["type"] == "Ready");
        let is_current =
            sync.object["status"]["observedGeneration"] == sync.object["metadata"]["generation"];
        let is_ready = ready.is_some_and(|ready| ready["status"] == "True") && is_current;
        (!is_ready).then(|| format!("{} is not Ready: {ready:?}", sync.at))
    });
    unfinished.collect()
}

/// Waits until O2, O3 and O6 hold at the end of the history: every `ConfigMapSync` is Ready, its copies
/// are correct, and there are no orphans.
pub async fn converged(recorder: &Recorder, deadline: Duration) -> Result<()> {
    until_every(
        PAUSE,
        "every ConfigMapSync is Ready with correct copies, and no orphan exists (O6 liveness)",
        deadline,
        || async {
            // During a fault the API server may not respond.
            let history = match recorder.history().await {
                Ok(history) => history,
                Err(error) => return Ok(Seen::NotYet(format!("{error:#}"))),
            };
            let mut found = violations(&history);
            found.extend(no_copy_lost::violations(&history, &[]));
            found.extend(no_orphans::violations(&history));
            Ok(Seen::from_bool(found.is_empty(), || found.join("\n")))
        },
    )
    .await
}

/// Every change of the pod that writes copies, in order of time.
#[must_use]
pub fn handovers(events: &[Event]) -> Vec<Handover> {
    let writes = writes_by_operator(events).into_iter();
    let mut writes: Vec<_> =
        writes.filter(|it| it.succeeded() && it.resource() == "configmaps").collect();
    writes.sort_by_key(|event| event.stage_timestamp.0);
    let changes = writes.windows(2).filter(|pair| pair[0].pod_uid() != pair[1].pod_uid());
    let handover = |pair: &[&Event]| Handover {
        from: pair[0].pod_uid().to_owned(),
        to: pair[1].pod_uid().to_owned(),
        last: pair[0].stage_timestamp.0,
        first: pair[1].stage_timestamp.0,
    };
    changes.map(handover).collect()
}

/// The handovers that took longer than `limit`. Meaningful only under a continuous load, where a leader
/// always has something to write.
#[must_use]
pub fn late_handovers(handovers: &[Handover], limit: Duration) -> Vec<String> {
    let late = handovers.iter().filter(|handover| handover.gap() > limit);
    late.map(|it| {
        let Handover { from, to, .. } = it;
        format!(
            "O6 liveness: {to} wrote {:?} after {from}, later than the limit of {limit:?}",
            it.gap()
        )
    })
    .collect()
}

// === impl Handover ===

impl Handover {
    /// The time without a write; zero if the clock shows the next write before the last.
    #[must_use]
    pub fn gap(&self) -> Duration {
        self.first.duration_since(self.last).try_into().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::sample_history::SampleHistory;

    #[test]
    fn a_sync_that_is_not_ready_is_a_violation() {
        let mut sample = SampleHistory::with_copy();
        assert_eq!(violations(&sample.history()), Vec::<String>::new());
        sample.edit_sync(|sync| sync["metadata"]["generation"] = 2.into());
        assert_eq!(violations(&sample.history()).len(), 1, "its status is of another generation");
        sample.edit_sync(|sync| sync["status"]["observedGeneration"] = 2.into());
        assert_eq!(violations(&sample.history()).len(), 0);
        sample.edit_sync(|sync| sync["status"]["conditions"][0]["status"] = "False".into());
        assert_eq!(violations(&sample.history()).len(), 1);
    }

    #[test]
    fn a_deletion_that_does_not_end_is_a_violation() {
        let mut sample = SampleHistory::with_copy();
        sample.edit_sync(|sync| sync["metadata"]["deletionTimestamp"] = "now".into());
        assert_eq!(violations(&sample.history()).len(), 1);
        sample.delete_sync();
        assert_eq!(violations(&sample.history()).len(), 0);
    }

    #[test]
    fn handovers_are_measured_and_compared_with_a_limit() {
        let mut sample = SampleHistory::with_leader("a");
        for (pod, second) in [("a", 1), ("b", 4), ("b", 5), ("a", 5)] {
            sample.patch_copy(|copy| copy["data"]["a"] = format!("{pod}{second}").into());
            sample.sent_by(pod);
            sample.responded_at(second);
        }
        let handovers = handovers(&sample.events);
        let gaps: Vec<_> = handovers.iter().map(|it| it.gap().as_secs()).collect();
        assert_eq!(gaps, [3, 0]);
        assert_eq!(late_handovers(&handovers, Duration::from_secs(3)).len(), 0);
        assert_eq!(late_handovers(&handovers, Duration::from_secs(2)).len(), 1);
    }
}
