//! What caused an error, read from the `Status` of the response.

use kube::core::Status;
use kube::core::response::StatusDetails;

use crate::names;

/// A policy or a webhook chooses the code of its denial, mostly 422 or 400. All denials share this
/// wording (k8s.io/apiserver, `validating/dispatcher.go` and `webhook/errors`).
pub fn is_denied_by_admission(status: &Status) -> bool {
    let message = &status.message;
    message.contains("denied the request")
        || (message.contains("ValidatingAdmissionPolicy") && message.contains("denied request"))
}

/// For some seconds after its start, an API server cannot find the parameter of a policy
/// (k8s.io/apiserver, `policy/generic/policy_dispatcher.go`).
pub fn is_policy_not_ready(status: &Status) -> bool {
    status.message.contains("failed to configure")
}

/// The fence denied the request. Its own reason gives the code 403; with 422 it could not be
/// evaluated.
pub fn names_fence(status: &Status) -> bool {
    let policy = format!("ValidatingAdmissionPolicy '{}'", names::POLICY_FENCE);
    status.code == 403 && is_denied_by_admission(status) && status.message.contains(&policy)
}

/// The RBAC authorizer denied the request (k8s.io/apiserver, `endpoints/handlers/responsewriters`).
pub fn is_rbac_denial(status: &Status) -> bool {
    status.message.contains("User \"") && status.message.contains(" cannot ")
}

/// The object that a response proves to be missing: a 404 whose `Status` names kind and object.
pub fn missing_object(status: &Status) -> Option<&StatusDetails> {
    let details = status.details.as_ref()?;
    let is_named = !details.kind.is_empty() && !details.name.is_empty();
    (status.code == 404 && status.reason == "NotFound" && is_named).then_some(details)
}

/// The namespace of the object does not exist.
pub fn is_namespace_missing(status: &Status) -> bool {
    missing_object(status).is_some_and(|it| it.group.is_empty() && it.kind == "namespaces")
}

/// The namespace of the object is being deleted.
pub fn is_namespace_terminating(status: &Status) -> bool {
    status.details.as_ref().is_some_and(|details| {
        details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
    })
}

/// A 404 that names no object: the kind is not served, or a proxy misroutes the request.
pub fn is_kind_missing(status: &Status) -> bool {
    status.code == 404 && status.details.as_ref().is_none_or(|details| details.name.is_empty())
}

/// The request is too large for the API server or for etcd. etcd's own limit leads to a 500 without
/// a reason.
pub fn is_too_large(status: &Status) -> bool {
    status.code == 413
        || status.message.contains("request is too large")
        || status.message.contains("Too long")
        || status.message.contains("Request entity too large")
}
