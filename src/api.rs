//! The API `apps.nishaf.info/v1`: what users write and read.
//!
//! Knows nothing of how a sync is carried out. Descriptions here are the manual that
//! `kubectl explain` prints. Every validation rule sits on `spec` or below: a rule at the root
//! would also refuse the finalizer and status patches of objects stored before the rule existed,
//! and so wedge their deletion. For the same reason no rule may fail to evaluate: what a rule
//! finds wrong is let pass if it has not changed, but an error, such as a missing field, is not;
//! hence `has` even for fields that are required.

use std::collections::BTreeMap;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use kube::CustomResourceExt;
use kube::KubeSchema;
use kube::ResourceExt as _;
use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

pub mod leader;
pub mod namespaced_name;
mod stored;

pub use leader::ConfigMapSyncLeader;
pub use leader::ConfigMapSyncLeaderSpec;
pub use stored::StoredConfigMapSync;

/// What to copy, and where to.
#[derive(CustomResource, KubeSchema, Serialize, Deserialize, Clone, Debug, Default, PartialEq)]
#[kube(
    group = "apps.nishaf.info",
    version = "v1",
    kind = "ConfigMapSync",
    plural = "configmapsyncs",
    shortname = "cms",
    namespaced,
    status = "ConfigMapSyncStatus",
    doc = "Keeps a copy of a ConfigMap in another namespace equal to its source.",
    printcolumn(
        name = "Source",
        type_ = "string",
        json_path = ".spec.configMapName",
        description = "The ConfigMap that is copied."
    ),
    printcolumn(
        name = "Destination",
        type_ = "string",
        json_path = ".spec.destinationNamespace",
        description = "The namespace that gets the copy."
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        description = "Whether every copy equals its source."
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason",
        description = "Why it is ready, or not."
    ),
    printcolumn(
        name = "Copies",
        type_ = "integer",
        json_path = ".status.copies.ready",
        description = "How many copies equal their source."
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
        .message("source and destination are the same ConfigMap: choose another destinationNamespace or destinationName"),
    validation = Rule::new("!has(self.configMapName) || (has(self.destinationName) ? self.destinationName : self.configMapName) != 'kube-root-ca.crt'")
        .message("kube-root-ca.crt is published by Kubernetes in every namespace: set destinationName to another name")
)]
pub struct ConfigMapSyncSpec {
    /// Namespace of the source. When it changes, the copies follow the new source.
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("must be the name of a namespace: lower-case letters, digits and '-', beginning and ending with a letter or digit"))]
    pub source_namespace: String,

    /// Name of the source. When it changes, the copies follow the new source; where the copy
    /// takes its name from it, the copy of the new name is written before the old one goes.
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
        .message("must be the name of a ConfigMap: lower-case letters, digits, '-' and '.', each part beginning and ending with a letter or digit"))]
    pub config_map_name: String,

    /// The one namespace that gets a copy. Set either this or `destinationNamespaceSelector`.
    /// When it changes, the new copy is written before the old one goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')")
        .message("must be the name of a namespace: lower-case letters, digits and '-', beginning and ending with a letter or digit"))]
    pub destination_namespace: Option<String>,

    /// Every namespace whose labels match gets a copy; `{}` selects all. The source itself is
    /// never a destination; terminating and protected namespaces are skipped. Set either this or
    /// `destinationNamespace`. When it changes, or the labels of a namespace do, namespaces that
    /// are selected now get a copy, and copies in those that are no longer selected are treated
    /// as `deletionPolicy` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "described_label_selector")]
    pub destination_namespace_selector: Option<LabelSelector>,

    /// Name of the copy. Default: `configMapName`. When it changes, the copy of the new name is
    /// written before the old one goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new("self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')")
        .message("must be the name of a ConfigMap: lower-case letters, digits, '-' and '.', each part beginning and ending with a letter or digit"))]
    pub destination_name: Option<String>,

    /// Copy only these keys. Default: all. A listed key that the source lacks is reported as
    /// `KeyNotFound`; the others are copied. When it changes, keys are added to and removed from
    /// the copies accordingly.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "key_set")]
    pub keys: Option<Vec<String>>,

    /// Labels and annotations stamped on each copy. Nothing of the source's metadata is copied.
    /// When it changes, the copies are stamped anew; what was stamped and is no longer listed is
    /// removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub destination_metadata: Option<DestinationMetadata>,

    /// What happens to a copy when this object is deleted, its namespace is no longer a
    /// destination, or it is renamed: `Delete` removes it, `Retain` removes our markers and leaves
    /// the rest. Only what we created is ever deleted. When it changes, it holds from then on,
    /// for the copies that there are too.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,

    /// What happens to the copies when the source is gone, or its owner forbids copying it:
    /// `Retain` keeps them as they are, `Delete` removes those that we created and releases the
    /// others. When it changes to `Delete` while the source is gone, the copies go.
    #[serde(default)]
    pub source_deletion_policy: SourceDeletionPolicy,

    /// What happens when a ConfigMap that is not ours stands at the destination: `Refuse` leaves
    /// it alone and reports `Conflict`; `Adopt` takes it over, unless it has owner references, is
    /// immutable, or is managed by another tool. What was adopted is never deleted, but released.
    /// When it changes, what was adopted before stays adopted.
    #[serde(default)]
    pub conflict_policy: ConflictPolicy,

    /// Stop writing and keep everything as it is. Deletion still cleans up. When it changes back,
    /// everything that has happened meanwhile is followed.
    #[serde(default)]
    pub suspend: bool,
}

/// What happens to a copy that is no longer wanted.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionPolicy {
    /// The copy is deleted.
    #[default]
    Delete,
    /// Our markers are removed; everything else is left.
    Retain,
}

/// What happens to the copies of a source that is gone.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SourceDeletionPolicy {
    /// The copies are kept as they are.
    #[default]
    Retain,
    /// The copies are deleted.
    Delete,
}

/// What happens when something that is not ours stands at the destination.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConflictPolicy {
    /// It is left alone.
    #[default]
    Refuse,
    /// It is taken over.
    Adopt,
}

/// Labels and annotations stamped on each copy.
#[derive(Serialize, Deserialize, KubeSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DestinationMetadata {
    /// Labels stamped on each copy. Keys of `apps.nishaf.info/` and
    /// `app.kubernetes.io/managed-by` are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('apps.nishaf.info/') && key != 'app.kubernetes.io/managed-by')")
        .message("labels of apps.nishaf.info/ and app.kubernetes.io/managed-by are set by the operator alone: remove them"))]
    pub labels: BTreeMap<String, String>,

    /// Annotations stamped on each copy. Keys of `apps.nishaf.info/` and
    /// `app.kubernetes.io/managed-by` are refused.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('apps.nishaf.info/') && key != 'app.kubernetes.io/managed-by')")
        .message("annotations of apps.nishaf.info/ and app.kubernetes.io/managed-by are set by the operator alone: remove them"))]
    pub annotations: BTreeMap<String, String>,
}

/// What was last seen and done. Written by the operator alone; it may be lost without harm.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub struct ConfigMapSyncStatus {
    /// The `metadata.generation` that this status speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// `Ready`: every copy equals its source. `Stalled`: only a person can help.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "condition_list")]
    pub conditions: Vec<Condition>,

    /// The source as it was last copied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceVersion>,

    /// What the content-hash annotation of each copy must equal: `v1:` and a SHA-256. It tells
    /// equality, not content.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,

    /// How many keys each copy has.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub keys: Option<i64>,

    /// How many copies there are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copies: Option<CopyCount>,

    /// The first ten destinations that failed, sorted by namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub failures: Vec<DestinationFailure>,

    /// When a copy was last written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_sync_time: Option<Time>,

    /// Id of the trace of the round that last wrote a copy: 32 hexadecimal digits.
    #[serde(rename = "lastTraceID", skip_serializing_if = "Option::is_none")]
    pub last_trace_id: Option<String>,
}

/// One version of a source.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq, Hash)]
#[serde(rename_all = "camelCase")]
pub struct SourceVersion {
    /// `metadata.uid` of the source.
    pub uid: String,
    /// `metadata.resourceVersion` of the source.
    pub resource_version: String,
}

/// How many copies there are.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Copy, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct CopyCount {
    /// Copies that the spec asks for.
    #[schemars(range(min = 0))]
    pub desired: i64,
    /// Copies that equal their source.
    #[schemars(range(min = 0))]
    pub ready: i64,
    /// Copies that could not be brought in order.
    #[schemars(range(min = 0))]
    pub failed: i64,
}

/// Why a destination failed.
#[derive(Serialize, Deserialize, JsonSchema, Clone, Debug, Default, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct DestinationFailure {
    /// Namespace of the copy.
    pub namespace: String,
    /// Why, in one word: the same vocabulary as the reason of the condition `Ready`.
    pub reason: String,
    /// Why, in a sentence that says what to do.
    pub message: String,
}

/// The definition of the kind `ConfigMapSync`, as it is installed.
#[must_use]
pub fn custom_resource_definition() -> CustomResourceDefinition {
    as_installed(ConfigMapSync::crd())
}

/// No field is nullable: the API server then prunes a `null`, instead of storing one. Helm keeps
/// the definition when the release goes: with it would go every object of the kind.
fn as_installed(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    definition.annotations_mut().insert("helm.sh/resource-policy".to_owned(), "keep".to_owned());
    for version in &mut definition.spec.versions {
        let schema = version.schema.as_mut().and_then(|schema| schema.open_api_v3_schema.as_mut());
        schema.map(without_nulls);
    }
    definition
}

fn without_nulls(schema: &mut JSONSchemaProps) {
    schema.nullable = None;
    schema.properties.iter_mut().flatten().for_each(|(_, property)| without_nulls(property));
}

fn described_label_selector(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
    generator.subschema_for::<LabelSelector>()
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
    fn every_field_of_the_spec_says_what_happens_when_it_changes() {
        let definition = custom_resource_definition();
        let schema = definition.spec.versions[0].schema.clone().unwrap();
        let root = schema.open_api_v3_schema.unwrap();
        let fields = root.properties.unwrap()["spec"].properties.clone().unwrap();
        assert_eq!(fields.len(), 11);
        for (name, field) in fields {
            let description = field.description.unwrap_or_default();
            assert!(description.contains("When it changes"), "{name}: {description}");
        }
    }
}
