//! A write of one copy: what is to be done, and what came of it.

use std::time::Instant;

use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::ContentHash;
use crate::kubernetes::error::ApiFailure;

/// A write that is to be made.
#[derive(Clone, Debug)]
pub struct Write {
    /// The copy.
    pub at: NamespacedName,
    /// What is to be done to it.
    pub action: Action,
    /// Hash of the content that is wanted, if any is.
    pub content_hash: Option<ContentHash>,
    /// Whether it only restores what an earlier reconcile had written: another client has undone
    /// that.
    pub is_repair: bool,
}

/// A write that was made.
#[derive(Clone, Debug)]
pub struct Answered {
    /// uid of the destination's namespace when the write was sent.
    pub namespace_uid: Option<String>,
    /// Hash of the content that was wanted.
    pub content_hash: Option<ContentHash>,
    /// When it was answered.
    pub at: Instant,
    /// What came of it.
    pub result: WriteResult,
}

/// What came of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteResult {
    /// It took effect.
    Written {
        /// See [`Write::is_repair`].
        is_repair: bool,
    },
    /// The copy was not as observed: observe again.
    Conflict {
        /// Whether another client had changed a copy that existed.
        changed_by_others: bool,
        /// Why the copy could not be read afterwards, if it could not.
        unread: Option<ApiFailure>,
    },
    /// The API server rejected it, or did not respond.
    Failed(ApiFailure),
}
