//! Detects drift from metadata alone: who owns the content of a copy, according to its
//! `managedFields`.
//!
//! The API server records for each key the field manager that last changed it. A key that another
//! client edits or adds moves to the entry of that client, and a key that it removes disappears from
//! our entry (Kubernetes, "Server-Side Apply", field management). As long as our field manager owns
//! every key, and as many keys as it wrote, no other client has changed the content, and no read is
//! required.
//!
//! Keys of content are counted while they are decoded, and never kept: a `ConfigMap` of 720 KB can have
//! 45,000 of them, whose parsed form takes ten times that.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::Serialize;

use crate::api::metadata::Metadata;

/// Who owns the content of a `ConfigMap`, according to its metadata.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldOwnership {
    /// Only our field manager owns content fields.
    Ours {
        /// The number of keys of `data` and `binaryData` that it owns.
        keys: usize,
        /// Whether it owns `immutable`, which the operator writes only to set it to true.
        immutable: bool,
    },
    /// Another field manager owns a content field, or the owner is unknown: a read is required.
    #[default]
    Suspect,
}

/// What decisions use of the `managedFields` of a `ConfigMap`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ManagedFields {
    /// Who owns the content.
    pub content: FieldOwnership,
    /// The keys of the labels that our field manager has set.
    pub labels: BTreeSet<String>,
    /// The keys of the annotations that our field manager has set.
    pub annotations: BTreeSet<String>,
}

/// The metadata of a `ConfigMap`.
pub type ConfigMapMetadata = Metadata<ManagedFields>;
