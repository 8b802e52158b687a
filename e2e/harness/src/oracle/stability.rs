//! O5: no write leaves its object unchanged; and while nothing changes, nothing is written.

use anyhow::Result;
use anyhow::ensure;
use serde_json::Value;
use testbed::audit::Event;
use testbed::audit::lines;

use crate::audit_queries::writes_by_operator;
use crate::oracle::accepted_write::Write;
use crate::oracle::history::History;

/// The writes that left their object unchanged, apart from the resourceVersion and managed fields.
#[must_use]
pub fn violations(history: &History, writes: &[Write<'_>]) -> Vec<String> {
    let is_needless = |write: &&Write<'_>| {
        let has_no_effect = write.changed_nothing(history) || is_same(history, write);
        // An admission plugin may change what is written into what exists.
        has_no_effect && !write.was_altered(history)
    };
    writes.iter().filter(is_needless).map(|write| format!("{write} changed nothing")).collect()
}

/// Fails if `events` contain a write by the operator to a `ConfigMap` or `ConfigMapSync`, successful or
/// not.
pub fn ensure_quiet(events: &[Event]) -> Result<()> {
    let writes = writes_by_operator(events);
    ensure!(writes.is_empty(), "O5 stability: {} writes:\n{}", writes.len(), lines(&writes));
    Ok(())
}

fn is_same(history: &History, write: &Write<'_>) -> bool {
    let Some(revision) = write.revision else { return false };
    let Some(change) = history.change(write.kind, &write.at, revision) else { return false };
    let before = history.before(write.kind, &write.at, revision);
    !change.deleted && before.is_some_and(|before| content(before) == content(&change.object))
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
    use serde_json::json;

    use super::*;
    use crate::oracle::sample_history::SampleHistory;

    #[test]
    fn a_patch_without_a_new_version_is_a_violation() {
        let mut sample = SampleHistory::with_copy();
        sample.patch_copy(|_| {});
        assert_eq!(sample.violations(violations).len(), 0, "the create of the sample");
        sample.patch_without_new_version();
        assert_eq!(sample.violations(violations).len(), 1);
    }

    #[test]
    fn a_new_version_with_equal_content_is_a_violation() {
        let mut sample = SampleHistory::with_copy();
        sample.patch_copy(|copy| copy["data"]["a"] = "2".into());
        assert_eq!(sample.violations(violations).len(), 0);
        sample.patch_copy_to_equal_content();
        assert_eq!(sample.violations(violations).len(), 1);
    }

    #[test]
    fn an_admission_plugin_may_undo_a_patch() {
        let mut sample = SampleHistory::with_copy();
        sample.patch_data_without_new_version(&json!({"a": "1"}));
        assert_eq!(sample.violations(violations).len(), 1, "the data of the copy");
        let mut sample = SampleHistory::with_copy();
        sample.patch_data_without_new_version(&json!({"a": "2"}));
        assert_eq!(sample.violations(violations).len(), 0, "other data");
    }

    #[test]
    fn refused_writes_are_not_quiet() {
        let mut sample = SampleHistory::with_copy();
        sample.clear_events();
        assert!(ensure_quiet(&sample.events).is_ok());
        sample.refused_patch();
        assert!(ensure_quiet(&sample.events).is_err());
    }
}
