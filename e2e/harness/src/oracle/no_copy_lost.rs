//! O2: a `ConfigMapSync` that is Ready has all its copies, equal to the source; and nothing is deleted on
//! doubt: no copy is deleted while it is desired.

use configmapsync::api::namespaced_name::NamespacedName;
use serde_json::Value;

use crate::oracle::accepted_write::Write;
use crate::oracle::copy_identity::Identity;
use crate::oracle::desired_copies;
use crate::oracle::history::Change;
use crate::oracle::history::History;
use crate::oracle::history::Kind;

/// The copies that are missing or different at the end of the history, and the operator's deletions of
/// copies that were desired at that revision, or whose replacement in another namespace did not exist
/// yet. Deletions by others are allowed.
#[must_use]
pub fn violations(history: &History, writes: &[Write<'_>]) -> Vec<String> {
    unsynced(history).into_iter().chain(wrong_deletions(history, writes)).collect()
}

/// The wrong deletions alone: for a history that has not ended.
#[must_use]
pub fn wrong_deletions(history: &History, writes: &[Write<'_>]) -> Vec<String> {
    let deletes = writes.iter().filter(|it| it.kind == Kind::ConfigMap && it.is_delete());
    deletes.filter_map(|write| wrong_delete(history, write)).collect()
}

/// The copies of Ready `ConfigMapSync`s that are missing or different at the end of the history.
fn unsynced(history: &History) -> Vec<String> {
    let end = history.end();
    let mut found = Vec::new();
    for sync in history.present(Kind::Sync, end) {
        if !is_ready(&sync.object) || desired_copies::desires_nothing(history, &sync.object, end) {
            continue;
        }
        let at = desired_copies::source(&sync.object);
        let Some(source) = history.at(Kind::ConfigMap, &at, end) else {
            found.push(format!("{} is Ready, but its source {at} does not exist", sync.at));
            continue;
        };
        let content = desired_copies::content(&sync.object, source);
        for at in desired_copies::destinations(history, &sync.object, end) {
            let copy = history.at(Kind::ConfigMap, &at, end);
            let own = copy.filter(|copy| is_of(copy, &at, sync));
            match own {
                None => {
                    found.push(format!("{} is Ready, but its copy {at} does not exist", sync.at));
                }
                Some(copy) if desired_copies::contents(copy) != content => {
                    found.push(format!(
                        "{} is Ready, but its copy {at} differs from the source",
                        sync.at
                    ));
                }
                Some(_) => {}
            }
        }
    }
    found
}

/// Why a deletion is a violation, if it is.
fn wrong_delete(history: &History, write: &Write<'_>) -> Option<String> {
    let revision = write.revision?;
    let copy = history.before(Kind::ConfigMap, &write.at, revision)?;
    let identity = Identity::of(copy, &write.at)?;
    let sync = history.sync(&identity.uid, revision)?;
    if desired_copies::desires_nothing(history, &sync.object, revision) {
        return None;
    }
    let follows = sync.object["spec"]["sourceDeletionPolicy"] == "Delete";
    if follows && write.is_decided_on_absence(&desired_copies::source(&sync.object)) {
        // The source was created again after that.
        return None;
    }
    let desired = desired_copies::destinations(history, &sync.object, revision);
    if desired.contains(&write.at) {
        let replaced = copy["immutable"] == true && !is_equal(history, sync, copy, revision);
        return (!replaced).then(|| format!("{write}: {} desires this copy", sync.at));
    }
    // After a change of the destination, the new copy exists before the old one is deleted. With a
    // selector, a copy in a namespace that is no longer selected is deleted at once.
    let moved = sync.object["spec"]["destinationNamespace"].is_string();
    let exists = |at| {
        let copy = history.at(Kind::ConfigMap, at, revision);
        copy.is_some_and(|copy| is_of(copy, at, sync))
    };
    (moved && !desired.iter().any(exists)).then(|| {
        format!("{write}: the copy at the new destination of {} does not exist yet", sync.at)
    })
}

/// Whether an immutable copy equals its source, so that it need not be replaced.
fn is_equal(history: &History, sync: &Change, copy: &Value, revision: u64) -> bool {
    let source = history.at(Kind::ConfigMap, &desired_copies::source(&sync.object), revision);
    source.is_none_or(|source| {
        desired_copies::contents(copy) == desired_copies::content(&sync.object, source)
            && source["immutable"] == true
    })
}

fn is_of(copy: &Value, at: &NamespacedName, sync: &Change) -> bool {
    Identity::of(copy, at).is_some_and(|identity| identity.uid == sync.uid())
}

/// Whether it is Ready for its current generation.
fn is_ready(sync: &Value) -> bool {
    let conditions = sync["status"]["conditions"].as_array();
    let ready = conditions.into_iter().flatten().find(|it| it["type"] == "Ready");
    ready.is_some_and(|ready| ready["status"] == "True")
        && sync["status"]["observedGeneration"] == sync["metadata"]["generation"]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::sample_history::SampleHistory;

    #[test]
    fn a_ready_sync_has_an_equal_copy() {
        let mut sample = SampleHistory::with_copy();
        assert_eq!(sample.violations(violations), Vec::<String>::new());
        sample.user_edits_copy(|copy| copy["data"]["a"] = "2".into());
        assert_eq!(sample.violations(violations).len(), 1, "the copy differs");
        sample.edit_sync(|sync| sync["status"]["conditions"][0]["status"] = "False".into());
        assert_eq!(sample.violations(violations).len(), 0, "not Ready: nothing is guaranteed");
    }

    #[test]
    fn a_desired_copy_is_never_deleted() {
        let mut sample = SampleHistory::with_copy();
        sample.delete_copy();
        assert_eq!(sample.violations(violations).len(), 2, "deleted and missing");
        sample.create_copy("app");
        assert_eq!(sample.violations(violations).len(), 1, "deleted, and created again");
    }

    #[test]
    fn a_user_may_delete_a_copy() {
        let mut sample = SampleHistory::with_copy();
        sample.user_deletes_copy();
        sample.create_copy("app");
        assert_eq!(sample.violations(violations), Vec::<String>::new());
    }

    #[test]
    fn a_source_may_return_after_it_was_read_as_missing() {
        let violations_after = |code: u16, seconds: i64| {
            let mut sample = SampleHistory::with_copy();
            sample.edit_sync(|sync| sync["spec"]["sourceDeletionPolicy"] = "Delete".into());
            sample.read_source(code, seconds);
            sample.delete_copy();
            sample.create_copy("app");
            sample.violations(violations).len()
        };
        assert_eq!(violations_after(404, 1), 0);
        assert_eq!(violations_after(200, 1), 1, "it exists");
        assert_eq!(violations_after(404, 20), 1, "long ago");
    }

    #[test]
    fn a_sync_in_deletion_desires_no_copy() {
        let mut sample = SampleHistory::with_copy();
        sample.edit_sync(|sync| sync["metadata"]["deletionTimestamp"] = "now".into());
        sample.delete_copy();
        assert_eq!(sample.violations(violations), Vec::<String>::new());
    }

    #[test]
    fn an_immutable_copy_is_replaced_only_if_different() {
        let is_wrong = |source: &'static str| {
            let mut sample = SampleHistory::with_copy();
            sample.edit_source(|it| it["immutable"] = true.into());
            sample.user_edits_copy(|it| it["immutable"] = true.into());
            sample.edit_source(|it| it["data"]["a"] = source.into());
            sample.delete_copy();
            sample.create_copy("app");
            !sample.violations(violations).is_empty()
        };
        assert!(is_wrong("1"));
        assert!(!is_wrong("2"));
    }

    #[test]
    fn a_new_destination_is_written_before_the_old_is_deleted() {
        let is_wrong = |create_first: bool| {
            let mut sample = SampleHistory::with_copy();
            sample.edit_sync(|sync| sync["spec"]["destinationNamespace"] = "elsewhere".into());
            if create_first {
                sample.create_copy("elsewhere");
            }
            sample.delete_copy();
            sample.create_copy("elsewhere");
            !sample.violations(violations).is_empty()
        };
        assert!(is_wrong(false));
        assert!(!is_wrong(true));
    }
}
