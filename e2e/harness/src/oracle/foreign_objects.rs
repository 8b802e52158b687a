//! O4: objects of others are not touched. Only `ConfigMap`s whose ownership markers match are written,
//! and only those that the operator created are deleted. Adoption needs `conflictPolicy: Adopt`.

use configmapsync::names;
use serde_json::Value;

use crate::oracle::accepted_write::Write;
use crate::oracle::copy_identity::Identity;
use crate::oracle::copy_identity::is_created;
use crate::oracle::copy_identity::label;
use crate::oracle::history::History;
use crate::oracle::history::Kind;

/// The operator's writes to `ConfigMap`s that it had to leave alone, each with the reason.
#[must_use]
pub fn violations(history: &History, writes: &[Write<'_>]) -> Vec<String> {
    let config_maps = writes.iter().filter(|write| write.kind == Kind::ConfigMap);
    config_maps
        .filter_map(|write| violation(history, write).map(|why| format!("{write}: {why}")))
        .collect()
}

/// Why a write is a violation, if it is.
fn violation(history: &History, write: &Write<'_>) -> Option<&'static str> {
    if write.event.verb == "deletecollection" {
        return Some("a deletecollection may delete objects of others");
    }
    let Some(revision) = write.revision else {
        return Some("the history contains no such revision");
    };
    let before = if write.changed_nothing(history) {
        history.at(write.kind, &write.at, revision)
    } else {
        history.before(write.kind, &write.at, revision)
    };
    let Some(before) = before else {
        let may_create = ["create", "patch", "update"].contains(&write.event.verb.as_str());
        return (!may_create).then_some("the object did not exist");
    };
    if write.event.verb == "create" {
        return Some("the object existed already");
    }
    let old = Identity::of(before, &write.at);
    if write.is_delete() {
        return match old {
            None => Some("its ownership markers did not match"),
            Some(_) if !is_created(before) => Some("the operator did not create it"),
            Some(_) => None,
        };
    }
    let after = history.at(write.kind, &write.at, revision);
    let new = after.and_then(|after| Identity::of(after, &write.at));
    match (old, new) {
        (None, Some(_)) if after.is_some_and(is_created) => {
            Some("it was adopted, but marked as created by the operator")
        }
        (None, Some(new)) => adoption(history, revision, before, &new),
        (None, None) => Some("its ownership markers did not match"),
        (Some(old), Some(new)) if old.uid != new.uid => takeover(history, revision, &old, &new),
        (Some(_), _) => None,
    }
}

/// Why an adoption of a `ConfigMap` without ownership markers is a violation, if it is: it needs
/// `conflictPolicy: Adopt`, and a mutable object without another owner.
fn adoption(
    history: &History,
    revision: u64,
    before: &Value,
    new: &Identity,
) -> Option<&'static str> {
    let sync = history.sync(&new.uid, revision);
    if sync.is_none_or(|sync| sync.object["spec"]["conflictPolicy"] != "Adopt") {
        return Some("it was adopted without conflictPolicy: Adopt");
    }
    let manager = label(before, names::LABEL_MANAGED_BY);
    let owned = before["metadata"]["ownerReferences"].as_array().is_some_and(|it| !it.is_empty());
    if owned || before["immutable"] == true || manager.is_some_and(|it| it != names::MANAGED_BY) {
        return Some("it was adopted, but has another owner or is immutable");
    }
    None
}

/// Why taking over a copy from another `ConfigMapSync` is a violation, if it is: that one must not
/// exist any more, and must have had the same name.
fn takeover(
    history: &History,
    revision: u64,
    old: &Identity,
    new: &Identity,
) -> Option<&'static str> {
    if history.sync(&old.uid, revision).is_some() {
        return Some("it was taken over from an existing ConfigMapSync");
    }
    (old.sync != new.sync).then_some("it was taken over by a ConfigMapSync with another name")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::oracle::sample_history::SampleHistory;
    use crate::oracle::sample_history::remove_markers;

    #[test]
    fn an_owned_copy_may_be_changed_and_deleted() {
        let mut sample = SampleHistory::with_copy();
        sample.patch_copy(|copy| copy["data"]["a"] = "2".into());
        sample.delete_copy();
        assert_eq!(sample.violations(violations), Vec::<String>::new());
    }

    #[test]
    fn a_released_copy_may_not_be_changed_or_deleted() {
        let mut sample = SampleHistory::with_copy();
        sample.user_edits_copy(remove_markers);
        sample.patch_copy(|copy| copy["data"]["a"] = "2".into());
        sample.delete_copy();
        assert_eq!(sample.violations(violations).len(), 2);
    }

    #[test]
    fn an_adopted_copy_may_not_be_deleted() {
        let mut sample = SampleHistory::with_copy();
        sample.user_edits_copy(|copy| {
            copy["metadata"]["annotations"][names::ANNOTATION_CREATED] = Value::Null;
        });
        sample.delete_copy();
        assert_eq!(sample.violations(violations).len(), 1);
    }

    #[test]
    fn an_existing_object_may_not_be_created() {
        let mut sample = SampleHistory::with_copy();
        sample.user_edits_copy(remove_markers);
        sample.create_copy("app");
        assert_eq!(sample.violations(violations).len(), 1);
    }

    #[test]
    fn an_adopted_copy_may_not_be_marked_as_created() {
        let mut sample = SampleHistory::with_copy();
        let original = sample.copy();
        sample.edit_sync(|sync| sync["spec"]["conflictPolicy"] = "Adopt".into());
        sample.user_edits_copy(remove_markers);
        sample.patch_copy(|copy| copy["metadata"] = original["metadata"].clone());
        assert_eq!(sample.violations(violations).len(), 1);
    }

    #[test]
    fn adoption_needs_the_policy_and_no_other_owner() {
        let is_wrong = |policy: &str, edit: fn(&mut Value)| {
            let mut sample = SampleHistory::with_copy();
            let mut original = sample.copy();
            original["metadata"]["annotations"][names::ANNOTATION_CREATED].take();
            sample.edit_sync(|sync| sync["spec"]["conflictPolicy"] = policy.into());
            sample.user_edits_copy(remove_markers);
            sample.user_edits_copy(edit);
            sample.patch_copy(|copy| copy["metadata"] = original["metadata"].clone());
            !sample.violations(violations).is_empty()
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
    fn takeover_needs_a_deleted_sync_of_the_same_name() {
        let is_wrong = |deleted: bool, name: &str| {
            let mut sample = SampleHistory::with_copy();
            if deleted {
                sample.delete_sync();
            }
            sample.create_sync("2", name);
            sample.patch_copy(|copy| {
                copy["metadata"]["labels"][names::LABEL_SYNC_UID] = "2".into();
                copy["metadata"]["annotations"][names::ANNOTATION_SYNC] =
                    format!("central/{name}").into();
            });
            !sample.violations(violations).is_empty()
        };
        assert!(!is_wrong(true, "sync"));
        assert!(is_wrong(true, "other"));
        assert!(is_wrong(false, "other"));
    }
}
