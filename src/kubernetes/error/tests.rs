use k8s_openapi::api::core::v1::ConfigMap;
use kube::core::response::StatusCause;
use kube::core::response::StatusDetails;
use serde_json::Value;
use serde_json::json;

use super::*;
use crate::api::ConfigMapSync;
use crate::names;

fn status(code: u16, message: &str) -> Status {
    Status { code, message: message.to_owned(), ..Status::failure("", "") }
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

fn api_error(status: Status) -> kube::Error {
    kube::Error::Api(status.boxed())
}

/// Reason and backoff cap; `None` unless the call failed.
fn outcome(status: Status) -> Option<(Reason, Duration)> {
    match classify("create ConfigMap a/b", &api_error(status), &Values::None) {
        CallError::Failed(failed) => Some((failed.failure.reason, failed.backoff_cap)),
        CallError::Conflict(_) | CallError::Fenced(_) | CallError::NotLeading(_) => None,
    }
}

#[test]
fn a_write_blocked_by_the_gate_is_not_leading() {
    let blocked = kube::Error::Service(NotLeading.into());
    assert_eq!(classify("x", &blocked, &Values::None), CallError::NotLeading(NotLeading));
}

#[test]
fn a_denial_by_the_fence_differs_from_other_policies() {
    let denied = |code, policy: &str, why: &str| {
        let message = format!(
            "configmaps \"a\" is forbidden: ValidatingAdmissionPolicy '{policy}' with binding \
             '{policy}' denied request: {why}"
        );
        api_error(status(code, &message))
    };
    let fence = denied(403, names::POLICY_FENCE, "not the leader");
    assert!(matches!(classify("x", &fence, &Values::None), CallError::Fenced(_)));
    assert!(is_fenced(&fence));
    let other = denied(403, names::POLICY_BOUNDS, "no label");
    assert!(matches!(classify("x", &other, &Values::None), CallError::Failed(_)));
    assert!(!is_fenced(&other));
    let starting = denied(422, names::POLICY_FENCE, "failed to configure binding: no params");
    assert!(!is_fenced(&starting));
    let CallError::Failed(failed) = classify("x", &starting, &Values::None) else {
        panic!("{starting:?}")
    };
    assert_eq!((failed.failure.reason, failed.backoff_cap), (Reason::ApiError, CAP_UNAVAILABLE));
}

#[test]
fn each_code_has_its_reason_and_backoff_cap() {
    let rows = [
        (status(409, ""), None),
        (status(404, ""), None),
        (status(403, ""), Some((Reason::Forbidden, CAP_REFUSED))),
        (status(413, "Request entity too large"), Some((Reason::TooLarge, CAP_REFUSED))),
        (status(500, "etcdserver: request is too large"), Some((Reason::TooLarge, CAP_REFUSED))),
        (status(422, "data: Too long: may not be more"), Some((Reason::TooLarge, CAP_REFUSED))),
        (status(422, "immutable"), Some((Reason::ApiError, CAP_REFUSED))),
        (status(429, ""), Some((Reason::ApiError, CAP_UNAVAILABLE))),
        (status(500, ""), Some((Reason::ApiError, CAP_UNAVAILABLE))),
        (status(503, ""), Some((Reason::ApiError, CAP_UNAVAILABLE))),
        (status(504, ""), Some((Reason::ApiError, CAP_UNAVAILABLE))),
    ];
    for (status, expected) in rows {
        assert_eq!(outcome(status.clone()), expected, "{status:?}");
    }
}

#[test]
fn an_admission_denial_is_forbidden_with_any_code() {
    let policy = "is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: no";
    let webhook = "admission webhook \"w.example.com\" denied the request: no";
    for code in [400, 403, 404, 409, 422, 500] {
        for message in [policy, webhook] {
            let expected = Some((Reason::Forbidden, CAP_REFUSED));
            assert_eq!(outcome(status(code, message)), expected, "{code} {message}");
        }
    }
}

#[test]
fn a_terminating_namespace_is_not_an_rbac_error() {
    let cause = StatusCause {
        reason: "NamespaceTerminating".into(),
        message: String::new(),
        field: String::new(),
    };
    let details = StatusDetails { causes: vec![cause], ..details("") };
    let terminating = Status { details: Some(details), ..status(403, "") };
    assert_eq!(outcome(terminating), Some((Reason::NamespaceTerminating, CAP_UNAVAILABLE)));
}

#[test]
fn a_conflict_says_what_to_report_if_nothing_has_changed() {
    for code in [404, 409, 410] {
        let quota = status(code, "Operation cannot be fulfilled on resourcequotas \"q\"");
        let CallError::Conflict(refusal) =
            classify("create ConfigMap a/b", &api_error(quota), &Values::None)
        else {
            panic!("{code} is a conflict")
        };
        let ApiFailure { failure, backoff_cap, .. } = refusal;
        assert_eq!((failure.reason, backoff_cap), (Reason::ApiError, CAP_UNAVAILABLE));
        assert!(failure.message.contains("resourcequotas \"q\""), "{failure:?}");
    }
}

#[test]
fn a_missing_namespace_differs_from_a_missing_object() {
    let details = StatusDetails { name: "a".into(), ..details("namespaces") };
    let missing = Status { reason: "NotFound".into(), details: Some(details), ..status(404, "") };
    for unproven in [
        Status { reason: String::new(), ..missing.clone() },
        Status { code: 409, ..missing.clone() },
        Status { details: None, ..missing.clone() },
    ] {
        assert_eq!(outcome(unproven), None, "observe again");
    }
    assert_eq!(outcome(missing), Some((Reason::DestinationNamespaceNotFound, CAP_UNAVAILABLE)));
}

#[test]
fn the_requested_retry_delay_is_kept() {
    let details = StatusDetails { retry_after_seconds: 7, ..details("") };
    let busy = Status { details: Some(details), ..status(429, "slow down") };
    let CallError::Failed(failed) = classify("x", &api_error(busy), &Values::None) else {
        panic!("a 429 is a failure")
    };
    assert_eq!(failed.retry_after, Some(Duration::from_secs(7)));
}

#[test]
fn an_explanation_says_what_to_do() {
    let rbac = "configmaps is forbidden: User \"u\" cannot list resource \"configmaps\"";
    let rows = [
        (status(403, rbac), "grant this permission"),
        (status(401, "Unauthorized"), "renew them"),
        (status(404, "404 page not found"), "HTTP 404 for the kind or the path"),
        (status(503, ""), "HTTP 503"),
    ];
    for (status, expected) in rows {
        let explained = explain(&api_error(status));
        assert!(explained.contains(expected), "{explained:?} lacks {expected:?}");
    }
    let quota = explain(&api_error(status(403, "exceeded quota: q")));
    assert_eq!(quota, "exceeded quota: q");
}

#[test]
fn an_object_is_missing_only_if_the_404_names_it() {
    let not_found = |kind: &str, name: &str| {
        let details =
            StatusDetails { name: name.into(), group: names::GROUP.into(), ..details(kind) };
        Status { code: 404, details: Some(details), ..Status::failure("gone", "NotFound") }
    };
    let is_missing =
        |status: Status| is_object_missing::<ConfigMapSync>(&api_error(status), "sync");
    assert!(is_missing(not_found("configmapsyncs", "sync")));
    let read = |status: Status| -> kube::Result<Option<ConfigMapSync>> {
        unless_missing::<ConfigMapSync, _>("sync", Err(api_error(status)))
    };
    assert!(matches!(read(not_found("configmapsyncs", "sync")), Ok(None)));
    assert!(read(not_found("configmapsyncs", "other")).is_err());
    let page = Status { reason: "Failed to parse error data".into(), ..status(404, "<html>") };
    assert!(read(page.clone()).is_err(), "a page of a proxy");
    let failure = ApiFailure::of("read ConfigMap a/b", &api_error(page)).failure;
    assert_eq!(failure.reason, Reason::ApiError);
    assert!(!is_missing(not_found("configmapsyncs", "other")));
    assert!(!is_missing(not_found("namespaces", "sync")));
    assert!(!is_missing(not_found("", "")), "the kind is not served");
    assert!(!is_missing(Status { details: None, ..not_found("configmapsyncs", "sync") }));
    assert!(!is_missing(Status { code: 410, ..not_found("configmapsyncs", "sync") }));
}

#[test]
fn a_response_counts_only_if_it_names_the_stored_object() {
    let config_map = |metadata: Value| -> ConfigMap {
        serde_json::from_value(json!({"metadata": metadata})).unwrap()
    };
    let is_named = |metadata| named("shared", Ok(config_map(metadata))).is_ok();
    assert!(is_named(json!({"name": "shared", "uid": "u", "resourceVersion": "1"})));
    assert!(!is_named(json!({})), "a page of a proxy");
    assert!(!is_named(json!({"name": "other", "uid": "u", "resourceVersion": "1"})));
    assert!(!is_named(json!({"name": "shared", "resourceVersion": "1"})));
    assert!(!is_named(json!({"name": "shared", "uid": "u"})));
    let failed = ApiFailure::of("read ConfigMap a/b", &unnamed());
    let Failure { reason, message, .. } = failed.failure;
    assert_eq!(reason, Reason::ApiError);
    assert!(
        message.starts_with("cannot read ConfigMap a/b: the response does not name"),
        "{message}"
    );
    assert_eq!(failed.backoff_cap, CAP_UNAVAILABLE);
}
