//! What the API server's errors mean, and how long they are worth waiting for.

use std::time::Duration;

use kube::core::Status;

use crate::backoff::CAP_REFUSED;
use crate::backoff::CAP_UNAVAILABLE;
use crate::decide::Failure;
use crate::decide::reason::Reason;
use crate::names;

/// This process does not hold the Lease: nothing may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this process no longer leads")]
pub struct NotLeading;

/// The API server rejected a call, or did not respond: what to report, and when to retry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiFailure {
    /// What to report.
    pub failure: Failure,
    /// Longest delay until the next attempt.
    pub backoff_cap: Duration,
    /// The delay that the server requested (`Retry-After`).
    pub retry_after: Option<Duration>,
}

/// What to say where the API server does not serve the kind.
pub const KIND_IS_MISSING: &str =
    "the kind ConfigMapSync is not installed: apply its CustomResourceDefinition";

/// Why a call did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallError {
    /// The object is not as observed: observe again.
    Conflict,
    /// The API server rejected it, or did not respond.
    Failed(ApiFailure),
    /// The fence rejected it: for the API server, another process leads.
    Fenced(ApiFailure),
    /// It was not sent: this process no longer leads.
    NotLeading(NotLeading),
}

// === impl ApiFailure ===

impl ApiFailure {
    /// Something that passes by itself.
    #[must_use]
    pub fn transient(message: String) -> Self {
        let failure = Failure::new(Reason::ApiError, message);
        Self { failure, backoff_cap: CAP_UNAVAILABLE, retry_after: None }
    }

    /// What came of a read, which has no version that could be out of date: any error refuses it.
    #[must_use]
    pub fn of_read(attempt: &str, error: &kube::Error) -> Self {
        match classify(attempt, error) {
            CallError::Failed(refusal) | CallError::Fenced(refusal) => refusal,
            CallError::Conflict => Self::transient(format!("cannot {attempt}: it is changing")),
            CallError::NotLeading(error) => Self::transient(format!("cannot {attempt}: {error}")),
        }
    }
}

/// Reads the error of a call that was attempted as `attempt` ("create ConfigMap a/b").
#[must_use]
pub fn classify(attempt: &str, error: &kube::Error) -> CallError {
    match error {
        kube::Error::Api(status) => classify_status(attempt, status),
        kube::Error::Service(refused) if refused.is::<NotLeading>() => {
            CallError::NotLeading(NotLeading)
        }
        other => CallError::Failed(ApiFailure {
            failure: Failure::new(
                Reason::ApiError,
                format!("cannot {attempt}: no answer from the API server: {}", root_cause(other)),
            ),
            backoff_cap: CAP_UNAVAILABLE,
            retry_after: None,
        }),
    }
}

fn classify_status(attempt: &str, status: &Status) -> CallError {
    let is_denied = is_denied_by_admission(status);
    if matches!(status.code, 404 | 409 | 410) && !names_a_namespace(status) && !is_denied {
        return CallError::Conflict;
    }
    let (reason, cap) = match status.code {
        _ if is_denied && is_not_ready(status) => (Reason::ApiError, CAP_UNAVAILABLE),
        _ if is_denied => (Reason::Forbidden, CAP_REFUSED),
        404 | 409 | 410 => (Reason::DestinationNamespaceNotFound, CAP_UNAVAILABLE),
        403 if is_namespace_terminating(status) => (Reason::NamespaceTerminating, CAP_UNAVAILABLE),
        401 | 403 => (Reason::Forbidden, CAP_REFUSED),
        413 | 422 | 500 if is_too_large(status) => (Reason::TooLarge, CAP_REFUSED),
        400 | 405 | 406 | 415 | 422 => (Reason::ApiError, CAP_REFUSED),
        _ => (Reason::ApiError, CAP_UNAVAILABLE),
    };
    let seconds = status.details.as_ref().map_or(0, |details| details.retry_after_seconds);
    let refusal = ApiFailure {
        failure: Failure::new(reason, format!("cannot {attempt}: {}", explain(status))),
        backoff_cap: cap,
        retry_after: (seconds > 0).then(|| Duration::from_secs(seconds.into())),
    };
    let is_by_fence = is_denied && status.code == 403 && names_the_fence(status);
    if is_by_fence { CallError::Fenced(refusal) } else { CallError::Failed(refusal) }
}

/// The server's own message says who may not do what; it never holds a value of a `ConfigMap`
/// except where a value itself is refused, which is cut off.
fn explain(status: &Status) -> String {
    if status.code == 422 && status.message.contains("Invalid value") {
        return "the API server refuses the content as invalid".to_owned();
    }
    if status.message.is_empty() { format!("HTTP {}", status.code) } else { status.message.clone() }
}

fn names_a_namespace(status: &Status) -> bool {
    status.details.as_ref().is_some_and(|details| details.kind == "namespaces")
}

fn is_namespace_terminating(status: &Status) -> bool {
    status.details.as_ref().is_some_and(|details| {
        details.causes.iter().any(|cause| cause.reason == "NamespaceTerminating")
    })
}

/// A policy or a webhook chooses the code of its denial, 422 and 400 as a rule; what they have in
/// common is the sentence (k8s.io/apiserver, `validating/dispatcher.go` and `webhook/errors`).
fn is_denied_by_admission(status: &Status) -> bool {
    let message = &status.message;
    message.contains("denied the request")
        || (message.contains("ValidatingAdmissionPolicy") && message.contains("denied request"))
}

/// For some seconds after an API server has started, it cannot find what a policy compares with
/// (k8s.io/apiserver, `policy/generic/policy_dispatcher.go`).
fn is_not_ready(status: &Status) -> bool {
    status.message.contains("failed to configure")
}

fn names_the_fence(status: &Status) -> bool {
    status.message.contains(&format!("ValidatingAdmissionPolicy '{}'", names::POLICY_FENCE))
}

/// etcd's own limit is answered with a 500 that has no reason.
fn is_too_large(status: &Status) -> bool {
    status.code == 413
        || status.message.contains("request is too large")
        || status.message.contains("Too long")
        || status.message.contains("Request entity too large")
}

fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}

#[cfg(test)]
mod tests {
    use kube::core::response::StatusCause;
    use kube::core::response::StatusDetails;

    use super::*;

    fn status(code: u16, message: &str) -> Status {
        Status { code, message: message.to_owned(), ..Status::failure("", "") }
    }

    fn reason(status: Status) -> Option<(Reason, Duration)> {
        let mut status = status;
        if status.message.is_empty() {
            "said so".clone_into(&mut status.message);
        }
        match classify("create ConfigMap a/b", &kube::Error::Api(status.boxed())) {
            CallError::Failed(refusal) => Some((refusal.failure.reason, refusal.backoff_cap)),
            CallError::Conflict | CallError::Fenced(_) | CallError::NotLeading(_) => None,
        }
    }

    #[test]
    fn a_write_that_the_gate_refused_was_never_sent() {
        let refused = kube::Error::Service(NotLeading.into());
        assert_eq!(classify("x", &refused), CallError::NotLeading(NotLeading));
    }

    #[test]
    fn a_denial_by_the_fence_is_told_from_those_of_other_policies() {
        let denied = |code, policy: &str, why: &str| {
            let message = format!(
                "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy '{policy}' with binding \
                 '{policy}' denied request: {why}"
            );
            classify("x", &kube::Error::Api(status(code, &message).boxed()))
        };
        let fenced = denied(403, names::POLICY_FENCE, "not the leader");
        assert!(matches!(fenced, CallError::Fenced(_)), "{fenced:?}");
        let other = denied(403, names::POLICY_BOUNDS, "no label");
        assert!(matches!(other, CallError::Failed(_)), "{other:?}");
        let starting = denied(422, names::POLICY_FENCE, "failed to configure binding: no params");
        let CallError::Failed(refusal) = starting else { panic!("{starting:?}") };
        assert_eq!(
            (refusal.failure.reason, refusal.backoff_cap),
            (Reason::ApiError, CAP_UNAVAILABLE)
        );
    }

    #[test]
    fn each_answer_has_its_reason_and_its_cap() {
        let rows = [
            (status(409, ""), None),
            (status(404, ""), None),
            (status(403, ""), Some((Reason::Forbidden, CAP_REFUSED))),
            (status(413, "Request entity too large"), Some((Reason::TooLarge, CAP_REFUSED))),
            (
                status(500, "etcdserver: request is too large"),
                Some((Reason::TooLarge, CAP_REFUSED)),
            ),
            (status(422, "data: Too long: may not be more"), Some((Reason::TooLarge, CAP_REFUSED))),
            (status(422, "immutable"), Some((Reason::ApiError, CAP_REFUSED))),
            (status(429, ""), Some((Reason::ApiError, CAP_UNAVAILABLE))),
            (status(500, ""), Some((Reason::ApiError, CAP_UNAVAILABLE))),
            (status(503, ""), Some((Reason::ApiError, CAP_UNAVAILABLE))),
            (status(504, ""), Some((Reason::ApiError, CAP_UNAVAILABLE))),
        ];
        for (status, expected) in rows {
            assert_eq!(reason(status.clone()), expected, "{status:?}");
        }
    }

    #[test]
    fn a_denial_is_one_whatever_its_code() {
        let policy =
            "is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no";
        let webhook = "admission webhook \"w.example.com\" denied the request: no";
        for code in [400, 403, 404, 409, 422, 500] {
            for message in [policy, webhook] {
                let expected = Some((Reason::Forbidden, CAP_REFUSED));
                assert_eq!(reason(status(code, message)), expected, "{code} {message}");
            }
        }
    }

    #[test]
    fn a_terminating_namespace_is_no_rbac_error() {
        let cause = StatusCause {
            reason: "NamespaceTerminating".into(),
            message: String::new(),
            field: String::new(),
        };
        let details = StatusDetails { causes: vec![cause], ..details("") };
        let terminating = Status { details: Some(details), ..status(403, "") };
        assert_eq!(reason(terminating), Some((Reason::NamespaceTerminating, CAP_UNAVAILABLE)));
    }

    #[test]
    fn a_missing_namespace_is_told_from_a_missing_object() {
        let missing = Status { details: Some(details("namespaces")), ..status(404, "") };
        assert_eq!(reason(missing), Some((Reason::DestinationNamespaceNotFound, CAP_UNAVAILABLE)),);
    }

    #[test]
    fn the_delay_that_the_server_asks_for_is_kept() {
        let details = StatusDetails { retry_after_seconds: 7, ..details("") };
        let busy = Status { details: Some(details), ..status(429, "slow down") };
        let CallError::Failed(refusal) = classify("x", &kube::Error::Api(busy.boxed())) else {
            panic!("a 429 is a refusal")
        };
        assert_eq!(refusal.retry_after, Some(Duration::from_secs(7)));
    }

    #[test]
    fn a_refused_value_is_not_repeated() {
        let invalid = status(422, "data[a]: Invalid value: \"hunter2\"");
        let CallError::Failed(refusal) = classify("x", &kube::Error::Api(invalid.boxed())) else {
            panic!("a 422 is a refusal")
        };
        assert!(!refusal.failure.message.contains("hunter2"));
    }

    fn details(kind: &str) -> StatusDetails {
        StatusDetails {
            name: String::new(),
            group: String::new(),
            kind: kind.to_owned(),
            uid: String::new(),
            causes: Vec::new(),
            retry_after_seconds: 0,
        }
    }
}
