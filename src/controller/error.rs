//! Why one reconcile failed.

use crate::api::namespaced_name::NamespacedName;
use crate::decide::Failure;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::NotLeading;

/// Why a round as a whole failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// We no longer lead, or are about to stop: nothing may be written.
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    /// The finalizer could not be patched.
    #[error("cannot patch the finalizer of ConfigMapSync {sync}: {}", .refusal.failure.message)]
    PatchFinalizer {
        /// The sync.
        sync: NamespacedName,
        /// Why.
        refusal: ApiFailure,
    },
    /// The status could not be patched.
    #[error(
        "cannot report {} ({}) in the status of ConfigMapSync {sync}: {}",
        .verdict.reason.as_str(), .verdict.message, .refusal.failure.message
    )]
    PatchStatus {
        /// The sync.
        sync: NamespacedName,
        /// What should be reported.
        verdict: Box<Failure>,
        /// Why.
        refusal: ApiFailure,
    },
    /// Some destinations could not be brought in order; the status tells which.
    #[error("{failed} of the copies of ConfigMapSync {sync} wait for a retry: {worst}")]
    Copies {
        /// The sync.
        sync: NamespacedName,
        /// How many.
        failed: usize,
        /// The worst of them.
        worst: String,
    },
}
