//! The result of a patch of a sync: of its finalizer, or of its status.

use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Client;
use tracing::Span;

use crate::access::rule;
use crate::api::metadata::Metadata;
use crate::decide::observed::ObservedSync;
use crate::kubernetes::calls;
use crate::kubernetes::error::ApiFailure;
use crate::kubernetes::error::CallError;
use crate::kubernetes::error::NotLeading;
use crate::names;
use crate::telemetry::spans::fail;

/// The result of a patch of a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncPatch {
    /// No patch was necessary.
    Unchanged,
    /// The sync was patched, and now has this resourceVersion.
    Patched {
        /// `metadata.resourceVersion`
        resource_version: String,
    },
    /// The sync was not as observed: observe again. If a read finds it exactly as observed, the patch
    /// has failed instead: trying again at once would fail again.
    Conflict,
    /// The API server rejected the patch, or did not respond.
    Failed(ApiFailure),
}

// === impl SyncPatch ===

impl SyncPatch {
    /// The result of a patch of `sync` that was sent. After a conflict, reads the version of the
    /// sync.
    ///
    /// # Errors
    /// This process no longer leads.
    pub async fn of(
        client: &Client,
        sync: &ObservedSync,
        response: Result<Metadata, CallError>,
    ) -> Result<Self, NotLeading> {
        match response {
            Ok(patched) => {
                let resource_version = patched.resource_version.unwrap_or_default();
                Ok(Self::Patched { resource_version })
            }
            Err(CallError::Conflict(refusal)) => {
                Ok(match calls::sync_version(client, &sync.name).await {
                    Ok(found) if found.as_ref() == Some(&sync.version) => Self::Failed(refusal),
                    Ok(_) => Self::Conflict,
                    Err(unread) => Self::Failed(unread),
                })
            }
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

/// Permissions for the read after a conflict.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    vec![rule(names::GROUP, "configmapsyncs", &["get"])]
}
