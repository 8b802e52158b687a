//! Drift read off metadata: who owns the content of a copy, by its `managedFields`.
//!
//! The API server records, per key, the field manager that last changed it. A key edited by
//! somebody moves to their entry, a key added appears in theirs, and a key removed vanishes from
//! ours (server-side apply, "field management"). So as long as our manager alone owns every key,
//! and owns as many as it wrote, nobody else has touched the content, and it need not be read.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde_json::Value;

use crate::names;

/// What metadata alone tells of the content of a `ConfigMap`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldOwnership {
    /// Our manager alone owns every content field.
    Ours {
        /// How many keys of `data` and `binaryData` it owns.
        keys: usize,
        /// Whether it owns `immutable`, which we write only to set it.
        immutable: bool,
    },
    /// Somebody else owns some of it, or nothing can be told: only a read can settle it.
    Suspect,
}

const CONTENT_FIELDS: [&str; 3] = ["f:data", "f:binaryData", "f:immutable"];

/// Tells who owns the content of a `ConfigMap` with these `managedFields`.
#[must_use]
pub fn field_ownership(managed_fields: Option<&[ManagedFieldsEntry]>) -> FieldOwnership {
    let mut keys = 0;
    let mut immutable = false;
    let mut owns_something = false;
    for entry in managed_fields.unwrap_or_default() {
        let fields = entry.fields_v1.as_ref().map_or(&Value::Null, |fields| &fields.0);
        if is_our_update(entry) {
            owns_something = true;
            keys += key_count(&fields["f:data"]) + key_count(&fields["f:binaryData"]);
            immutable |= !fields["f:immutable"].is_null();
        } else if CONTENT_FIELDS.iter().any(|field| !fields[*field].is_null()) {
            return FieldOwnership::Suspect;
        }
    }
    if owns_something { FieldOwnership::Ours { keys, immutable } } else { FieldOwnership::Suspect }
}

fn is_our_update(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(names::CONFIGMAPSYNC)
        && entry.operation.as_deref() == Some("Update")
        && entry.subresource.as_deref().unwrap_or_default().is_empty()
}

/// Fields of a map are spelled `f:<key>`; the map itself is `.`.
fn key_count(fields: &Value) -> usize {
    fields.as_object().map_or(0, |map| map.keys().filter(|key| key.starts_with("f:")).count())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;
    use serde_json::json;

    use super::*;

    fn entry(manager: &str, operation: &str, fields: Value) -> ManagedFieldsEntry {
        ManagedFieldsEntry {
            manager: Some(manager.to_owned()),
            operation: Some(operation.to_owned()),
            fields_v1: Some(FieldsV1(fields)),
            ..ManagedFieldsEntry::default()
        }
    }

    fn ours() -> ManagedFieldsEntry {
        entry(
            "configmapsync",
            "Update",
            json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}, "f:binaryData": {"f:c": {}}}),
        )
    }

    #[test]
    fn content_that_we_alone_own_is_counted_by_key() {
        assert_eq!(
            field_ownership(Some(&[ours()])),
            FieldOwnership::Ours { keys: 3, immutable: false },
        );
    }

    #[test]
    fn other_peoples_labels_are_no_drift() {
        let labels = entry("kubectl", "Update", json!({"f:metadata": {"f:labels": {"f:x": {}}}}));
        assert_eq!(
            field_ownership(Some(&[ours(), labels])),
            FieldOwnership::Ours { keys: 3, immutable: false },
        );
    }

    #[test]
    fn a_content_field_of_another_manager_is_suspect() {
        for field in CONTENT_FIELDS {
            let other = entry("kubectl-edit", "Update", json!({field: {"f:a": {}}}));
            assert_eq!(field_ownership(Some(&[ours(), other])), FieldOwnership::Suspect, "{field}");
        }
    }

    #[test]
    fn our_name_under_another_operation_is_another_manager() {
        let apply = entry("configmapsync", "Apply", json!({"f:data": {"f:a": {}}}));
        assert_eq!(field_ownership(Some(&[ours(), apply])), FieldOwnership::Suspect);
    }

    #[test]
    fn owning_nothing_and_no_managed_fields_are_suspect() {
        assert_eq!(field_ownership(None), FieldOwnership::Suspect);
        assert_eq!(field_ownership(Some(&[])), FieldOwnership::Suspect);
        let labels = entry("kubectl", "Update", json!({"f:metadata": {}}));
        assert_eq!(field_ownership(Some(&[labels])), FieldOwnership::Suspect);
    }
}
