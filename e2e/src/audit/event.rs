//! One line of the audit log.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde::Deserialize;
use serde_json::Value;

/// A request, and how it was answered.
///
/// A watch is written twice: with stage `ResponseStarted` when it begins, and with
/// `ResponseComplete` when it ends. Everything else once, with `ResponseComplete`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Event {
    /// `ResponseStarted`, `ResponseComplete` or `Panic`.
    pub stage: String,
    /// get, list, watch, create, update, patch, delete, deletecollection.
    pub verb: String,
    /// Path and query of the request.
    #[serde(rename = "requestURI")]
    pub request_uri: String,
    /// What the client says it is.
    #[serde(default)]
    pub user_agent: String,
    /// Who asked.
    pub user: User,
    /// What for.
    #[serde(default)]
    pub object_ref: ObjectReference,
    /// The answer's status.
    #[serde(default)]
    pub response_status: ResponseStatus,
    /// What was sent; at level `RequestResponse` only.
    pub request_object: Option<Value>,
    /// What was answered; at level `RequestResponse` only.
    pub response_object: Option<Value>,
    /// When the request arrived.
    pub request_received_timestamp: MicroTime,
    /// When this stage was reached.
    pub stage_timestamp: MicroTime,
}

/// Who asked.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct User {
    /// The name.
    #[serde(default)]
    pub username: String,
    /// What else is known; of a bound token, for example, the pod.
    #[serde(default)]
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What a request is about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectReference {
    /// The plural, as in URLs.
    pub resource: String,
    /// `status`, for example; mostly empty.
    pub subresource: String,
    /// Empty for the core group.
    pub api_group: String,
    /// Empty for all namespaces.
    pub namespace: String,
    /// Empty for many objects.
    pub name: String,
}

/// How a request ended.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ResponseStatus {
    /// The HTTP status.
    pub code: u16,
    /// The reason word of a failure.
    pub reason: String,
    /// The sentence of a failure.
    pub message: String,
}

impl Event {
    /// The name of the object, empty if the request was for many.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.object_ref.name
    }

    /// The uid of the pod that the caller's token is bound to, empty for others.
    #[must_use]
    pub fn pod_uid(&self) -> &str {
        let uids = self.user.extra.get("authentication.kubernetes.io/pod-uid");
        uids.and_then(|uids| uids.first()).map_or("", String::as_str)
    }
}
