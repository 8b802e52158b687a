//! O1: at most one replica writes at a time, and it is the leader: the pod in the leader record.

use crate::oracle::accepted_write::Write;
use crate::oracle::history::History;
use crate::oracle::history::Kind;
use crate::oracle::leader_terms;

/// The writes of `ConfigMap`s by a pod that was not the leader at that revision.
///
/// An API server receives a new leader record a moment after it is stored. A write of the previous
/// leader is therefore allowed until the new leader's first write, and a violation afterwards: the
/// revisions of two leaders never interleave. Without any leader record the holder of the Lease is the
/// leader, and the previous holder may not write at all.
#[must_use]
pub fn violations(history: &History, writes: &[Write<'_>]) -> Vec<String> {
    let terms = leader_terms::terms(history);
    let has_records = history.changes(Kind::Leader).next().is_some();
    let mut writes: Vec<_> = writes
        .iter()
        .filter(|it| it.kind == Kind::ConfigMap && !it.changed_nothing(history))
        .collect();
    writes.sort_by_key(|write| write.revision);
    let mut found = Vec::new();
    // The newest term in which its leader has written.
    let mut newest = None;
    for write in writes {
        let (pod, Some(revision)) = (write.event.pod_uid(), write.revision) else {
            found.push(format!("{write}: its revision is unknown"));
            continue;
        };
        let Some(now) = leader_terms::at(&terms, revision) else {
            found.push(format!("{write} by {pod}: there is no leader yet"));
            continue;
        };
        if terms[now].pod == pod {
            newest = Some(now);
        } else if !(has_records && now > 0 && terms[now - 1].pod == pod && newest < Some(now)) {
            let leader = &terms[now].pod;
            let since = terms[now].revision;
            found.push(format!(
                "{write} by {pod}: {leader:?} has been the leader since revision {since}"
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::sample_history::SampleHistory;

    fn found(sample: &SampleHistory) -> usize {
        sample.violations(violations).len()
    }

    /// The pod edits the copy.
    fn write(sample: &mut SampleHistory, pod: &str) {
        sample.patch_copy(|copy| {
            let count = copy["data"]["count"].as_str().unwrap_or_default().len();
            copy["data"]["count"] = "x".repeat(count + 1).into();
        });
        sample.sent_by(pod);
    }

    #[test]
    fn only_the_recorded_leader_may_write() {
        let mut sample = SampleHistory::with_leader("a");
        write(&mut sample, "a");
        assert_eq!(found(&sample), 0);
        write(&mut sample, "b");
        assert_eq!(found(&sample), 1);
    }

    #[test]
    fn a_write_before_the_first_leader_is_a_violation() {
        let mut sample = SampleHistory::with_copy();
        write(&mut sample, "a");
        assert_eq!(found(&sample), 2, "the create of the sample, too");
    }

    #[test]
    fn the_previous_leader_may_write_until_the_next_has() {
        let mut sample = SampleHistory::with_leader("a");
        sample.publish_leader("b", 2);
        write(&mut sample, "a");
        assert_eq!(found(&sample), 0, "the API server may not have received the record");
        write(&mut sample, "b");
        assert_eq!(found(&sample), 0);
        write(&mut sample, "a");
        assert_eq!(found(&sample), 1, "now it has received the record");
    }

    #[test]
    fn the_leader_before_the_previous_may_not_write() {
        let mut sample = SampleHistory::with_leader("a");
        sample.publish_leader("b", 2);
        sample.publish_leader("c", 3);
        write(&mut sample, "a");
        assert_eq!(found(&sample), 1);
    }

    #[test]
    fn a_leader_that_returns_may_write() {
        let mut sample = SampleHistory::with_leader("a");
        sample.publish_leader("b", 2);
        write(&mut sample, "b");
        sample.publish_leader("a", 3);
        write(&mut sample, "a");
        assert_eq!(found(&sample), 0);
    }

    #[test]
    fn without_leader_records_only_the_lease_holder_may_write() {
        let mut sample = SampleHistory::with_copy();
        sample.clear_events();
        sample.lease("a");
        write(&mut sample, "a");
        sample.lease("a");
        write(&mut sample, "a");
        assert_eq!(found(&sample), 0, "the Lease is renewed");
        sample.lease("b");
        write(&mut sample, "a");
        assert_eq!(found(&sample), 1);
        write(&mut sample, "b");
        assert_eq!(found(&sample), 1);
    }

    #[test]
    fn late_deletes_and_creates_are_violations() {
        let mut sample = SampleHistory::with_leader("a");
        sample.publish_leader("b", 2);
        write(&mut sample, "b");
        sample.delete_copy();
        sample.sent_by("a");
        assert_eq!(found(&sample), 1);
        sample.create_copy("app");
        sample.sent_by("a");
        assert_eq!(found(&sample), 2);
    }

    #[test]
    fn a_refused_late_request_is_allowed() {
        let mut sample = SampleHistory::with_leader("a");
        sample.publish_leader("b", 2);
        write(&mut sample, "b");
        sample.refused_patch();
        sample.sent_by("a");
        assert_eq!(found(&sample), 0);
    }
}
