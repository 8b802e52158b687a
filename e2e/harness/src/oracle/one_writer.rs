//! O1: at every revision one pod writes, and it is the one that leads.

use crate::oracle::accepted_write::Write;
use crate::oracle::history::History;
use crate::oracle::history::Kind;
use crate::oracle::leader_terms;

/// The writes of `ConfigMap`s by a pod that did not lead.
///
/// The API server learns of an announcement a moment after it is stored. Until the new leader has
/// written for the first time, a write of the leader before it is therefore in order; afterwards
/// none is, so that the revisions that two leaders have written never interleave. Where nobody
/// announces anything, the Lease decides, and there is no such moment.
#[must_use]
pub fn violations(history: &History, writes: &[Write<'_>]) -> Vec<String> {
    let terms = leader_terms::terms(history);
    let lags = history.changes(Kind::Leader).next().is_some();
    let mut writes: Vec<_> = writes
        .iter()
        .filter(|it| it.kind == Kind::ConfigMap && !it.changed_nothing(history))
        .collect();
    writes.sort_by_key(|write| write.revision);
    let mut found = Vec::new();
    // The newest term in which there was a write.
    let mut newest = None;
    for write in writes {
        let (pod, Some(revision)) = (write.event.pod_uid(), write.revision) else {
            found.push(format!("{write}: at no known revision"));
            continue;
        };
        let Some(now) = leader_terms::at(&terms, revision) else {
            found.push(format!("{write} by {pod}: nobody leads yet"));
            continue;
        };
        if terms[now].pod == pod {
            newest = Some(now);
        } else if !(lags && now > 0 && terms[now - 1].pod == pod && newest < Some(now)) {
            let leader = &terms[now].pod;
            let since = terms[now].revision;
            found.push(format!("{write} by {pod}: {leader:?} leads since revision {since}"));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::sample_history::Story;

    fn found(story: &Story) -> usize {
        story.violations(violations).len()
    }

    /// The copy is edited by the pod.
    fn write(story: &mut Story, pod: &str) {
        story.patch_copy(|copy| {
            let count = copy["data"]["count"].as_str().unwrap_or_default().len();
            copy["data"]["count"] = "x".repeat(count + 1).into();
        });
        story.by_pod(pod);
    }

    #[test]
    fn only_the_pod_that_is_announced_writes() {
        let mut story = Story::led_by("a");
        write(&mut story, "a");
        assert_eq!(found(&story), 0);
        write(&mut story, "b");
        assert_eq!(found(&story), 1);
    }

    #[test]
    fn a_write_before_anybody_leads_is_wrong() {
        let mut story = Story::with_copy();
        write(&mut story, "a");
        assert_eq!(found(&story), 2, "the creation, too");
    }

    #[test]
    fn the_leader_before_may_write_until_the_next_has() {
        let mut story = Story::led_by("a");
        story.publish_leader("b", 2);
        write(&mut story, "a");
        assert_eq!(found(&story), 0, "the API server may not have heard of it");
        write(&mut story, "b");
        assert_eq!(found(&story), 0);
        write(&mut story, "a");
        assert_eq!(found(&story), 1, "and now it has");
    }

    #[test]
    fn a_leader_of_long_ago_may_not_write() {
        let mut story = Story::led_by("a");
        story.publish_leader("b", 2);
        story.publish_leader("c", 3);
        write(&mut story, "a");
        assert_eq!(found(&story), 1);
    }

    #[test]
    fn a_leader_that_leads_again_may_write() {
        let mut story = Story::led_by("a");
        story.publish_leader("b", 2);
        write(&mut story, "b");
        story.publish_leader("a", 3);
        write(&mut story, "a");
        assert_eq!(found(&story), 0);
    }

    #[test]
    fn without_announcements_the_lease_decides_and_there_is_no_delay() {
        let mut story = Story::with_copy();
        story.forget_events();
        story.lease("a");
        write(&mut story, "a");
        story.lease("a");
        write(&mut story, "a");
        assert_eq!(found(&story), 0, "the Lease is renewed");
        story.lease("b");
        write(&mut story, "a");
        assert_eq!(found(&story), 1);
        write(&mut story, "b");
        assert_eq!(found(&story), 1);
    }

    #[test]
    fn a_late_deletion_and_a_late_creation_are_writes_too() {
        let mut story = Story::led_by("a");
        story.publish_leader("b", 2);
        write(&mut story, "b");
        story.delete_copy();
        story.by_pod("a");
        assert_eq!(found(&story), 1);
        story.create_copy("app");
        story.by_pod("a");
        assert_eq!(found(&story), 2);
    }

    #[test]
    fn a_late_request_that_is_refused_is_in_order() {
        let mut story = Story::led_by("a");
        story.publish_leader("b", 2);
        write(&mut story, "b");
        story.refused_patch();
        story.by_pod("a");
        assert_eq!(found(&story), 0);
    }
}
