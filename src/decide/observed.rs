//! What was seen, before anything is decided.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Deserialize;
use serde::Serialize;

use crate::api::ConfigMapSyncSpec;
use crate::api::ConfigMapSyncStatus;
use crate::api::SourceVersion;
use crate::api::StoredConfigMapSync;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Content;
use crate::decide::ContentHash;
use crate::decide::Failure;
use crate::decide::Markers;
use crate::decide::content::Digest;
use crate::decide::excerpt::Excerpt;
use crate::decide::stamp::OtherMetadata;
use crate::names;

/// Everything that one round decides from.
#[derive(Clone, Debug)]
pub struct Observed {
    /// The sync itself.
    pub sync: ObservedSync,
    /// Its source.
    pub source: ObservedSource,
    /// The namespaces that its selector selects, if it has one.
    pub selected: BTreeSet<String>,
    /// Every place that the spec asks for, and every place where a `ConfigMap` carries the uid of
    /// this sync.
    pub destinations: BTreeMap<NamespacedName, ObservedDestination>,
    /// Whether some write of this sync was sent and not answered yet: it may still take effect.
    pub writes_in_flight: bool,
}

/// The sync as it was seen.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ObservedSync {
    /// Namespace and name.
    pub name: NamespacedName,
    /// uid and resourceVersion: what a patch of the sync is conditional on.
    pub version: Version,
    /// `metadata.generation`
    pub generation: Option<i64>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Its finalizers, ours and others'.
    pub finalizers: Vec<String>,
    /// The spec, or what is wrong with it.
    pub spec: Result<ConfigMapSyncSpec, String>,
    /// The status that we, or somebody else, left on it.
    pub status: ConfigMapSyncStatus,
}

/// One version of one object: what every conditional write is conditional on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Version {
    /// `metadata.uid`
    pub uid: String,
    /// `metadata.resourceVersion`
    pub resource_version: String,
}

/// The source as it was seen.
#[derive(Clone, Debug)]
pub enum ObservedSource {
    /// It does not exist.
    Missing {
        /// A live read has said so in this very round.
        confirmed: bool,
    },
    /// It could not be read.
    Unreadable(Failure),
    /// It exists.
    Existing(ExistingSource),
}

/// A source that exists.
#[derive(Clone, Debug)]
pub struct ExistingSource {
    /// Its version.
    pub version: SourceVersion,
    /// Whether its owner forbids copying it.
    pub refused: bool,
    /// Whether it is itself a copy.
    pub is_copy: bool,
    /// How much of its content is known.
    pub content: SourceContent,
}

/// How much of a source's content is known.
#[derive(Clone, Debug)]
pub enum SourceContent {
    /// Nothing: it has to be read.
    Unread,
    /// Enough to tell that nothing has to be written.
    Known(Excerpt),
    /// All of what is copied of it.
    Read(Excerpt, Arc<Content>),
}

/// A place where a copy is, or should be.
#[derive(Clone, Debug)]
pub struct ObservedDestination {
    /// The state of its namespace.
    pub namespace: NamespaceState,
    /// What stands there.
    pub object: DestinationObject,
    /// What an earlier attempt met, while it is too early for another.
    pub pending_retry: Option<PendingRetry>,
}

/// A failure of an earlier attempt that stands for the next one, while it is too early for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRetry {
    /// What it met.
    pub failure: Failure,
    /// Hash of the content that it was to write.
    pub content_hash: Option<ContentHash>,
}

/// The state of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceState {
    /// It exists.
    Active,
    /// It exists, and is the operator's or the cluster's own.
    Protected,
    /// It is being deleted.
    Terminating,
    /// It does not exist.
    Missing,
}

/// What stands at a place.
#[derive(Clone, Debug)]
pub enum DestinationObject {
    /// Nothing, as far as is known: a create will tell.
    Missing,
    /// A `ConfigMap`.
    Existing(Box<ExistingConfigMap>),
}

/// A `ConfigMap` at a place.
#[derive(Clone, Debug)]
pub struct ExistingConfigMap {
    /// Its version.
    pub version: Version,
    /// Whether it is being deleted, and held by somebody's finalizer.
    pub deleting: bool,
    /// Our markers on it, if there are any.
    pub markers: Option<Markers>,
    /// Who its label `app.kubernetes.io/managed-by` names.
    pub managed_by: ManagedBy,
    /// Whether it has owner references: it lives and dies with another object.
    pub has_owner_references: bool,
    /// Its labels and annotations that are not our markers.
    pub other_metadata: OtherMetadata,
    /// The living sync whose uid the markers carry, if there is one.
    pub owner: Option<NamespacedName>,
    /// How much of its content is known.
    pub content: CopyContent,
}

/// Who the label `app.kubernetes.io/managed-by` names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ManagedBy {
    /// Nobody: there is no such label.
    Unset,
    /// Us.
    Us,
    /// Another tool.
    AnotherTool,
}

/// How much of a copy's content is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyContent {
    /// Metadata tells that nobody but us has touched it since we wrote it.
    Untouched {
        /// How many keys we own.
        keys: usize,
        /// Whether we made it immutable.
        immutable: bool,
    },
    /// Somebody may have touched it: it has to be read.
    Suspect,
    /// It was read at this very version.
    Read(Digest),
}

// === impl Version ===

impl Version {
    /// The resourceVersion as a number, by which versions of one kind are ordered (Kubernetes
    /// 1.35, "resource versions"); `None` for a server that counts in another way.
    #[must_use]
    pub fn number(&self) -> Option<u128> {
        self.resource_version.parse().ok()
    }
}

// === impl ObservedSync ===

impl ObservedSync {
    /// A sync as it was seen; every object in storage has what is needed.
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
            spec: stored.spec.clone(),
            status: stored.status.clone(),
        })
    }

    /// Whether it carries our finalizer.
    #[must_use]
    pub fn has_our_finalizer(&self) -> bool {
        self.finalizers.iter().any(|finalizer| finalizer == names::FINALIZER)
    }
}

// === impl ObservedSource ===

impl ObservedSource {
    /// The content, if it was read.
    #[must_use]
    pub fn into_content(self) -> Option<Arc<Content>> {
        match self {
            Self::Existing(ExistingSource { content: SourceContent::Read(_, content), .. }) => {
                Some(content)
            }
            _ => None,
        }
    }
}

// === impl ManagedBy ===

impl ManagedBy {
    /// Reads the value of the label.
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
    /// Whether the content can no longer be changed, as far as is known.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        match &self.content {
            CopyContent::Untouched { immutable, .. } => *immutable,
            CopyContent::Read(digest) => digest.immutable,
            CopyContent::Suspect => false,
        }
    }
}
