//! Why a reconcile as a whole failed.

use crate::api::namespaced_name::NamespacedName;
use crate::decide::Failure;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::NotLeading;

/// Why a reconcile as a whole failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing may be written.
    #[error(transparent)]
    NotLeading(#[from] NotLeading),
    /// The finalizer could not be patched.
    #[error("cannot patch the finalizer of ConfigMapSync {sync}: {}", .failure.failure.message)]
    PatchFinalizer {
        /// The sync.
        sync: NamespacedName,
        /// Why.
        failure: ApiFailure,
    },
    /// The status could not be patched.
    #[error(
        "cannot report {} ({}) in the status of ConfigMapSync {sync}: {}",
        .verdict.reason.as_str(), .verdict.message, .failure.failure.message
    )]
    PatchStatus {
        /// The sync.
        sync: NamespacedName,
        /// What the status should say.
        verdict: Box<Failure>,
        /// Why.
        failure: ApiFailure,
    },
}
