//! O5: no write changes nothing, and in a quiet time there is none.

use anyhow::Result;
use anyhow::ensure;
use serde_json::Value;
use testbed::audit::Event;
use testbed::audit::lines;

use crate::audit_queries::writes_by_operator;
use crate::oracle::accepted_write::Write;
use crate::oracle::history::History;

/// The writes that left the object as it was, but for its version and who manages its fields.
#[must_use]
pub fn violations(history: &History, writes: &[Write<'_>]) -> Vec<String> {
    let is_idle = |write: &&Write<'_>| write.changed_nothing(history) || is_same(history, write);
    writes.iter().filter(is_idle).map(|write| format!("{write} changed nothing")).collect()
}

/// Makes sure that the operator wrote no `ConfigMap` and no `ConfigMapSync`, and did not try.
pub fn ensure_quiet(events: &[Event]) -> Result<()> {
    let writes = writes_by_operator(events);
    ensure!(writes.is_empty(), "O5 stable: {} writes:\n{}", writes.len(), lines(&writes));
    Ok(())
}

fn is_same(history: &History, write: &Write<'_>) -> bool {
    let Some(revision) = write.revision else { return false };
    let Some(change) = history.change(write.kind, &write.at, revision) else { return false };
    let before = history.before(write.kind, &write.at, revision);
    !change.gone && before.is_some_and(|before| content(before) == content(&change.object))
}

fn content(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.remove("managedFields");
        metadata.remove("resourceVersion");
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oracle::sample_history::Story;

    #[test]
    fn a_patch_that_answers_the_version_it_was_sent_with_changed_nothing() {
        let mut story = Story::with_copy();
        story.patch_copy(|_| {});
        assert_eq!(story.violations(violations).len(), 0, "the copy itself");
        story.patch_without_effect();
        assert_eq!(story.violations(violations).len(), 1);
    }

    #[test]
    fn a_new_version_of_the_same_content_changed_nothing() {
        let mut story = Story::with_copy();
        story.patch_copy(|copy| copy["data"]["a"] = "2".into());
        assert_eq!(story.violations(violations).len(), 0);
        story.patch_copy_to_the_same();
        assert_eq!(story.violations(violations).len(), 1);
    }

    #[test]
    fn a_write_breaks_the_quiet_also_if_it_is_refused() {
        let mut story = Story::with_copy();
        story.forget_events();
        assert!(ensure_quiet(&story.events).is_ok());
        story.refused_patch();
        assert!(ensure_quiet(&story.events).is_err());
    }
}
