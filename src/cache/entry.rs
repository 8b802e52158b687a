//! One `ConfigMap` in the cache.

use serde::Deserialize;
use serde::Serialize;

use crate::api::namespaced_name::NamespacedName;
use crate::decide::Markers;
use crate::decide::Ownership;
use crate::decide::content::Digest;
use crate::decide::drift::ConfigMapMetadata;
use crate::decide::drift::FieldOwnership;
use crate::decide::markers::MarkerKeys;
use crate::decide::observed::CopyContent;
use crate::decide::observed::ExistingConfigMap;
use crate::decide::observed::ManagedBy;
use crate::decide::observed::Version;
use crate::decide::opt_out::OptOut;
use crate::decide::other_metadata::OtherMetadata;
use crate::decide::ownership;
use crate::names;

/// What is known of one `ConfigMap`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its version.
    pub version: Version,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Its annotation `no-copy`.
    pub no_copy: OptOut,
    /// The tool that its label `app.kubernetes.io/managed-by` names.
    pub managed_by: ManagedBy,
    /// Whether it has owner references.
    pub has_owner_references: bool,
    /// Its labels and annotations that are not our markers. Without markers, only whether there are
    /// any.
    pub other_metadata: OtherMetadata,
    /// The length of all its labels and annotations, in bytes.
    pub metadata_bytes: u32,
    /// Its ownership markers, if it has the uid label.
    pub markers: Option<Markers>,
    /// The keys of its ownership markers, with or without the uid label.
    pub marker_keys: MarkerKeys,
    /// Which manager owns its content, by its `managedFields`.
    pub fields: FieldOwnership,
    /// The digest of its content, if that was read at this version.
    pub read: Option<Digest>,
}

// === impl Entry ===

impl Entry {
    /// The entry for an object with this metadata; `None` if it lacks uid or resourceVersion.
    #[must_use]
    pub fn of(metadata: &ConfigMapMetadata) -> Option<Self> {
        let markers = Markers::parse(metadata.labels.as_ref(), metadata.annotations.as_ref());
        Some(Self {
            version: Version {
                uid: metadata.uid.clone()?,
                resource_version: metadata.resource_version.clone()?,
            },
            deleting: metadata.deletion_timestamp.is_some(),
            no_copy: OptOut::of(metadata.annotation(names::ANNOTATION_NO_COPY)),
            managed_by: ManagedBy::of(metadata.label(names::LABEL_MANAGED_BY)),
            has_owner_references: metadata.has_owner_references,
            other_metadata: other_metadata(metadata, markers.is_some()),
            metadata_bytes: metadata_bytes(metadata),
            markers,
            marker_keys: MarkerKeys::of(metadata.labels.as_ref(), metadata.annotations.as_ref()),
            fields: metadata.managed_fields.content,
            read: None,
        })
    }

    /// The uid of the sync that the markers name.
    #[must_use]
    pub fn sync_uid(&self) -> Option<&String> {
        self.markers.as_ref().map(|markers| &markers.sync_uid)
    }

    /// Whether this is the version of `other`, or an older one of the same uid. resourceVersions of
    /// one uid grow (Kubernetes 1.35, "resource versions"); of two that cannot be compared, the
    /// one observed later counts as newer.
    #[must_use]
    pub fn is_not_newer_than(&self, other: &Self) -> bool {
        if self.version == other.version {
            return true;
        }
        let numbers = self.version.number().zip(other.version.number());
        self.version.uid == other.version.uid && numbers.is_some_and(|(this, other)| this < other)
    }

    /// Whether the object, named `at`, is a copy: the identity in its ownership markers agrees.
    /// `owner` is the existing sync with [`Entry::sync_uid`].
    #[must_use]
    pub fn is_copy(&self, at: &NamespacedName, owner: Option<&NamespacedName>) -> bool {
        let markers = self.markers.as_ref();
        let sync = markers.and_then(|markers| markers.sync.as_ref()?.parse().ok());
        sync.is_some_and(|sync| ownership(at, markers, "", &sync, owner) != Ownership::Foreign)
    }

    /// The object as decisions use it. `owner` is the existing sync with [`Entry::sync_uid`].
    #[must_use]
    pub fn into_existing(self, owner: Option<NamespacedName>) -> ExistingConfigMap {
        let content = match (self.read, self.fields) {
            (Some(digest), _) => CopyContent::Read(digest),
            (None, FieldOwnership::Ours { keys, immutable }) => {
                CopyContent::Untouched { keys, immutable }
            }
            (None, FieldOwnership::Suspect) => CopyContent::Suspect,
        };
        ExistingConfigMap {
            version: self.version,
            deleting: self.deleting,
            markers: self.markers,
            marker_keys: self.marker_keys,
            managed_by: self.managed_by,
            has_owner_references: self.has_owner_references,
            other_metadata: self.other_metadata,
            metadata_bytes: self.metadata_bytes,
            owner,
            content,
        }
    }
}

fn metadata_bytes(metadata: &ConfigMapMetadata) -> u32 {
    let maps = metadata.labels.iter().chain(&metadata.annotations);
    let bytes: usize = maps.flatten().map(|(key, value)| key.len() + value.len()).sum();
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn other_metadata(metadata: &ConfigMapMetadata, is_marked: bool) -> OtherMetadata {
    let (labels, annotations) = (metadata.labels.as_ref(), metadata.annotations.as_ref());
    if is_marked {
        let managed = &metadata.managed_fields;
        OtherMetadata::of(labels, annotations, (&managed.labels, &managed.annotations))
    } else {
        OtherMetadata::without_keys(labels, annotations)
    }
}
