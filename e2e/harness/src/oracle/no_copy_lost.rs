//! O2: the copies of a sync that is Ready equal the source, and none was absent while wanted.

use serde_json::Value;

use crate::oracle::accepted_write::Write;
use crate::oracle::copy_identity::Identity;
use crate::oracle::desired_copies;
use crate::oracle::history::Change;
use crate::oracle::history::History;
use crate::oracle::history::Kind;

/// The copies that are missing or wrong at the end of the history, and those that the operator
/// deleted although they were wanted, or before there was another.
#[must_use]
pub fn violations(history: &History, writes: &[Write<'_>]) -> Vec<String> {
    let deletes = writes.iter().filter(|it| it.kind == Kind::ConfigMap && it.is_delete());
    let early = deletes.filter_map(|write| too_early(history, write));
    unequal(history).into_iter().chain(early).collect()
}

fn unequal(history: &History) -> Vec<String> {
    let end = history.end();
    let mut found = Vec::new();
    for sync in history.present(Kind::Sync, end) {
        if !is_ready(&sync.object) || desired_copies::wants_nothing(history, &sync.object, end) {
            continue;
        }
        let at = desired_copies::source(&sync.object);
        let Some(source) = history.at(Kind::ConfigMap, &at, end) else {
            found.push(format!("{} is Ready, and its source {at} is not there", sync.at));
            continue;
        };
        let wanted = desired_copies::content(&sync.object, source);
        for at in desired_copies::destinations(history, &sync.object, end) {
            let copy = history.at(Kind::ConfigMap, &at, end);
            let ours = copy.filter(|copy| is_of(copy, &at, sync));
            match ours {
                None => found.push(format!("{} is Ready, and has no copy at {at}", sync.at)),
                Some(copy) if desired_copies::contents(copy) != wanted => {
                    found.push(format!("{} is Ready, and its copy at {at} differs", sync.at));
                }
                Some(_) => {}
            }
        }
    }
    found
}

/// Why a copy should not have been deleted when it was.
fn too_early(history: &History, write: &Write<'_>) -> Option<String> {
    let revision = write.revision?;
    let copy = history.before(Kind::ConfigMap, &write.at, revision)?;
    let identity = Identity::of(copy, &write.at)?;
    let sync = history.sync(&identity.uid, revision)?;
    if desired_copies::wants_nothing(history, &sync.object, revision) {
        return None;
    }
    let wanted = desired_copies::destinations(history, &sync.object, revision);
    if wanted.contains(&write.at) {
        let replaced = copy["immutable"] == true && !is_equal(history, sync, copy, revision);
        return (!replaced).then(|| format!("{write}: {} wants it", sync.at));
    }
    // Moved: the new one stands before the old one goes. Of a selection, one that leaves it goes.
    let moved = sync.object["spec"]["destinationNamespace"].is_string();
    let stands = |at| {
        let there = history.at(Kind::ConfigMap, at, revision);
        there.is_some_and(|there| is_of(there, at, sync))
    };
    (moved && !wanted.iter().any(stands))
        .then(|| format!("{write}: {} has no other copy yet", sync.at))
}

/// Whether an immutable copy is as it should be, so that there is no need to replace it.
fn is_equal(history: &History, sync: &Change, copy: &Value, revision: u64) -> bool {
    let source = history.at(Kind::ConfigMap, &desired_copies::source(&sync.object), revision);
    source.is_none_or(|source| {
        desired_copies::contents(copy) == desired_copies::content(&sync.object, source)
            && source["immutable"] == true
    })
}

fn is_of(
    copy: &Value,
    at: &configmapsync::api::namespaced_name::NamespacedName,
    sync: &Change,
) -> bool {
    Identity::of(copy, at).is_some_and(|identity| identity.uid == sync.uid())
}

/// Ready, and of the spec that it has now.
fn is_ready(sync: &Value) -> bool {
    let conditions = sync["status"]["conditions"].as_array();
    let ready = conditions.into_iter().flatten().find(|it| it["type"] == "Ready");
    ready.is_some_and(|ready| ready["status"] == "True")
        && sync["status"]["observedGeneration"] == sync["metadata"]["generation"]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::sample_history::Story;

    #[test]
    fn a_sync_that_is_ready_has_its_copy_and_it_is_equal() {
        let mut story = Story::with_copy();
        assert_eq!(story.violations(violations), Vec::<String>::new());
        story.somebody_edits_copy(|copy| copy["data"]["a"] = "2".into());
        assert_eq!(story.violations(violations).len(), 1, "unequal");
        story.edit_sync(|sync| sync["status"]["conditions"][0]["status"] = "False".into());
        assert_eq!(story.violations(violations).len(), 0, "and not Ready");
    }

    #[test]
    fn a_copy_that_is_wanted_is_not_deleted_not_even_for_a_moment() {
        let mut story = Story::with_copy();
        story.delete_copy();
        assert_eq!(story.violations(violations).len(), 2, "deleted, and missing");
        story.create_copy("app");
        assert_eq!(story.violations(violations).len(), 1, "deleted");
    }

    #[test]
    fn somebody_else_may_delete_it() {
        let mut story = Story::with_copy();
        story.somebody_deletes_copy();
        story.create_copy("app");
        assert_eq!(story.violations(violations), Vec::<String>::new());
    }

    #[test]
    fn a_sync_that_is_being_deleted_wants_no_copy() {
        let mut story = Story::with_copy();
        story.edit_sync(|sync| sync["metadata"]["deletionTimestamp"] = "now".into());
        story.delete_copy();
        assert_eq!(story.violations(violations), Vec::<String>::new());
    }

    #[test]
    fn an_immutable_copy_is_replaced_only_if_it_differs() {
        let is_wrong = |source: &'static str| {
            let mut story = Story::with_copy();
            story.edit_source(|it| it["immutable"] = true.into());
            story.somebody_edits_copy(|it| it["immutable"] = true.into());
            story.edit_source(|it| it["data"]["a"] = source.into());
            story.delete_copy();
            story.create_copy("app");
            !story.violations(violations).is_empty()
        };
        assert!(is_wrong("1"));
        assert!(!is_wrong("2"));
    }

    #[test]
    fn a_copy_that_moves_is_there_before_the_old_one_goes() {
        let is_wrong = |create_first: bool| {
            let mut story = Story::with_copy();
            story.edit_sync(|sync| sync["spec"]["destinationNamespace"] = "elsewhere".into());
            if create_first {
                story.create_copy("elsewhere");
            }
            story.delete_copy();
            story.create_copy("elsewhere");
            !story.violations(violations).is_empty()
        };
        assert!(is_wrong(false));
        assert!(!is_wrong(true));
    }
}
