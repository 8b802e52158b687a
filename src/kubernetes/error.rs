//! Errors of API calls: what each means for the object, how to report it, and when to retry.

mod causes;
mod explain;
#[cfg(test)]
mod tests;

use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::core::Status;

pub use explain::Values;
pub use explain::explain;
pub use explain::explain_status;

use crate::api::StoredConfigMapSync;
use crate::api::metadata::MetadataOnly;
use crate::backoff::CAP_REFUSED;
use crate::backoff::CAP_UNAVAILABLE;
use crate::decide::Failure;
use crate::decide::reason::Reason;
use crate::kubernetes::error::causes::is_denied_by_admission;
use crate::kubernetes::error::causes::is_namespace_missing;
use crate::kubernetes::error::causes::is_namespace_terminating;
use crate::kubernetes::error::causes::is_policy_not_ready;
use crate::kubernetes::error::causes::is_too_large;
use crate::kubernetes::error::causes::missing_object;
use crate::kubernetes::error::causes::names_fence;
use crate::kubernetes::error::explain::explain_hiding;

/// This process does not hold the Lease: it must not write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this process no longer leads")]
pub struct NotLeading;

/// A call that the API server rejected or did not respond to: what to report, and when to retry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .failure.message)]
pub struct ApiFailure {
    /// Reason and message to report.
    pub failure: Failure,
    /// Longest backoff before the next attempt.
    pub backoff_cap: Duration,
    /// The delay that the server requested (`Retry-After`).
    pub retry_after: Option<Duration>,
}

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The object is not as observed: observe again. If it turns out to be exactly as observed, this
    /// was no conflict: the API server rejected the call, with this failure.
    Conflict(ApiFailure),
    /// The API server rejected the call, or did not respond.
    Failed(ApiFailure),
    /// The fence rejected the call: for the API server, another process leads.
    Fenced(ApiFailure),
    /// The call was not sent: this process no longer leads.
    NotLeading(NotLeading),
}

/// An object in a response.
pub trait Named {
    /// Whether it has the metadata of a stored object of this name.
    fn is_stored_as(&self, name: &str) -> bool;
}

// === impl Named ===

impl<T: Resource> Named for T {
    fn is_stored_as(&self, name: &str) -> bool {
        let ObjectMeta { name: found, uid, resource_version, .. } = self.meta();
        uid.is_some() && resource_version.is_some() && found.as_deref() == Some(name)
    }
}

impl<Managed> Named for MetadataOnly<Managed> {
    fn is_stored_as(&self, name: &str) -> bool {
        self.metadata.is_stored_as(name)
    }
}

impl Named for StoredConfigMapSync {
    fn is_stored_as(&self, name: &str) -> bool {
        self.metadata.is_stored_as(name)
    }
}

// === impl ApiFailure ===

impl ApiFailure {
    /// A failure of the server or the network, which is retried soon.
    #[must_use]
    pub fn transient(message: String) -> Self {
        let failure = Failure::new(Reason::ApiError, message);
        Self { failure, backoff_cap: CAP_UNAVAILABLE, retry_after: None }
    }

    /// Whether the API server finds the request itself invalid: it has neither failed, nor denied the
    /// request.
    #[must_use]
    pub fn is_invalid(&self) -> bool {
        self.failure.reason == Reason::ApiError && self.backoff_cap == CAP_REFUSED
    }

    /// The failure of a call without preconditions, attempted as `attempt` ("read ConfigMap a/b").
    /// No error of such a call is a conflict.
    #[must_use]
    pub fn of(attempt: &str, error: &kube::Error) -> Self {
        match classify(attempt, error, &Values::None) {
            CallError::Failed(failure)
            | CallError::Fenced(failure)
            | CallError::Conflict(failure) => failure,
            CallError::NotLeading(error) => Self::transient(format!("cannot {attempt}: {error}")),
        }
    }
}

/// Classifies the error of a call that was attempted as `attempt` ("create ConfigMap a/b"), whose
/// response may repeat `values`.
#[must_use]
pub fn classify(attempt: &str, error: &kube::Error, values: &Values<'_>) -> CallError {
    match error {
        kube::Error::Api(status) => classify_status(attempt, status, values),
        kube::Error::Service(service) if service.is::<NotLeading>() => {
            CallError::NotLeading(NotLeading)
        }
        other => CallError::Failed(ApiFailure::transient(format!(
            "cannot {attempt}: {}",
            explain(other)
        ))),
    }
}

fn classify_status(attempt: &str, status: &Status, values: &Values<'_>) -> CallError {
    let is_denied = is_denied_by_admission(status);
    let is_namespace_missing = is_namespace_missing(status);
    let (reason, backoff_cap) = match status.code {
        _ if is_denied && is_policy_not_ready(status) => (Reason::ApiError, CAP_UNAVAILABLE),
        _ if is_denied => (Reason::Forbidden, CAP_REFUSED),
        _ if is_namespace_missing => (Reason::DestinationNamespaceNotFound, CAP_UNAVAILABLE),
        403 if is_namespace_terminating(status) => (Reason::NamespaceTerminating, CAP_UNAVAILABLE),
        401 | 403 => (Reason::Forbidden, CAP_REFUSED),
        413 | 422 | 500 if is_too_large(status) => (Reason::TooLarge, CAP_REFUSED),
        400 | 405 | 406 | 415 | 422 => (Reason::ApiError, CAP_REFUSED),
        _ => (Reason::ApiError, CAP_UNAVAILABLE),
    };
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    let failure = ApiFailure {
        failure: Failure::new(
            reason,
            format!("cannot {attempt}: {}", explain_hiding(status, values)),
        ),
        backoff_cap,
        retry_after: (seconds > 0).then(|| Duration::from_secs(seconds.into())),
    };
    match status.code {
        _ if names_fence(status) => CallError::Fenced(failure),
        404 | 409 | 410 if !is_namespace_missing && !is_denied => CallError::Conflict(failure),
        _ => CallError::Failed(failure),
    }
}

/// The message where the API server does not serve `kind`.
#[must_use]
pub fn kind_not_installed(kind: &str) -> String {
    format!("the kind {kind} is not installed: apply its CustomResourceDefinition")
}

/// Whether the response may repeat the stored object, also if the call did not send it: it is a
/// denial by admission, or a validation error. Authorizers do not see objects.
#[must_use]
pub fn may_repeat_object(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else { return false };
    !names_fence(status)
        && (is_denied_by_admission(status)
            || matches!(status.code, 400 | 422)
            || status.message.contains("webhook"))
}

/// Whether the fence rejected the call.
#[must_use]
pub fn is_fenced(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if names_fence(status))
}

/// Whether the response proves that the object `name` of kind `K` does not exist: a 404 whose
/// `Status` names kind and object. A kind that is not served and a misrouting proxy respond with
/// 404, too. Every decision that depends on the absence of an object uses this function.
#[must_use]
pub fn is_object_missing<K: Resource<DynamicType = ()>>(error: &kube::Error, name: &str) -> bool {
    let kube::Error::Api(status) = error else { return false };
    missing_object(status).is_some_and(|missing| {
        missing.group == K::group(&()) && missing.kind == K::plural(&()) && missing.name == name
    })
}

/// The result of a read of the object `name` of kind `K`; `None` if the response proves that the
/// object does not exist.
///
/// # Errors
/// Those of `read`, a 404 that proves nothing included: see [`is_object_missing`] and [`named`].
pub fn unless_missing<K: Resource<DynamicType = ()>, T: Named>(
    name: &str,
    read: kube::Result<T>,
) -> kube::Result<Option<T>> {
    match read {
        Err(error) if is_object_missing::<K>(&error, name) => Ok(None),
        read => named(name, read).map(Some),
    }
}

/// The `response` to a call about the object `name`, which must have the metadata of a stored object of
/// that name. The page of a proxy with HTTP 200 has not: it proves neither content nor a write.
///
/// # Errors
/// Those of the call, and a response that does not name the object.
pub fn named<T: Named>(name: &str, response: kube::Result<T>) -> kube::Result<T> {
    let response = response?;
    if response.is_stored_as(name) { Ok(response) } else { Err(unnamed()) }
}

/// The error of a successful response that does not name the object.
#[must_use]
pub fn unnamed() -> kube::Error {
    let message = "the response does not name the object, so it did not come from the API server: \
                   check the proxies in between";
    kube::Error::Api(Box::new(Status { code: 200, ..Status::failure(message, "") }))
}

/// Whether the API server responded with the HTTP status `code`.
#[must_use]
pub fn has_code(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}
