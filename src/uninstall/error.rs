//! Why an uninstallation is not complete.

use crate::api::namespaced_name::NamespacedName;
use crate::kubernetes::error::ApiFailure;

/// The operator could not be stopped, or not everything could be undone.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A read failed, or the Deployment could not be scaled.
    #[error(transparent)]
    Api(#[from] ApiFailure),
    /// Pods of the operator do not terminate.
    #[error(
        "pods of Deployment {deployment} have not terminated, or new ones were started: {pods}: \
         see what blocks them, and that nothing scales the Deployment up"
    )]
    PodsLeft {
        /// The Deployment.
        deployment: NamespacedName,
        /// The names of the pods.
        pods: String,
    },
    /// A process that is none of the pods holds the Lease.
    #[error("{holder} holds the Lease {lease} and keeps renewing it: stop that operator, too")]
    LeaseHeld {
        /// The holder.
        holder: String,
        /// The Lease.
        lease: NamespacedName,
    },
}
