//! Detects drift from metadata alone: who owns the content of a copy, according to its
//! `managedFields`.
//!
//! The API server records for each key the field manager that last changed it. A key that another
//! client edits or adds moves to the entry of that client, and a key that it removes disappears from
//! our entry (Kubernetes, "Server-Side Apply", field management). As long as our field manager owns
//! every key, and as many keys as it wrote, no other client has changed the content, and no read is
//! required.

use std::collections::BTreeSet;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use serde::Deserialize;
use serde::Serialize;
use serde_json::Value;

use crate::names;

/// Who owns the content of a `ConfigMap`, according to its metadata.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldOwnership {
    /// Only our field manager owns content fields.
    Ours {
        /// The number of keys of `data` and `binaryData` that it owns.
        keys: usize,
        /// Whether it owns `immutable`, which the operator writes only to set it to true.
        immutable: bool,
    },
    /// Another field manager owns a content field, or the owner is unknown: a read is required.
    Suspect,
}

const CONTENT_FIELDS: [&str; 3] = ["f:data", "f:binaryData", "f:immutable"];

/// Determines who owns the content of a `ConfigMap` with these `managedFields`.
#[must_use]
pub fn field_ownership(managed_fields: Option<&[ManagedFieldsEntry]>) -> FieldOwnership {
    let mut count = 0;
    let mut immutable = false;
    let mut owns_something = false;
    for entry in managed_fields.unwrap_or_default() {
        let fields = entry.fields_v1.as_ref().map_or(&Value::Null, |fields| &fields.0);
        if is_our_update(entry) {
            owns_something = true;
            let content = [&fields["f:data"], &fields["f:binaryData"]];
            count += content.into_iter().map(|map| keys(map).count()).sum::<usize>();
            immutable |= !fields["f:immutable"].is_null();
        } else if CONTENT_FIELDS.iter().any(|field| !fields[*field].is_null()) {
            return FieldOwnership::Suspect;
        }
    }
    if owns_something {
        FieldOwnership::Ours { keys: count, immutable }
    } else {
        FieldOwnership::Suspect
    }
}

/// The keys of the labels and of the annotations that our field manager has set.
#[must_use]
pub fn owned_metadata(
    managed_fields: Option<&[ManagedFieldsEntry]>,
) -> (BTreeSet<&str>, BTreeSet<&str>) {
    let ours = managed_fields.unwrap_or_default().iter().filter(|entry| is_our_update(entry));
    let metadata = ours.filter_map(|entry| Some(&entry.fields_v1.as_ref()?.0["f:metadata"]));
    let (mut labels, mut annotations) = (BTreeSet::new(), BTreeSet::new());
    for fields in metadata {
        labels.extend(keys(&fields["f:labels"]));
        annotations.extend(keys(&fields["f:annotations"]));
    }
    (labels, annotations)
}

fn is_our_update(entry: &ManagedFieldsEntry) -> bool {
    entry.manager.as_deref() == Some(names::FIELD_MANAGER)
        && entry.operation.as_deref() == Some("Update")
        && entry.subresource.as_deref().unwrap_or_default().is_empty()
}

/// In `managedFields` a key of a map is written `f:<key>`, and the map itself `.`.
fn keys(fields: &Value) -> impl Iterator<Item = &str> {
    fields.as_object().into_iter().flatten().filter_map(|(key, _)| key.strip_prefix("f:"))
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
    fn content_owned_by_us_alone_is_counted_by_key() {
        assert_eq!(
            field_ownership(Some(&[ours()])),
            FieldOwnership::Ours { keys: 3, immutable: false },
        );
    }

    #[test]
    fn labels_of_other_managers_are_not_drift() {
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
    fn metadata_of_other_managers_is_not_ours() {
        let labels = |key: &str| json!({"f:metadata": {"f:labels": {".": {}, key: {}}}});
        let entries = [
            entry("configmapsync", "Update", labels("f:a/b")),
            entry("x", "Update", labels("f:c")),
        ];
        assert_eq!(owned_metadata(Some(&entries)), (BTreeSet::from(["a/b"]), BTreeSet::new()));
    }

    #[test]
    fn our_manager_name_with_apply_is_suspect() {
        let apply = entry("configmapsync", "Apply", json!({"f:data": {"f:a": {}}}));
        assert_eq!(field_ownership(Some(&[ours(), apply])), FieldOwnership::Suspect);
    }

    #[test]
    fn missing_managed_fields_are_suspect() {
        assert_eq!(field_ownership(None), FieldOwnership::Suspect);
        assert_eq!(field_ownership(Some(&[])), FieldOwnership::Suspect);
        let labels = entry("kubectl", "Update", json!({"f:metadata": {}}));
        assert_eq!(field_ownership(Some(&[labels])), FieldOwnership::Suspect);
    }
}
