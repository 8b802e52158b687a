//! What was observed, and decisions are made from.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

use crate::api::ConfigMapSyncSpec;
use crate::api::ConfigMapSyncStatus;
use crate::api::SourceVersion;
use crate::api::StoredConfigMapSync;
use crate::api::metadata::Metadata;
use crate::api::namespaced_name::NamespacedName;
use crate::api::uid;
use crate::decide::Content;
use crate::decide::ContentHash;
use crate::decide::Failure;
use crate::decide::Markers;
use crate::decide::content::Digest;
use crate::decide::excerpt::Excerpt;
use crate::decide::markers::MarkerKeys;
use crate::decide::opt_out::OptOut;
use crate::decide::other_metadata::OtherMetadata;
use crate::decide::text::MAX_TEXT;
use crate::decide::text::cut;
use crate::decide::trace_parent::trace_parent;
use crate::decide::verb::WriteConsent;
use crate::names;

/// The input of all decisions of one pass.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The `ConfigMapSync`.
    pub sync: ObservedSync,
    /// Its source.
    pub source: ObservedSource,
    /// The namespaces that its selector selects, none without a selector; or why they are not known.
    pub selected: Result<BTreeSet<String>, Failure>,
    /// Every destination of the spec, and every `ConfigMap` whose markers carry the uid of this
    /// `ConfigMapSync`.
    pub destinations: BTreeMap<NamespacedName, ObservedDestination>,
    /// A write for this `ConfigMapSync` was sent and has not been answered, so that it may still
    /// take effect. A crashed leader may have sent it.
    pub writes_in_flight: bool,
    /// The failure of the previous patch of the finalizer, while its backoff lasts.
    pub finalizer_failure: Option<Failure>,
}

/// An observed `ConfigMapSync`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ObservedSync {
    /// Namespace and name.
    pub name: NamespacedName,
    /// uid and resourceVersion: the preconditions of a patch.
    pub version: Version,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// Whether `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// All finalizers, including those of other controllers.
    pub finalizers: Vec<String>,
    /// The spec, or why it cannot be parsed.
    pub spec: Result<ConfigMapSyncSpec, String>,
    /// The stored status. It serves as a cache and may be missing or outdated.
    pub status: ConfigMapSyncStatus,
    /// The annotation [`names::ANNOTATION_TRACE_PARENT`], if it may be one. It is for the trace only: no
    /// decision depends on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_parent: Option<String>,
}

/// One version of one object: the precondition of every conditional write.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version {
    /// `metadata.uid`
    #[serde(with = "uid")]
    pub uid: String,
    /// `metadata.resourceVersion`
    pub resource_version: String,
}

/// An observed source.
#[derive(Clone, Debug)]
pub enum ObservedSource {
    /// Nothing is known: a read is required.
    Unknown,
    /// The source does not exist.
    Missing {
        /// Whether a live read in this pass confirmed it. Copies are deleted only then.
        confirmed: bool,
    },
    /// The read failed.
    Unreadable(Failure),
    /// The source exists.
    Existing(ExistingSource),
}

/// A source that exists.
#[derive(Clone, Debug)]
pub struct ExistingSource {
    /// Its version.
    pub version: SourceVersion,
    /// Its annotation `apps.nishaf.info/no-copy`.
    pub no_copy: OptOut,
    /// Whether the source is itself a copy.
    pub is_copy: bool,
    /// What is known of its content.
    pub content: SourceContent,
}

/// What is known of the content of a source.
#[derive(Clone, Debug)]
pub enum SourceContent {
    /// Nothing: a read is required.
    Unread,
    /// Hash and number of keys, which suffice unless a copy has to be written.
    Known(Excerpt),
    /// The content itself.
    Read(Excerpt, Arc<Content>),
}

/// An observed destination: a place where a copy exists or is desired.
#[derive(Clone, Debug)]
pub struct ObservedDestination {
    /// The state of its namespace.
    pub namespace: NamespaceState,
    /// The `ConfigMap` of that name.
    pub object: DestinationObject,
    /// The failure of the previous write, while its backoff lasts.
    pub pending_retry: Option<PendingRetry>,
    /// What is known of the permissions of the ServiceAccount to write the copy.
    pub consent: WriteConsent,
}

/// A failed write whose backoff has not elapsed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRetry {
    /// Why the write failed.
    pub failure: Failure,
    /// What was attempted.
    pub attempted: Attempted,
}

/// What determines the size of an attempted write, and whether its failure concerns the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attempted {
    /// Hash of the content that was to be written; `None` if none was, or if nothing may be written.
    pub content_hash: Option<ContentHash>,
    /// `metadata.generation` of the `ConfigMapSync`: the spec determines the markers, too.
    pub generation: Option<i64>,
    /// [`ExistingConfigMap::metadata_bytes`] of the copy that was to be changed; 0 if there was none.
    pub metadata_bytes: u32,
    /// Whether only the permission to write the copy was asked for: the failure does not concern the
    /// retirement of the copy.
    pub is_review: bool,
}

/// The state of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceState {
    /// It exists and may receive copies.
    Active,
    /// It exists and never receives copies.
    Protected,
    /// Its annotation `apps.nishaf.info/no-copies` forbids copies in it.
    Refused,
    /// Its annotation `apps.nishaf.info/no-copies` neither forbids nor allows copies in it.
    Unclear,
    /// It is being deleted.
    Terminating,
    /// It is not known: it does not exist, or a list was incomplete.
    Missing,
}

/// The `ConfigMap` at a destination.
#[derive(Clone, Debug)]
pub enum DestinationObject {
    /// No `ConfigMap` is known. One that is not in the cache makes the create fail with a conflict.
    Missing,
    /// A `ConfigMap` exists, whether or not it is a copy.
    Existing(Box<ExistingConfigMap>),
}

/// A `ConfigMap` that exists at a destination.
#[derive(Clone, Debug)]
pub struct ExistingConfigMap {
    /// Its version.
    pub version: Version,
    /// Whether it is being deleted and waits for its finalizers.
    pub deleting: bool,
    /// Its ownership markers, if it has the uid label.
    pub markers: Option<Markers>,
    /// The keys of its ownership markers, with or without the uid label.
    pub marker_keys: MarkerKeys,
    /// Its label `app.kubernetes.io/managed-by`.
    pub managed_by: ManagedBy,
    /// Whether it has owner references, so that another object controls its lifetime.
    pub has_owner_references: bool,
    /// Its labels and annotations other than the markers.
    pub other_metadata: OtherMetadata,
    /// The length of all its labels and annotations, keys and values, in bytes.
    pub metadata_bytes: u32,
    /// The existing `ConfigMapSync` whose uid the markers carry, if any.
    pub owner: Option<NamespacedName>,
    /// What is known of its content.
    pub content: CopyContent,
}

/// The value of the label `app.kubernetes.io/managed-by`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ManagedBy {
    /// The label is missing.
    Unset,
    /// This operator.
    Us,
    /// Another tool.
    AnotherTool,
}

/// What is known of the content of a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyContent {
    /// According to `managedFields`, only the operator has written the content.
    Untouched {
        /// The number of keys that the operator owns.
        keys: usize,
        /// Whether the operator made it immutable.
        immutable: bool,
    },
    /// Another client may have written the content: a read is required.
    Suspect,
    /// The content of this version was read.
    Read(Digest),
}

// === impl Version ===

impl Version {
    /// The version in `metadata`.
    #[must_use]
    pub fn of<Managed>(metadata: &Metadata<Managed>) -> Self {
        Self {
            uid: metadata.uid.clone().unwrap_or_default(),
            resource_version: metadata.resource_version.clone().unwrap_or_default(),
        }
    }

    /// As the version of a source.
    #[must_use]
    pub fn of_source(self) -> SourceVersion {
        SourceVersion { uid: self.uid, resource_version: self.resource_version }
    }

    /// The resourceVersion as a number, by which versions of one kind are ordered (Kubernetes
    /// 1.35, "resource versions"); `None` if the API server does not use numbers.
    #[must_use]
    pub fn number(&self) -> Option<u128> {
        self.resource_version.parse().ok()
    }
}

// === impl ObservedSync ===

impl ObservedSync {
    /// Extracts what is needed; `None` if namespace, name, uid or resourceVersion is missing, which
    /// every stored object has.
    #[must_use]
    pub fn of(stored: &StoredConfigMapSync) -> Option<Self> {
        let metadata = &stored.metadata;
        Some(Self {
            name: stored.namespaced_name()?,
            version: Version {
                uid: metadata.uid.clone()?,
                resource_version: metadata.resource_version.clone()?,
            },
            generation: metadata.generation,
            deleting: metadata.deletion_timestamp.is_some(),
            finalizers: metadata.finalizers.clone().unwrap_or_default(),
            spec: stored.spec.clone().map_err(|error| cut(MAX_TEXT, &error)),
            status: stored.status.clone(),
            trace_parent: trace_parent(metadata),
        })
    }

    /// Whether it has the finalizer of this operator.
    #[must_use]
    pub fn has_our_finalizer(&self) -> bool {
        self.finalizers.iter().any(|finalizer| finalizer == names::FINALIZER)
    }
}

// === impl NamespaceState ===

impl NamespaceState {
    /// Whether copies in the namespace are left alone, and hold no finalizer: those in a terminating
    /// namespace are deleted with it, those in a protected one must not be written, and whether one
    /// that is not known exists is not certain.
    #[must_use]
    pub const fn leaves_copies(self) -> bool {
        match self {
            Self::Active | Self::Refused | Self::Unclear => false,
            Self::Protected | Self::Terminating | Self::Missing => true,
        }
    }
}

// === impl ObservedDestination ===

impl ObservedDestination {
    /// Treats the content of the `ConfigMap` as unread.
    pub fn distrust(&mut self) {
        if let DestinationObject::Existing(existing) = &mut self.object {
            existing.content = CopyContent::Suspect;
        }
    }

    /// [`ExistingConfigMap::metadata_bytes`]; 0 if there is no `ConfigMap`.
    #[must_use]
    pub fn metadata_bytes(&self) -> u32 {
        match &self.object {
            DestinationObject::Existing(existing) => existing.metadata_bytes,
            DestinationObject::Missing => 0,
        }
    }
}

// === impl ObservedSource ===

impl ObservedSource {
    /// The source, of which nothing but its version is known.
    #[must_use]
    pub fn distrusted(self) -> Self {
        match self {
            Self::Existing(source) => {
                Self::Existing(ExistingSource { content: SourceContent::Unread, ..source })
            }
            _ => Self::Unknown,
        }
    }

    /// The content, if it was read and is not large.
    #[must_use]
    pub fn into_small_content(self) -> Option<Arc<Content>> {
        match self {
            Self::Existing(ExistingSource { content: SourceContent::Read(_, content), .. }) => {
                Some(content).filter(|content| !content.memory.is_reserved())
            }
            _ => None,
        }
    }

    /// Gives back the memory of a large content, for example while permissions are asked for, which can
    /// take long. What is known of it remains; to write copies, it is read again.
    pub fn drop_large_content(&mut self) {
        if let Self::Existing(ExistingSource { content, .. }) = self
            && let SourceContent::Read(excerpt, read) = &*content
            && read.memory.is_reserved()
        {
            *content = SourceContent::Known(excerpt.clone());
        }
    }
}

// === impl ManagedBy ===

impl ManagedBy {
    /// Interprets the value of the label.
    #[must_use]
    pub fn of(label: Option<&str>) -> Self {
        match label {
            None => Self::Unset,
            Some(names::MANAGED_BY) => Self::Us,
            Some(_) => Self::AnotherTool,
        }
    }
}

// === impl ExistingConfigMap ===

impl ExistingConfigMap {
    /// Whether it is immutable and its content was not read.
    #[must_use]
    pub const fn is_unread_immutable(&self) -> bool {
        matches!(self.content, CopyContent::Untouched { immutable: true, .. })
    }

    /// Whether the content is known to be immutable.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        match &self.content {
            CopyContent::Untouched { immutable, .. } => *immutable,
            CopyContent::Read(digest) => digest.immutable,
            CopyContent::Suspect => false,
        }
    }
}
