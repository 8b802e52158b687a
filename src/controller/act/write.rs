//! A write of one copy, and its result.

use std::time::Instant;

use crate::api::namespaced_name::NamespacedName;
use crate::decide::Action;
use crate::decide::Failure;
use crate::decide::contention::Purpose;
use crate::decide::contention::Response;
use crate::kubernetes::error::ApiFailure;

/// A write to send.
#[derive(Clone, Debug)]
pub struct Write {
    /// `namespace/name` of the sync, for logs.
    pub sync: String,
    pub at: NamespacedName,
    pub action: Action,
    pub purpose: Purpose,
    /// 1, or more after failed attempts.
    pub attempt: u32,
    /// It is not sent later than this: its permission would be too old.
    pub latest_start: Option<Instant>,
}

/// A write that was answered.
#[derive(Clone, Debug)]
pub struct Answered {
    /// uid of the destination's namespace when the write was sent.
    pub namespace_uid: Option<String>,
    /// Length of the labels and annotations of the copy when the write was sent.
    pub metadata_bytes: u32,
    pub purpose: Purpose,
    pub at: Instant,
    pub result: WriteResult,
}

/// The result of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriteResult {
    /// It took effect.
    Written,
    /// The copy was not as observed: observe again. If a read finds it exactly as observed, the
    /// write has failed instead: trying again at once would fail again.
    Conflict {
        /// Whether the copy was changed, or created.
        response: Response,
        /// Why the copy could not be read afterwards, if it could not.
        unread: Option<ApiFailure>,
    },
    /// The API server rejected it, or did not respond.
    Failed(ApiFailure),
}

// === impl WriteResult ===

impl WriteResult {
    pub const fn is_written(&self) -> bool {
        matches!(self, Self::Written)
    }

    /// Why the API server rejected it, or that it did not respond.
    pub const fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(rejected) => Some(&rejected.failure),
            Self::Written | Self::Conflict { .. } => None,
        }
    }
}
