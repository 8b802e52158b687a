//! Why a reconcile as a whole failed.

use crate::api::namespaced_name::NamespacedName;
use crate::decide::Failure;
use crate::decide::reason::Reason;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::NotLeading;

/// Why a reconcile as a whole failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// This process no longer leads.
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    /// The finalizer could not be patched.
    #[error("cannot patch the finalizer of ConfigMapSync {sync}: {}", .failure.failure.message)]
    PatchFinalizer { sync: NamespacedName, failure: ApiFailure },
    /// The status could not be patched.
    #[error(
        "cannot report {} ({}) in the status of ConfigMapSync {sync}: {}",
        .summary.reason.as_str(), .summary.message, .failure.failure.message
    )]
    PatchStatus { sync: NamespacedName, summary: Box<Failure>, failure: ApiFailure },
}

// === impl Error ===

impl Error {
    /// Why the API server refused, or did not answer, the patch of the status, so that the status
    /// does not say it.
    pub const fn unreported(&self) -> Option<Reason> {
        match self {
            Self::NotLeading(_) | Self::PatchFinalizer { .. } => None,
            Self::PatchStatus { failure, .. } => Some(failure.failure.reason),
        }
    }
}
