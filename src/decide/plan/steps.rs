//! The steps that a plan is made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::api::DestinationMetadata;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Content;
use crate::decide::ContentHash;
use crate::decide::Failure;
use crate::decide::Markers;
use crate::decide::observed::Version;
use crate::decide::stamp::Stamp;

/// What has to be done. It explains itself: places that are left alone are in it too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What has to be done to the finalizer of the sync.
    pub finalizer: FinalizerStep,
    /// What has to be done at each place.
    pub steps: BTreeMap<NamespacedName, Action>,
    /// A step waits for the content of the source, of which only the hash is known.
    pub needs_source_content: bool,
    /// Hash of what should be in the copies, if it is known.
    pub content_hash: Option<ContentHash>,
}

/// What has to be done to the finalizer of the sync.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FinalizerStep {
    /// Nothing.
    #[default]
    Keep,
    /// It has to be added, before the first copy is written.
    Add,
    /// It has to be removed, since nothing is left to clean up.
    Remove,
}

/// What has to be done at one place. Each name completes "the copy has to be ...d".
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing stands there: POST.
    Create(NewCopy),
    /// Its content differs: JSON patch, conditional on `seen`.
    Update {
        /// Version that this was decided on.
        seen: Version,
        /// What has to change in labels and annotations.
        stamp: Stamp,
        /// Content to write.
        content: Arc<Content>,
    },
    /// Its content is right, its markers or its metadata are not: JSON patch, conditional on `seen`.
    Restamp {
        /// Version that this was decided on.
        seen: Version,
        /// What has to change in labels and annotations.
        stamp: Stamp,
    },
    /// Its content differs and cannot be changed: DELETE, conditional on `seen`, then POST.
    Replace {
        /// Version that this was decided on.
        seen: Version,
        /// What takes its place.
        copy: NewCopy,
    },
    /// It is no longer wanted, and must not be deleted: our markers go, conditional on `seen`.
    Release {
        /// Version that this was decided on.
        seen: Version,
        /// What has to change in labels and annotations.
        stamp: Stamp,
    },
    /// It is no longer wanted, and we made it: DELETE, conditional on `seen`.
    Delete {
        /// Version that this was decided on.
        seen: Version,
    },
    /// It is as it should be.
    Keep,
    /// Something stands in the way.
    Leave(Failure),
}

/// A copy to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCopy {
    /// Markers to stamp.
    pub markers: Markers,
    /// Labels and annotations to stamp besides.
    pub metadata: Arc<DestinationMetadata>,
    /// Content to write.
    pub content: Arc<Content>,
}

// === impl Plan ===

impl Plan {
    /// Whether anything has to be written.
    #[must_use]
    pub fn has_writes(&self) -> bool {
        self.finalizer != FinalizerStep::Keep || self.write_count() > 0
    }

    /// How many copies have to be written.
    #[must_use]
    pub fn write_count(&self) -> usize {
        self.steps.values().filter(|action| action.is_write()).count()
    }
}

// === impl Action ===

impl Action {
    /// Whether this writes to the cluster.
    #[must_use]
    pub const fn is_write(&self) -> bool {
        !matches!(self, Self::Keep | Self::Leave(_))
    }

    /// The action in one word, for span, log and metric.
    #[must_use]
    pub const fn verb(&self) -> &'static str {
        match self {
            Self::Create(_) => "create",
            Self::Update { .. } => "update",
            Self::Restamp { .. } => "restamp",
            Self::Replace { .. } => "replace",
            Self::Release { .. } => "release",
            Self::Delete { .. } => "delete",
            Self::Keep => "keep",
            Self::Leave(_) => "leave",
        }
    }

    /// Every verb, for metric series that exist from the start.
    pub const WRITE_VERBS: [&'static str; 6] =
        ["create", "update", "restamp", "replace", "release", "delete"];
}
