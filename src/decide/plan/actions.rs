//! A plan and its actions.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use strum::VariantNames as _;

use crate::api::DestinationMetadata;
use crate::api::namespaced_name::NamespacedName;
use crate::decide::Content;
use crate::decide::ContentHash;
use crate::decide::Failure;
use crate::decide::Markers;
use crate::decide::observed::Version;
use crate::decide::stamp::Stamp;
use crate::decide::verb::Verb;

/// The actions that make the cluster match the spec. Destinations that are left alone are listed
/// as well, with the reason.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The change of the finalizer of the `ConfigMapSync`.
    pub finalizer: FinalizerStep,
    /// The action at each destination.
    pub steps: BTreeMap<NamespacedName, Action>,
    /// Some action needs the content of the source, of which only the hash is known.
    pub needs_source_content: bool,
    /// The verbs that the ServiceAccount needs at a destination, and is not known to have.
    pub needs_consent: BTreeMap<NamespacedName, BTreeSet<Verb>>,
    /// Hash of the desired content and metadata of the copies, if known.
    pub content_hash: Option<ContentHash>,
}

/// The change of the finalizer of a `ConfigMapSync`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FinalizerStep {
    /// No change.
    #[default]
    Keep,
    /// Add it, before the first copy is written.
    Add,
    /// Remove it, because nothing is left to clean up.
    Remove,
    /// A patch is necessary, and must wait, since the previous one failed.
    Wait(Failure),
}

/// The action at one destination.
///
/// Every write of an existing object is conditional on `seen`, the version it was decided on.
#[derive(Clone, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::VariantNames)]
#[strum(serialize_all = "lowercase")]
pub enum Action {
    /// The copy does not exist: POST.
    Create(NewCopy),
    /// The content differs: JSON patch of content and metadata.
    Update {
        /// Version that this was decided on.
        seen: Version,
        /// Changes of labels and annotations.
        stamp: Stamp,
        /// Content to write.
        content: Arc<Content>,
    },
    /// The content is correct, but markers or metadata differ: JSON patch of metadata.
    Restamp {
        /// Version that this was decided on.
        seen: Version,
        /// Changes of labels and annotations.
        stamp: Stamp,
    },
    /// The content differs and is immutable: DELETE, then POST.
    Replace {
        /// Version that this was decided on.
        seen: Version,
        /// The new copy.
        copy: NewCopy,
    },
    /// The copy is no longer desired, and must not be deleted: JSON patch that removes the
    /// markers.
    Release {
        /// Version that this was decided on.
        seen: Version,
        /// Changes of labels and annotations.
        stamp: Stamp,
    },
    /// The copy is no longer desired, and the operator created it: DELETE.
    Delete {
        /// Version that this was decided on.
        seen: Version,
    },
    /// Nothing has to change.
    Keep,
    /// Something prevents a write, or requires waiting.
    Leave(Failure),
}

/// A copy to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCopy {
    /// Its ownership markers.
    pub markers: Markers,
    /// Labels and annotations from `spec.destinationMetadata`.
    pub metadata: Arc<DestinationMetadata>,
    /// Its content.
    pub content: Arc<Content>,
}

// === impl Plan ===

impl Plan {
    /// Whether the plan contains any write, including one of the finalizer.
    #[must_use]
    pub fn has_writes(&self) -> bool {
        matches!(self.finalizer, FinalizerStep::Add | FinalizerStep::Remove)
            || self.write_count() > 0
    }

    /// The number of copies to write.
    #[must_use]
    pub fn write_count(&self) -> usize {
        self.steps.values().filter(|action| action.is_write()).count()
    }
}

// === impl Action ===

impl Action {
    /// The content that it writes, if it writes any.
    #[must_use]
    pub const fn content(&self) -> Option<&Arc<Content>> {
        match self {
            Self::Create(copy) | Self::Replace { copy, .. } => Some(&copy.content),
            Self::Update { content, .. } => Some(content),
            Self::Restamp { .. }
            | Self::Release { .. }
            | Self::Delete { .. }
            | Self::Keep
            | Self::Leave(_) => None,
        }
    }

    /// Whether this writes to the cluster.
    #[must_use]
    pub const fn is_write(&self) -> bool {
        !matches!(self, Self::Keep | Self::Leave(_))
    }

    /// Whether this was decided on the `ConfigMap` that a read has `found`, or on its absence. If so,
    /// a write that the API server rejected as a conflict was no conflict: the same decision would
    /// follow, and be rejected again.
    #[must_use]
    pub fn is_decided_on(&self, found: Option<&Version>) -> bool {
        match self {
            Self::Create(_) => found.is_none(),
            Self::Update { seen, .. }
            | Self::Restamp { seen, .. }
            | Self::Replace { seen, .. }
            | Self::Release { seen, .. }
            | Self::Delete { seen } => found == Some(seen),
            Self::Keep | Self::Leave(_) => false,
        }
    }

    /// The name of the action in spans, logs and metrics.
    #[must_use]
    pub fn verb(&self) -> &'static str {
        self.into()
    }

    /// The names of the actions that write.
    #[must_use]
    pub fn write_verbs() -> Vec<&'static str> {
        let is_write = |verb: &&&str| !matches!(**verb, "keep" | "leave");
        Self::VARIANTS.iter().filter(is_write).copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(resource_version: &str) -> Version {
        Version { uid: "u".to_owned(), resource_version: resource_version.to_owned() }
    }

    #[test]
    fn a_conflict_without_a_change_is_a_rejection() {
        let (seen, newer) = (version("1"), version("2"));
        let delete = Action::Delete { seen: seen.clone() };
        let restamp = Action::Restamp { seen: seen.clone(), stamp: Stamp::default() };
        for action in [delete, restamp] {
            assert!(action.is_decided_on(Some(&seen)));
            assert!(!action.is_decided_on(Some(&newer)));
            assert!(!action.is_decided_on(None));
        }
    }
}
