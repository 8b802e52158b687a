//! What became of the reads of an observation.

use std::time::Instant;

use crate::api::namespaced_name::NamespacedName;
use crate::controller::excerpts::KeptExcerpt;
use crate::kubernetes::error::ApiFailure;

/// What became of the reads of an observation.
#[derive(Debug, Default)]
pub struct Reads {
    /// The read of the source; `None` if it was not read.
    pub source: Option<Result<(), FailedRead>>,
    /// What was found in the source, if it must be kept.
    pub excerpt: Option<KeptExcerpt>,
    /// The reads of copies that failed.
    pub failed_copies: Vec<FailedCopyRead>,
}

/// A read that failed.
#[derive(Clone, Debug)]
pub struct FailedRead {
    /// Why it failed.
    pub failure: ApiFailure,
    /// When it failed.
    pub at: Instant,
}

/// A read of a copy that failed.
#[derive(Clone, Debug)]
pub struct FailedCopyRead {
    /// The copy.
    pub copy: NamespacedName,
    /// uid of its namespace.
    pub namespace_uid: Option<String>,
    /// The failure.
    pub read: FailedRead,
}

// === impl FailedRead ===

impl FailedRead {
    /// A read that failed now.
    #[must_use]
    pub fn now(failure: ApiFailure) -> Self {
        Self { failure, at: Instant::now() }
    }
}
