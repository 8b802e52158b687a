//! O4: only what carries our identity is changed, and only what we created is deleted.

use configmapsync::names;
use serde_json::Value;

use crate::oracle::accepted_write::Write;
use crate::oracle::copy_identity::Identity;
use crate::oracle::copy_identity::is_created;
use crate::oracle::copy_identity::label;
use crate::oracle::history::History;
use crate::oracle::history::Kind;

/// The writes that changed or deleted what was not ours to change or delete.
#[must_use]
pub fn violations(history: &History, writes: &[Write<'_>]) -> Vec<String> {
    let config_maps = writes.iter().filter(|write| write.kind == Kind::ConfigMap);
    config_maps
        .filter_map(|write| wrong(history, write).map(|why| format!("{write}: {why}")))
        .collect()
}

fn wrong(history: &History, write: &Write<'_>) -> Option<&'static str> {
    if write.event.verb == "deletecollection" {
        return Some("nobody knows what it deleted");
    }
    let Some(revision) = write.revision else { return Some("the history does not know of it") };
    let before = if write.changed_nothing(history) {
        history.at(write.kind, &write.at, revision)
    } else {
        history.before(write.kind, &write.at, revision)
    };
    let Some(before) = before else {
        let made = ["create", "patch", "update"].contains(&write.event.verb.as_str());
        return (!made).then_some("nothing was there");
    };
    if write.event.verb == "create" {
        return Some("something was there");
    }
    let was = Identity::of(before, &write.at);
    if write.is_delete() {
        return match was {
            None => Some("it did not carry our identity"),
            Some(_) if !is_created(before) => Some("we did not create it"),
            Some(_) => None,
        };
    }
    let after = history.at(write.kind, &write.at, revision);
    let is = after.and_then(|after| Identity::of(after, &write.at));
    match (was, is) {
        (None, Some(_)) if after.is_some_and(is_created) => {
            Some("it was adopted as if we had created it")
        }
        (None, Some(is)) => adoption(history, revision, before, &is),
        (None, None) => Some("it did not carry our identity"),
        (Some(was), Some(is)) if was.uid != is.uid => takeover(history, revision, &was, &is),
        (Some(_), _) => None,
    }
}

/// Taking over what nobody marked needs the consent of the sync, and an object that has no other
/// owner.
fn adoption(
    history: &History,
    revision: u64,
    before: &Value,
    is: &Identity,
) -> Option<&'static str> {
    let sync = history.sync(&is.uid, revision);
    if sync.is_none_or(|sync| sync.object["spec"]["conflictPolicy"] != "Adopt") {
        return Some("it was adopted without consent");
    }
    let manager = label(before, names::LABEL_MANAGED_BY);
    let owned = before["metadata"]["ownerReferences"].as_array().is_some_and(|it| !it.is_empty());
    if owned || before["immutable"] == true || manager.is_some_and(|it| it != names::MANAGED_BY) {
        return Some("it was adopted although somebody else's, or immutable");
    }
    None
}

/// What a sync left behind is taken over by the sync that has its name now.
fn takeover(
    history: &History,
    revision: u64,
    was: &Identity,
    is: &Identity,
) -> Option<&'static str> {
    if history.sync(&was.uid, revision).is_some() {
        return Some("it was taken from a living sync");
    }
    (was.sync != is.sync).then_some("it was taken over by a sync of another name")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::oracle::sample_history::Story;
    use crate::oracle::sample_history::strip_identity;

    #[test]
    fn ours_may_be_changed_and_deleted() {
        let mut story = Story::with_copy();
        story.patch_copy(|copy| copy["data"]["a"] = "2".into());
        story.delete_copy();
        assert_eq!(story.violations(violations), Vec::<String>::new());
    }

    #[test]
    fn what_lost_its_identity_may_be_neither_changed_nor_deleted() {
        let mut story = Story::with_copy();
        story.somebody_edits_copy(strip_identity);
        story.patch_copy(|copy| copy["data"]["a"] = "2".into());
        story.delete_copy();
        assert_eq!(story.violations(violations).len(), 2);
    }

    #[test]
    fn what_we_did_not_create_may_not_be_deleted() {
        let mut story = Story::with_copy();
        story.somebody_edits_copy(|copy| {
            copy["metadata"]["annotations"][names::ANNOTATION_CREATED] = Value::Null;
        });
        story.delete_copy();
        assert_eq!(story.violations(violations).len(), 1);
    }

    #[test]
    fn what_stands_there_may_not_be_overwritten_by_creating() {
        let mut story = Story::with_copy();
        story.somebody_edits_copy(strip_identity);
        story.create_copy("app");
        assert_eq!(story.violations(violations).len(), 1);
    }

    #[test]
    fn what_is_adopted_does_not_count_as_created_by_us() {
        let mut story = Story::with_copy();
        let marked = story.copy();
        story.edit_sync(|sync| sync["spec"]["conflictPolicy"] = "Adopt".into());
        story.somebody_edits_copy(strip_identity);
        story.patch_copy(|copy| copy["metadata"] = marked["metadata"].clone());
        assert_eq!(story.violations(violations).len(), 1);
    }

    #[test]
    fn adoption_needs_consent_and_an_object_without_another_owner() {
        let is_wrong = |policy: &str, edit: fn(&mut Value)| {
            let mut story = Story::with_copy();
            let mut marked = story.copy();
            marked["metadata"]["annotations"][names::ANNOTATION_CREATED].take();
            story.edit_sync(|sync| sync["spec"]["conflictPolicy"] = policy.into());
            story.somebody_edits_copy(strip_identity);
            story.somebody_edits_copy(edit);
            story.patch_copy(|copy| copy["metadata"] = marked["metadata"].clone());
            !story.violations(violations).is_empty()
        };
        assert!(!is_wrong("Adopt", |_| {}));
        assert!(is_wrong("Refuse", |_| {}));
        assert!(is_wrong("Adopt", |it| it["immutable"] = true.into()));
        assert!(is_wrong("Adopt", |it| it["metadata"]["ownerReferences"] = json!([{"a": "b"}])));
        assert!(is_wrong("Adopt", |it| {
            it["metadata"]["labels"] = json!({(names::LABEL_MANAGED_BY): "helm"});
        }));
    }

    #[test]
    fn a_copy_may_be_taken_over_from_a_dead_sync_of_the_same_name_only() {
        let is_wrong = |dead: bool, name: &str| {
            let mut story = Story::with_copy();
            if dead {
                story.sync_gone();
            }
            story.sync_created("2", name);
            story.patch_copy(|copy| {
                copy["metadata"]["labels"][names::LABEL_SYNC_UID] = "2".into();
                copy["metadata"]["annotations"][names::ANNOTATION_SYNC] =
                    format!("central/{name}").into();
            });
            !story.violations(violations).is_empty()
        };
        assert!(!is_wrong(true, "sync"));
        assert!(is_wrong(true, "other"));
        assert!(is_wrong(false, "other"));
    }
}
