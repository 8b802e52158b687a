//! The steps that a plan is made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::decide::Content;
use crate::decide::Failure;
use crate::decide::Marks;
use crate::decide::observed::Version;
use crate::names::NamespacedName;

/// What has to be done. It explains itself: places that are left alone are in it too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What has to be done to the finalizer of the sync.
    pub finalizer: FinalizerStep,
    /// What has to be done at each place.
    pub steps: BTreeMap<NamespacedName, Action>,
    /// A step waits for the content of the source, of which only the hash is known.
    pub needs_source: bool,
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
    Create {
        /// Marks to stamp.
        marks: Marks,
        /// Content to write.
        content: Arc<Content>,
    },
    /// Its content differs: JSON patch, conditional on `seen`.
    Update {
        /// Version that this was decided on.
        seen: Version,
        /// Marks that stand there.
        was: Marks,
        /// Marks to stamp.
        marks: Marks,
        /// Content to write.
        content: Arc<Content>,
    },
    /// Its content is right, its marks are not: JSON patch, conditional on `seen`.
    Restamp {
        /// Version that this was decided on.
        seen: Version,
        /// Marks that stand there.
        was: Marks,
        /// Marks to stamp.
        marks: Marks,
    },
    /// Its content differs and cannot be changed: DELETE, conditional on `seen`, then POST.
    Replace {
        /// Version that this was decided on.
        seen: Version,
        /// Marks to stamp.
        marks: Marks,
        /// Content to write.
        content: Arc<Content>,
    },
    /// It is no longer wanted, and must not be deleted: our marks go, conditional on `seen`.
    Release {
        /// Version that this was decided on.
        seen: Version,
        /// Marks that stand there.
        was: Marks,
        /// Whether the label `app.kubernetes.io/managed-by` names us, and goes too.
        managed_by_us: bool,
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

// === impl Plan ===

impl Plan {
    /// Whether anything has to be written.
    #[must_use]
    pub fn asks_for_writes(&self) -> bool {
        self.finalizer != FinalizerStep::Keep || self.steps.values().any(Action::is_write)
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
            Self::Create { .. } => "create",
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
