use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use proptest::prelude::*;
use serde_json::Value;
use serde_json::json;

use super::*;
use crate::names;

/// The same from the parsed form.
fn of_parsed(entries: &[ManagedFieldsEntry]) -> ManagedFields {
    let is_ours = |entry: &&ManagedFieldsEntry| {
        entry.manager.as_deref() == Some(names::FIELD_MANAGER)
            && entry.operation.as_deref() == Some("Update")
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
    };
    let fields =
        |entry: &ManagedFieldsEntry| entry.fields_v1.clone().map_or(Value::Null, |it| it.0);
    let is_owned = |fields: &Value, name: &str| !fields[name].is_null();
    let keys = |fields: &Value| -> Vec<String> {
        let keys = fields.as_object().into_iter().flatten();
        keys.filter_map(|(key, _)| key.strip_prefix("f:").map(str::to_owned)).collect()
    };
    let (ours, others): (Vec<_>, Vec<_>) = entries.iter().partition(is_ours);
    let content = ["f:data", "f:binaryData", "f:immutable"];
    let is_of_others =
        others.into_iter().map(fields).any(|fields| content.iter().any(|it| is_owned(&fields, it)));
    let mut managed = ManagedFields::default();
    let (mut count, mut immutable) = (0, false);
    for fields in ours.iter().map(|entry| fields(entry)) {
        count += keys(&fields["f:data"]).len() + keys(&fields["f:binaryData"]).len();
        immutable |= is_owned(&fields, "f:immutable");
        managed.labels.extend(keys(&fields["f:metadata"]["f:labels"]));
        managed.annotations.extend(keys(&fields["f:metadata"]["f:annotations"]));
    }
    if !ours.is_empty() && !is_of_others {
        managed.content = FieldOwnership::Ours { keys: count, immutable };
    }
    managed
}

fn decoded(entries: &Value) -> ManagedFields {
    let metadata = json!({"name": "a", "managedFields": entries, "uid": "u"}).to_string();
    let metadata: ConfigMapMetadata = serde_json::from_str(&metadata).unwrap();
    assert_eq!(metadata.uid.as_deref(), Some("u"), "what follows is decoded");
    metadata.managed_fields
}

fn content(entries: &[Value]) -> FieldOwnership {
    decoded(&Value::Array(entries.to_vec())).content
}

fn entry(manager: &str, operation: &str, fields: &Value) -> Value {
    json!({"manager": manager, "operation": operation, "fieldsType": "FieldsV1", "fieldsV1": fields})
}

fn ours() -> Value {
    let fields = json!({"f:data": {".": {}, "f:a": {}, "f:b": {}}, "f:binaryData": {"f:c": {}}});
    entry("configmapsync", "Update", &fields)
}

const OURS: FieldOwnership = FieldOwnership::Ours { keys: 3, immutable: false };

#[test]
fn content_owned_by_us_alone_is_counted_by_key() {
    assert_eq!(content(&[ours()]), OURS);
}

#[test]
fn labels_of_other_managers_are_not_drift() {
    let labels = json!({"f:metadata": {"f:labels": {"f:x": {}}}});
    assert_eq!(content(&[ours(), entry("kubectl", "Update", &labels)]), OURS);
}

#[test]
fn a_content_field_of_another_manager_is_suspect() {
    for field in ["f:data", "f:binaryData", "f:immutable"] {
        let other = entry("kubectl-edit", "Update", &json!({field: {"f:a": {}}}));
        assert_eq!(content(&[ours(), other]), FieldOwnership::Suspect, "{field}");
    }
}

#[test]
fn metadata_of_other_managers_is_not_ours() {
    let labels = |key: &str| json!({"f:metadata": {"f:labels": {".": {}, key: {}}}});
    let entries =
        [entry("configmapsync", "Update", &labels("f:a/b")), entry("x", "Update", &labels("f:c"))];
    let managed = decoded(&json!(entries));
    assert_eq!(managed.labels, BTreeSet::from(["a/b".to_owned()]));
    assert_eq!(managed.annotations, BTreeSet::new());
}

#[test]
fn our_manager_name_with_apply_is_suspect() {
    let apply = entry("configmapsync", "Apply", &json!({"f:data": {"f:a": {}}}));
    assert_eq!(content(&[ours(), apply]), FieldOwnership::Suspect);
}

#[test]
fn a_subresource_after_the_fields_counts() {
    let text = r#"{"managedFields":[{"manager":"configmapsync","operation":"Update",
        "fieldsV1":{"f:data":{"f:a":{}}},"subresource":"status"}]}"#;
    let metadata: ConfigMapMetadata = serde_json::from_str(text).unwrap();
    assert_eq!(metadata.managed_fields.content, FieldOwnership::Suspect);
    let empty = text.replace("status", "");
    let metadata: ConfigMapMetadata = serde_json::from_str(&empty).unwrap();
    let one = FieldOwnership::Ours { keys: 1, immutable: false };
    assert_eq!(metadata.managed_fields.content, one);
}

#[test]
fn missing_managed_fields_are_suspect() {
    assert_eq!(decoded(&Value::Null), ManagedFields::default());
    assert_eq!(content(&[]), FieldOwnership::Suspect);
    let labels = entry("kubectl", "Update", &json!({"f:metadata": {}}));
    assert_eq!(content(&[labels]), FieldOwnership::Suspect);
}

#[test]
fn very_many_keys_are_counted() {
    let keys: serde_json::Map<_, _> =
        (0..45_000).map(|key| (format!("f:{key}"), json!({}))).collect();
    let entries = [entry("configmapsync", "Update", &json!({"f:data": keys}))];
    assert_eq!(content(&entries), FieldOwnership::Ours { keys: 45_000, immutable: false });
}

#[test]
fn a_truncated_list_is_an_error() {
    let text = json!({"managedFields": [ours()]}).to_string();
    for length in 0..text.len() {
        assert!(serde_json::from_str::<ConfigMapMetadata>(&text[..length]).is_err(), "{length}");
    }
}

/// Any value that may stand in for a set of fields.
fn any_fields() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        4 => Just(json!({})),
        1 => Just(Value::Null),
        1 => Just(json!([1, {"f:data": {}}])),
        1 => Just(json!("text")),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i32>().prop_map(Value::from),
    ];
    let key = prop_oneof![
        Just("f:data".to_owned()),
        Just("f:binaryData".to_owned()),
        Just("f:immutable".to_owned()),
        Just("f:metadata".to_owned()),
        Just("f:labels".to_owned()),
        Just("f:annotations".to_owned()),
        Just(".".to_owned()),
        "(f:|k:|v:)?[a-z\"\\\\/é]{0,4}",
    ];
    leaf.prop_recursive(4, 40, 6, move |inner| {
        proptest::collection::btree_map(key.clone(), inner, 0..6)
            .prop_map(|fields| Value::Object(fields.into_iter().collect()))
    })
}

fn any_entry() -> impl Strategy<Value = Value> {
    let manager = prop_oneof![Just("configmapsync"), Just("kubectl")];
    let operation = prop_oneof![3 => Just("Update"), 1 => Just("Apply")];
    let subresource = prop_oneof![4 => Just(""), 1 => Just("status")];
    (manager, operation, subresource, any_fields()).prop_map(
        |(manager, operation, subresource, fields)| {
            json!({
                "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": fields,
                "manager": manager, "operation": operation, "subresource": subresource,
            })
        },
    )
}

proptest! {
    #[test]
    fn decoding_agrees_with_the_parsed_form(
        entries in proptest::collection::vec(any_entry(), 0..4),
    ) {
        let parsed: Vec<ManagedFieldsEntry> = serde_json::from_value(json!(entries)).unwrap();
        prop_assert_eq!(decoded(&json!(entries)), of_parsed(&parsed));
    }
}
