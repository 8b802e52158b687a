//! O6: all is in order again soon after the last fault, and a leader is soon followed by another.

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

/// How long to rest between two looks at a whole history.
const PAUSE: Duration = Duration::from_millis(250);

/// That one leader was followed by another: the time between the last write of the one and the
/// first of the other, by the clock of the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handover {
    /// The uid of the pod that wrote before.
    pub from: String,
    /// The uid of the pod that wrote afterwards.
    pub to: String,
    /// When the last write was answered.
    pub last: Timestamp,
    /// When the first write was answered.
    pub first: Timestamp,
}

/// The syncs that are not in order at the end of the history: those that want no copy, or are
/// refused one, are not asked about.
#[must_use]
pub fn violations(history: &History) -> Vec<String> {
    let present = history.present(Kind::Sync, history.end());
    let late = present.iter().filter_map(|sync| {
        if sync.object["metadata"]["deletionTimestamp"].is_string() {
            return Some(format!("{} is still being deleted", sync.at));
        }
        let conditions = sync.object["status"]["conditions"].as_array();
        let ready = conditions.into_iter().flatten().find(|it| it["type"] == "Ready");
        let is_current =
            sync.object["status"]["observedGeneration"] == sync.object["metadata"]["generation"];
        let told = ready.is_some_and(|ready| ready["status"] == "True") && is_current;
        (!told).then(|| format!("{} is not Ready: {ready:?}", sync.at))
    });
    late.collect()
}

/// Waits until every sync is in order, with its copies, and nothing is left of others.
pub async fn converged(recorder: &Recorder, deadline: Duration) -> Result<()> {
    until_every(PAUSE, "O6 live: all is in order", deadline, || async {
        // While it is faulty, the API server may not answer.
        let history = match recorder.history().await {
            Ok(history) => history,
            Err(error) => return Ok(Seen::NotYet(format!("{error:#}"))),
        };
        let mut wrong = violations(&history);
        wrong.extend(no_copy_lost::violations(&history, &[]));
        wrong.extend(no_orphans::violations(&history));
        Ok(Seen::from_bool(wrong.is_empty(), || wrong.join("\n")))
    })
    .await
}

/// Each time that another pod wrote than before.
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

/// The handovers that took longer than `limit`; they tell something where there is always
/// something to write.
#[must_use]
pub fn late_handovers(handovers: &[Handover], limit: Duration) -> Vec<String> {
    let late = handovers.iter().filter(|handover| handover.gap() > limit);
    late.map(|it| {
        let Handover { from, to, .. } = it;
        format!("O6 live: {to} wrote {:?} after {from}, and not within {limit:?}", it.gap())
    })
    .collect()
}

// === impl Handover ===

impl Handover {
    /// How long nobody wrote.
    #[must_use]
    pub fn gap(&self) -> Duration {
        self.first.duration_since(self.last).try_into().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::sample_history::Story;

    #[test]
    fn a_sync_that_does_not_get_ready_is_late() {
        let mut story = Story::with_copy();
        assert_eq!(violations(&story.history()), Vec::<String>::new());
        story.edit_sync(|sync| sync["metadata"]["generation"] = 2.into());
        assert_eq!(violations(&story.history()).len(), 1, "its status is of another spec");
        story.edit_sync(|sync| sync["status"]["observedGeneration"] = 2.into());
        assert_eq!(violations(&story.history()).len(), 0);
        story.edit_sync(|sync| sync["status"]["conditions"][0]["status"] = "False".into());
        assert_eq!(violations(&story.history()).len(), 1);
    }

    #[test]
    fn a_sync_whose_deletion_does_not_end_is_late() {
        let mut story = Story::with_copy();
        story.edit_sync(|sync| sync["metadata"]["deletionTimestamp"] = "now".into());
        assert_eq!(violations(&story.history()).len(), 1);
        story.sync_gone();
        assert_eq!(violations(&story.history()).len(), 0);
    }

    #[test]
    fn the_time_between_two_leaders_is_told_and_judged() {
        let mut story = Story::led_by("a");
        for (pod, second) in [("a", 1), ("b", 4), ("b", 5), ("a", 5)] {
            story.patch_copy(|copy| copy["data"]["a"] = format!("{pod}{second}").into());
            story.by_pod(pod);
            story.answered_at(second);
        }
        let handovers = handovers(&story.events);
        let gaps: Vec<_> = handovers.iter().map(|it| it.gap().as_secs()).collect();
        assert_eq!(gaps, [3, 0]);
        assert_eq!(late_handovers(&handovers, Duration::from_secs(3)).len(), 0);
        assert_eq!(late_handovers(&handovers, Duration::from_secs(2)).len(), 1);
    }
}
