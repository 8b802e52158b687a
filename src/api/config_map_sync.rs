//! The kind `ConfigMapSync`: its spec and status.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use kube::CustomResourceExt as _;
use kube::KubeSchema;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::api::installed_definition::as_installed;
use crate::api::namespace_selector::namespace_selector;

/// The desired copies: which ConfigMap to copy, and where to.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "apps.nishaf.info",
    version = "v1",
    kind = "ConfigMapSync",
    plural = "configmapsyncs",
    shortname = "cms",
    namespaced,
    status = "ConfigMapSyncStatus",
    doc = "Copies a ConfigMap into other namespaces and keeps the copies equal to their source.",
    printcolumn(
        name = "Source",
        type_ = "string",
        json_path = ".spec.configMapName",
        description = "Name of the source ConfigMap."
    ),
    printcolumn(
        name = "Destination",
        type_ = "string",
        json_path = ".spec.destinationNamespace",
        description = "Namespace of the copy; empty with a selector."
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        description = "Whether every copy equals the source."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        description = "Reason of the condition Ready."
    ),
    printcolumn(
        name = "Copies",
        type_ = "integer",
        json_path = ".status.copies.ready",
        description = "Number of copies that equal the source."
    ),
    printcolumn(
        name = "Trace",
        type_ = "string",
        priority = 1,
        json_path = ".status.lastTraceID",
        description = "Trace of the reconcile that last wrote a copy."
    ),
    printcolumn(
        name = "Failure-Trace",
        type_ = "string",
        priority = 1,
        json_path = ".status.lastFailureTraceID",
        description = "Trace of the reconcile in which the reason arose, while not Ready."
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp",
        description = "Time since creation."
    )
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("has(self.destinationNamespace) != has(self.destinationNamespaceSelector)")
        .message("set exactly one of destinationNamespace and destinationNamespaceSelector"),
    validation = Rule::new("!has(self.destinationNamespace) || !has(self.sourceNamespace) || !has(self.configMapName) || self.destinationNamespace != self.sourceNamespace || (has(self.destinationName) && self.destinationName != self.configMapName)")
        .message("source and destination are the same ConfigMap: set another destinationNamespace or destinationName"),
    validation = Rule::new("!has(self.configMapName) || (has(self.destinationName) ? self.destinationName : self.configMapName) != 'kube-root-ca.crt'")
        .message("kube-root-ca.crt is published by Kubernetes in every namespace: set destinationName to another name")
)]
pub struct ConfigMapSyncSpec {
    /// Namespace of the source ConfigMap. Required. When it changes, the copies are updated from the
    /// new source.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("must be a valid namespace name: lower-case letters, digits and '-', beginning and ending with a letter or digit"))]
    pub source_namespace: String,

    /// Name of the source ConfigMap. Required. When it changes, the copies are updated from the new
    /// source. Without `destinationName` the copies are also renamed: the new copy is written
    /// before the old one is deleted or released according to `deletionPolicy`.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
        .message("must be a valid ConfigMap name: lower-case letters, digits, '-' and '.', each part beginning and ending with a letter or digit"))]
    pub config_map_name: String,

    /// The namespace that receives the copy. Set exactly one of this field and
    /// `destinationNamespaceSelector`. The namespace is not created. When it changes, the new copy
    /// is written before the old one is deleted or released according to `deletionPolicy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("must be a valid namespace name: lower-case letters, digits and '-', beginning and ending with a letter or digit"))]
    pub destination_namespace: Option<String>,

    /// Label selector of the namespaces that receive a copy; `{}` selects all namespaces. Set
    /// exactly one of this field and `destinationNamespace`. The source itself is never a
    /// destination. Terminating and protected namespaces are skipped, and those whose annotation
    /// `apps.nishaf.info/no-copies` forbids copies. When it changes, or the labels of a namespace
    /// change, copies are created in the namespaces that now match, and copies in the others are
    /// deleted or released according to `deletionPolicy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "namespace_selector")]
    pub destination_namespace_selector: Option<LabelSelector>,

    /// Name of the copies. Defaults to `configMapName`. When it changes, each new copy is written
    /// before the old one is deleted or released according to `deletionPolicy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
        .message("must be a valid ConfigMap name: lower-case letters, digits, '-' and '.', each part beginning and ending with a letter or digit"))]
    pub destination_name: Option<String>,

    /// The keys of the source to copy. Defaults to all keys. A listed key that the source lacks is
    /// reported with the reason `KeyNotFound`, and the other keys are copied. When it changes, keys
    /// are added to and removed from the copies accordingly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "key_set")]
    pub keys: Option<Vec<String>>,

    /// Labels and annotations to set on every copy. Defaults to none. The metadata of the source is
    /// not copied. When it changes, the copies are updated, and labels and annotations that were
    /// set before and are no longer listed are removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_metadata: Option<DestinationMetadata>,

    /// Name of a ServiceAccount in the namespace of this object. Its permissions are checked before
    /// the source is read and before each copy is written, instead of those of the author when this
    /// object is written. The author needs permission to `impersonate` it. Defaults to the
    /// `--default-service-account` of the operator, or to the permissions of the author.
    /// When it changes, the permissions of the new ServiceAccount count; copies without permission are
    /// kept unchanged and reported with the reason `NotPermitted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
        .message("must be a valid ServiceAccount name: lower-case letters, digits, '-' and '.', each part beginning and ending with a letter or digit"))]
    pub service_account_name: Option<String>,

    /// What happens to a copy when this object is deleted, the namespace is no longer a
    /// destination, or the copy is renamed. Defaults to `Delete`. `Delete` deletes the copy, and
    /// `Retain` releases it: the labels and annotations of the operator are removed, and everything
    /// else is kept. A ConfigMap that the operator did not create is always released, never
    /// deleted. When it changes, the new value also applies to existing copies.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// What happens to the copies when the source is deleted, or its annotation
    /// `apps.nishaf.info/no-copy` forbids copying. Defaults to `Retain`. `Retain` keeps the copies
    /// unchanged; `Delete` deletes the copies that the operator created and releases the others.
    /// When it changes to `Delete` while the source is missing, the copies are deleted.
    #[serde(default)]
    pub source_deletion_policy: SourceDeletionPolicy,

    /// What happens when a ConfigMap that is not a copy already exists at the destination. Defaults
    /// to `Refuse`. `Refuse` leaves it unchanged and reports the reason `Conflict`. `Adopt`
    /// overwrites it and keeps it equal to the source, unless it has owner references, is
    /// immutable, or its label `app.kubernetes.io/managed-by` names another tool. An adopted
    /// ConfigMap is never deleted, but released in the end. When it changes, ConfigMaps that were
    /// adopted before stay adopted.
    #[serde(default)]
    pub conflict_policy: ConflictPolicy,

    /// Whether to stop writing. Defaults to false. While true, copies are neither written nor
    /// deleted, except that deleting this object still cleans up its copies. When it changes back to
    /// false, the copies are updated from the current source.
    #[serde(default)]
    pub suspend: bool,
}

/// What happens to a copy that is no longer desired.
#[derive(
    Serialize,
    Deserialize,
    JsonSchema,
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    strum::Display,
    strum::IntoStaticStr,
)]
pub enum DeletionPolicy {
    /// The copy is deleted, if the operator created it; otherwise it is released.
    #[default]
    Delete,
    /// The copy is released: the labels and annotations of the operator are removed, and everything
    /// else is kept.
    Retain,
}

/// What happens to the copies when the source is missing or must not be copied.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceDeletionPolicy {
    /// The copies are kept unchanged.
    #[default]
    Retain,
    /// The copies that the operator created are deleted; the others are released.
    Delete,
}

/// What happens when a ConfigMap that is not a copy exists at the destination.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConflictPolicy {
    /// It is left unchanged.
    #[default]
    Refuse,
    /// It is overwritten and kept equal to the source.
    Adopt,
}

/// Labels and annotations to set on every copy.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DestinationMetadata {
    /// Labels to set on every copy, at most 64, with values of at most 63 characters. Defaults to
    /// none. Keys with the prefix `apps.nishaf.info/` and the key `app.kubernetes.io/managed-by` are
    /// rejected.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = text(63)))]
    #[x_kube(validation = Rule::new("self.all(key, !key.lowerAscii().startsWith('apps.nishaf.info/') && key != 'app.kubernetes.io/managed-by')")
        .message("labels with the prefix apps.nishaf.info/ and app.kubernetes.io/managed-by are reserved for the operator: remove them"))]
    pub labels: BTreeMap<String, String>,

    /// Annotations to set on every copy, at most 64, with values of at most 4,096 characters. Labels
    /// and annotations together have at most 128 KiB of keys and values. Defaults to none. Keys with
    /// the prefix `apps.nishaf.info/` and the key `app.kubernetes.io/managed-by` are rejected.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64, "additionalProperties" = text(4_096)))]
    #[x_kube(validation = Rule::new("self.all(key, !key.lowerAscii().startsWith('apps.nishaf.info/') && key != 'app.kubernetes.io/managed-by')")
        .message("annotations with the prefix apps.nishaf.info/ and app.kubernetes.io/managed-by are reserved for the operator: remove them"))]
    pub annotations: BTreeMap<String, String>,
}

/// The observed state, written by the operator. It can be reconstructed if it is lost.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigMapSyncStatus {
    /// The `metadata.generation` that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// `Ready`: whether every copy equals the source, with a reason and a message. `Stalled`: present
    /// if user intervention is required.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition_list")]
    pub conditions: Vec<Condition>,

    /// The version of the source that was last copied. Absent while the source has not been read since
    /// the spec changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceVersion>,

    /// Hash of the desired content of the copies, `v1:` and a SHA-256. It equals the annotation
    /// `apps.nishaf.info/content-hash` of every copy that equals the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,

    /// The number of keys of each copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub keys: Option<i64>,

    /// The number of copies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copies: Option<CopyCount>,

    /// The destinations that failed, sorted by namespace. At most ten are listed;
    /// `copies.failed` counts all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub failures: Vec<DestinationFailure>,

    /// The time of the last write of a copy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sync_time: Option<Time>,

    /// Id of the trace of the reconcile that last wrote a copy: 32 hexadecimal digits. Absent if
    /// tracing is disabled.
    #[serde(rename = "lastTraceID", skip_serializing_if = "Option::is_none")]
    pub last_trace_id: Option<String>,

    /// Id of the trace of the reconcile in which the present reason and message of `Ready` arose, for
    /// this generation: 32 hexadecimal digits. Absent while `Ready` is true, and if tracing is
    /// disabled.
    #[serde(rename = "lastFailureTraceID", skip_serializing_if = "Option::is_none")]
    pub last_failure_trace_id: Option<String>,
}

/// A version of the source.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct SourceVersion {
    /// `metadata.uid` of the source.
    pub uid: String,
    /// `metadata.resourceVersion` of the source.
    pub resource_version: String,
}

/// The number of copies.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CopyCount {
    /// The number of copies that the spec requires.
    #[schemars(range(min = 0))]
    pub desired: i64,
    /// The number of copies that equal the source.
    #[schemars(range(min = 0))]
    pub ready: i64,
    /// The number of copies that could not be written, deleted or released.
    #[schemars(range(min = 0))]
    pub failed: i64,
}

/// A destination that failed.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DestinationFailure {
    /// Namespace of the copy.
    pub namespace: String,
    /// Machine-readable reason, one of the reasons of the condition `Ready`.
    pub reason: String,
    /// What is wrong, and what to do.
    pub message: String,
}

/// The `CustomResourceDefinition` of `ConfigMapSync`.
#[must_use]
pub fn custom_resource_definition() -> CustomResourceDefinition {
    as_installed(ConfigMapSync::crd())
}

fn condition_list(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    let item = generator.subschema_for::<Condition>();
    schemars::json_schema!({
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
    })
}

/// The schema of a text of at most `length` characters.
fn text(length: u32) -> serde_json::Value {
    serde_json::json!({"type": "string", "maxLength": length})
}

fn key_set(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "array",
        "items": {"type": "string", "minLength": 1, "maxLength": 253, "pattern": "^[-._a-zA-Z0-9]+$"},
        "minItems": 1,
        "maxItems": 512,
        "x-kubernetes-list-type": "set",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spec_field_describes_what_a_change_does() {
        let definition = custom_resource_definition();
        let schema = definition.spec.versions[0].schema.clone().unwrap();
        let root = schema.open_api_v3_schema.unwrap();
        let fields = root.properties.unwrap()["spec"].properties.clone().unwrap();
        assert_eq!(fields.len(), 12);
        for (name, field) in fields {
            let description = field.description.unwrap_or_default();
            assert!(description.contains("When it changes"), "{name}: {description}");
        }
    }
}
