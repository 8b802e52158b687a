//! A write of one copy, and its result.

use std::time::Instant;

use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::ContentHash;
use crate::kubernetes::error::ApiFailure;

/// A write to send.
#[derive(Clone, Debug)]
pub struct Write {
    pub at: NamespacedName,
    pub action: Action,
    /// Hash of the desired content.
    pub content_hash: Option<ContentHash>,
    /// Whether it only restores what an earlier reconcile had written and another client undid.
    pub is_repair: bool,
}

/// A write that was answered.
#[derive(Clone, Debug)]
pub struct Answered {
    /// uid of the destination's namespace when the write was sent.
    pub namespace_uid: Option<String>,
    /// Hash of the desired content.
    pub content_hash: Option<ContentHash>,
    pub at: Instant,
    pub result: WriteResult,
}

/// The result of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteResult {
    /// It took effect.
    Written { is_repair: bool },
    /// The copy was not as observed: observe again. If a read finds it exactly as observed, the
    /// write has failed instead: trying again at once would fail again.
    Conflict {
        /// Whether another client had changed an existing copy.
        changed_by_others: bool,
        /// Why the copy could not be read afterwards, if it could not.
        unread: Option<ApiFailure>,
    },
    /// The API server rejected it, or did not respond.
    Failed(ApiFailure),
}

// === impl WriteResult ===

impl WriteResult {
    pub const fn is_written(&self) -> bool {
        matches!(self, Self::Written { .. })
    }
}
