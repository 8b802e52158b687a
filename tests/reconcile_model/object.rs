//! One stored `ConfigMap`: what the API server shows, who owns its fields, and where it came from.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use configmapsync::api::namespaced_name::NamespacedName;
use configmapsync::decide::Content;
use configmapsync::decide::drift::ConfigMapMetadata;
use configmapsync::names as keys;
use json_patch::Patch;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::FieldsV1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::Value;
use serde_json::json;

use crate::names::Life;
use crate::names::Place;
use crate::names::Sync;
use crate::names::at;
use crate::names::sync_name;

/// Labels, annotations or data.
pub type Map = BTreeMap<String, String>;

/// A `ConfigMap`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Object {
    /// `metadata.labels`
    pub labels: Map,
    /// `metadata.annotations`
    pub annotations: Map,
    /// `data`
    pub data: Map,
    /// `immutable`
    pub is_immutable: bool,
    /// Whether it has an owner reference.
    pub has_owner: bool,
    /// The fields that the operator's field manager owns. Others own all other fields.
    pub ours: BTreeSet<(Field, String)>,
    /// Where it came from. The operator cannot read this.
    pub origin: Origin,
    /// When a user restored it. The operator cannot read this.
    pub restored: Restored,
}

/// A field of a `ConfigMap` with keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Field {
    /// `metadata.labels`
    Labels,
    /// `metadata.annotations`
    Annotations,
    /// `data`
    Data,
}

/// Where a `ConfigMap` came from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A user created it, or the operator has released it.
    #[default]
    User,
    /// The operator created it, or a user restored a copy that the operator had created.
    Operator,
    /// The operator adopted it.
    Adopted,
    /// A user added the marker `created` to it.
    Claimed,
}

/// When a user restored a `ConfigMap` whose markers name a sync that no longer existed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Restored {
    /// Never, or while a late write could still appear.
    #[default]
    No,
    /// Later, less than the grace period ago.
    Recently,
    /// Later, longer ago than the grace period.
    LongAgo,
}

/// The markers, each with the place where it is stored.
pub const MARKERS: [(Field, &str); 8] = [
    (Field::Labels, keys::LABEL_SYNC_UID),
    (Field::Annotations, keys::ANNOTATION_SYNC),
    (Field::Annotations, keys::ANNOTATION_COPY),
    (Field::Annotations, keys::ANNOTATION_SOURCE),
    (Field::Annotations, keys::ANNOTATION_CONTENT_HASH),
    (Field::Annotations, keys::ANNOTATION_CREATED),
    (Field::Annotations, keys::ANNOTATION_DELETION_POLICY),
    (Field::Annotations, keys::ANNOTATION_STAMPED),
];

// === impl Object ===

impl Object {
    /// A `ConfigMap` of a user.
    pub fn of_user(data: Map) -> Self {
        Self { data, ..Self::default() }
    }

    /// The `ConfigMap` that results from a POST of `posted` by the operator.
    pub fn created(posted: &ConfigMap) -> Self {
        let mut object = Self { origin: Origin::Operator, ..Self::default() };
        object.replace_by(posted);
        object
    }

    /// After a patch by the operator.
    ///
    /// # Panics
    /// The patch does not apply to this `ConfigMap`.
    pub fn patched(&self, patch: &Patch) -> Self {
        let mut value = serde_json::to_value(self.stored()).expect("a ConfigMap is JSON");
        if let Err(error) = json_patch::patch(&mut value, patch) {
            panic!("the patch does not apply to the version it was decided on: {error}: {self:?}");
        }
        let patched: ConfigMap = serde_json::from_value(value).expect("a ConfigMap");
        let mut object = self.clone();
        object.replace_by(&patched);
        object
    }

    /// Sets everything from `written`, which the operator wrote: it owns what has changed.
    fn replace_by(&mut self, written: &ConfigMap) {
        let before = self.clone();
        self.labels = written.metadata.labels.clone().unwrap_or_default();
        self.annotations = written.metadata.annotations.clone().unwrap_or_default();
        self.data = written.data.clone().unwrap_or_default();
        self.is_immutable = written.immutable.unwrap_or_default();
        let mut ours = BTreeSet::new();
        for field in Field::ALL {
            for (key, value) in self.map(field) {
                let entry = (field, key.clone());
                if before.map(field).get(key) != Some(value) || before.ours.contains(&entry) {
                    ours.insert(entry);
                }
            }
        }
        self.ours = ours;
    }

    /// A map of this `ConfigMap`.
    pub const fn map(&self, field: Field) -> &Map {
        match field {
            Field::Labels => &self.labels,
            Field::Annotations => &self.annotations,
            Field::Data => &self.data,
        }
    }

    const fn map_mut(&mut self, field: Field) -> &mut Map {
        match field {
            Field::Labels => &mut self.labels,
            Field::Annotations => &mut self.annotations,
            Field::Data => &mut self.data,
        }
    }

    /// A user sets a key. Setting the same value changes nothing, not even the owner of the field.
    pub fn set(&mut self, field: Field, key: &str, value: &str) {
        let before = self.map_mut(field).insert(key.to_owned(), value.to_owned());
        if before.as_deref() != Some(value) {
            self.ours.remove(&(field, key.to_owned()));
        }
    }

    /// A user removes a key.
    pub fn remove(&mut self, field: Field, key: &str) {
        self.map_mut(field).remove(key);
        self.ours.remove(&(field, key.to_owned()));
    }

    /// Its content.
    pub fn content(&self) -> Content {
        let immutable = self.is_immutable;
        Content { data: self.data.clone(), immutable, ..Content::default() }
    }

    /// Whose uid is in its label.
    pub fn owner(&self) -> Option<(Sync, Life)> {
        Life::parse(self.labels.get(keys::LABEL_SYNC_UID)?)
    }

    /// The sync and the uid that its markers name, if they agree with each other and with its
    /// place.
    pub fn identity(&self, place: Place) -> Option<(Sync, Life)> {
        let (sync, life) = self.owner()?;
        let names = |key, name: String| self.annotations.get(key) == Some(&name);
        let agrees = names(keys::ANNOTATION_SYNC, sync_name(sync).to_string())
            && names(keys::ANNOTATION_COPY, at(place).to_string());
        agrees.then_some((sync, life))
    }

    /// Its metadata, with this name and uid.
    pub fn metadata(&self, name: NamespacedName, uid: &str) -> ConfigMapMetadata {
        let some = |map: &Map| Some(map.clone()).filter(|map| !map.is_empty());
        let managed = json!(self.managed_fields());
        ConfigMapMetadata {
            namespace: Some(name.namespace),
            name: Some(name.name),
            uid: Some(uid.to_owned()),
            resource_version: Some("7".to_owned()),
            labels: some(&self.labels),
            annotations: some(&self.annotations),
            has_owner_references: self.has_owner,
            managed_fields: serde_json::from_value(managed).expect("managed fields"),
            ..ConfigMapMetadata::default()
        }
    }

    fn stored(&self) -> ConfigMap {
        let some = |map: &Map| Some(map.clone()).filter(|map| !map.is_empty());
        ConfigMap {
            metadata: ObjectMeta {
                resource_version: Some("7".to_owned()),
                labels: some(&self.labels),
                annotations: some(&self.annotations),
                ..ObjectMeta::default()
            },
            data: some(&self.data),
            immutable: self.is_immutable.then_some(true),
            ..ConfigMap::default()
        }
    }

    fn managed_fields(&self) -> Vec<ManagedFieldsEntry> {
        let owned = |field: Field, is_ours: bool| {
            let owned = self.map(field).keys();
            let owned = owned
                .filter(|key| self.ours.contains(&(field, (*key).clone())) == is_ours)
                .map(|key| (format!("f:{key}"), json!({})));
            owned.collect::<serde_json::Map<_, _>>()
        };
        let entry = |manager: &str, is_ours: bool| {
            let mut fields = serde_json::Map::new();
            let mut metadata = serde_json::Map::new();
            for (name, field) in
                [("f:labels", Field::Labels), ("f:annotations", Field::Annotations)]
            {
                let owned = owned(field, is_ours);
                if !owned.is_empty() {
                    metadata.insert(name.to_owned(), Value::Object(owned));
                }
            }
            let data = owned(Field::Data, is_ours);
            if !data.is_empty() {
                fields.insert("f:data".to_owned(), Value::Object(data));
            }
            if self.is_immutable && is_ours == (self.origin == Origin::Operator) {
                fields.insert("f:immutable".to_owned(), json!({}));
            }
            if !metadata.is_empty() {
                fields.insert("f:metadata".to_owned(), Value::Object(metadata));
            }
            (!fields.is_empty()).then(|| ManagedFieldsEntry {
                manager: Some(manager.to_owned()),
                operation: Some("Update".to_owned()),
                fields_type: Some("FieldsV1".to_owned()),
                fields_v1: Some(FieldsV1(Value::Object(fields))),
                ..ManagedFieldsEntry::default()
            })
        };
        let entries = [entry(keys::FIELD_MANAGER, true), entry("kubectl", false)];
        entries.into_iter().flatten().collect()
    }
}

// === impl Field ===

impl Field {
    const ALL: [Self; 3] = [Self::Labels, Self::Annotations, Self::Data];
}
