//! The result of a patch of a sync: of its finalizer, or of its status.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use tracing::Span;

use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::CallError;
use crate::kubernetes::error::NotLeading;
use crate::telemetry::spans::fail;

/// The result of a patch of a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncPatch {
    /// No patch was necessary.
    Unchanged,
    /// The sync was patched, and now has this resourceVersion.
    Patched { resource_version: String },
    /// The sync was not as observed: observe again.
    Conflict,
    /// The API server rejected the patch, or did not respond.
    Failed(ApiFailure),
}

// === impl SyncPatch ===

impl SyncPatch {
    /// The result of a patch that was sent. Fails if this process no longer leads.
    pub fn of(response: Result<ObjectMeta, CallError>) -> Result<Self, NotLeading> {
        match response {
            Ok(patched) => {
                let resource_version = patched.resource_version.unwrap_or_default();
                Ok(Self::Patched { resource_version })
            }
            Err(CallError::Conflict(_)) => Ok(Self::Conflict),
            Err(CallError::Failed(failure) | CallError::Fenced(failure)) => {
                Ok(Self::Failed(failure))
            }
            Err(CallError::NotLeading(error)) => Err(error),
        }
    }

    /// Marks the span in which the patch was sent as failed, if it failed.
    pub fn mark(&self, span: &Span) {
        if let Self::Failed(ApiFailure { failure, .. }) = self {
            fail(span, failure.reason.as_str(), &failure.message);
        }
    }
}
