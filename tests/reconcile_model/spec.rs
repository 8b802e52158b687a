//! The specs of the syncs, as far as the model varies them.

use std::collections::BTreeMap;

use configmapsync::api::ConfigMapSyncSpec;
use serde_json::json;

use crate::names::CENTRAL;
use crate::names::NAMESPACES;
use crate::names::Namespace;
use crate::names::OTHER_NAME;
use crate::names::SOURCE_NAME;
use crate::names::namespace_name;

/// The label by which the selector selects namespaces.
pub const SELECTED_LABEL: (&str, &str) = ("copies", "yes");
/// The label in `destinationMetadata`.
pub const STAMPED_LABEL: (&str, &str) = ("team", "x");

/// A spec.
#[expect(clippy::struct_excessive_bools, reason = "each is one field of the spec")]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Spec {
    /// `destinationNamespace`; `None`: `destinationNamespaceSelector`.
    pub destination: Option<Namespace>,
    /// Whether `destinationName` is set.
    pub has_other_name: bool,
    /// Whether `keys` lists the first key only.
    pub lists_keys: bool,
    /// Whether `destinationMetadata` has a label.
    pub has_label: bool,
    /// Whether `deletionPolicy` is `Retain`.
    pub retains: bool,
    /// Whether `sourceDeletionPolicy` is `Delete`.
    pub follows_source: bool,
    /// Whether `conflictPolicy` is `Adopt`.
    pub adopts: bool,
    /// `suspend`.
    pub is_suspended: bool,
}

/// A change of one field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Edit {
    /// `destinationNamespace`, or the selector.
    Destination(Option<Namespace>),
    /// `destinationName`.
    Name,
    /// `keys`.
    Keys,
    /// `destinationMetadata`.
    Label,
    /// `deletionPolicy`.
    DeletionPolicy,
    /// `sourceDeletionPolicy`.
    SourceDeletionPolicy,
    /// `conflictPolicy`.
    ConflictPolicy,
    /// `suspend`.
    Suspend,
}

// === impl Spec ===

impl Spec {
    /// One copy in the first namespace, and the default of every optional field.
    pub const SINGLE: Self = Self {
        destination: Some(0),
        has_other_name: false,
        lists_keys: false,
        has_label: false,
        retains: false,
        follows_source: false,
        adopts: false,
        is_suspended: false,
    };
    /// A copy in every selected namespace.
    pub const SELECTING: Self = Self { destination: None, ..Self::SINGLE };

    /// With this field changed.
    pub fn edited(mut self, edit: Edit) -> Self {
        match edit {
            Edit::Destination(destination) => self.destination = destination,
            Edit::Name => self.has_other_name ^= true,
            Edit::Keys => self.lists_keys ^= true,
            Edit::Label => self.has_label ^= true,
            Edit::DeletionPolicy => self.retains ^= true,
            Edit::SourceDeletionPolicy => self.follows_source ^= true,
            Edit::ConflictPolicy => self.adopts ^= true,
            Edit::Suspend => self.is_suspended ^= true,
        }
        self
    }

    /// The spec as the operator reads it.
    pub fn stored(self) -> ConfigMapSyncSpec {
        let map = |(key, value): (&str, &str)| BTreeMap::from([(key.to_owned(), value.to_owned())]);
        let selector = json!({"matchLabels": map(SELECTED_LABEL)});
        let spec = json!({
            "sourceNamespace": CENTRAL,
            "configMapName": SOURCE_NAME,
            "destinationNamespace": self.destination.map(namespace_name),
            "destinationNamespaceSelector": self.destination.is_none().then_some(selector),
            "destinationName": self.has_other_name.then_some(OTHER_NAME),
            "keys": self.lists_keys.then_some(["a"]),
            "destinationMetadata": self.has_label.then(|| json!({"labels": map(STAMPED_LABEL)})),
            "deletionPolicy": if self.retains { "Retain" } else { "Delete" },
            "sourceDeletionPolicy": if self.follows_source { "Delete" } else { "Retain" },
            "conflictPolicy": if self.adopts { "Adopt" } else { "Refuse" },
            "suspend": self.is_suspended,
        });
        serde_json::from_value(spec).expect("a spec")
    }
}

// === impl Edit ===

impl Edit {
    /// Every change of a field.
    pub fn all() -> impl Iterator<Item = Self> {
        let destinations = (0..NAMESPACES).map(Some).chain([None]).map(Self::Destination);
        destinations.chain([
            Self::Name,
            Self::Keys,
            Self::Label,
            Self::DeletionPolicy,
            Self::SourceDeletionPolicy,
            Self::ConflictPolicy,
            Self::Suspend,
        ])
    }
}
