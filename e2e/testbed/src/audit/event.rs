//! One line of the audit log.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde::Deserialize;
use serde_json::Value;
use serde_json::json;

use crate::audit::head::STARTED;

/// A request, and how it was answered.
///
/// A watch is written twice: with stage `ResponseStarted` when it begins, and with
/// `ResponseComplete` when it ends. Everything else once, with `ResponseComplete`.
/// Lines that record the receipt of a request are not `Event`s.
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
    /// What was sent; only for the kinds that are recorded whole.
    pub request_object: Option<Value>,
    /// What was answered; only for the kinds that are recorded whole, and never for a watch.
    pub response_object: Option<Value>,
    /// When the request arrived.
    pub request_received_timestamp: MicroTime,
    /// When this stage was reached.
    pub stage_timestamp: MicroTime,
}

/// Who asked.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct User {
    /// The name.
    pub username: String,
    /// What else is known; of a bound token, for example, the pod.
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
    /// Empty for many objects, and in a create.
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
    /// The plural of the kind that the request is about, as in URLs.
    #[must_use]
    pub fn resource(&self) -> &str {
        &self.object_ref.resource
    }

    /// The namespace of the object, empty for all namespaces.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.object_ref.namespace
    }

    /// The name of the object, empty if the request was for many.
    ///
    /// The log leaves it out of a create: there it is taken from what was sent.
    #[must_use]
    pub fn name(&self) -> &str {
        if self.object_ref.name.is_empty() {
            let sent = self.request_object.as_ref().map(|object| &object["metadata"]["name"]);
            return sent.and_then(Value::as_str).unwrap_or_default();
        }
        &self.object_ref.name
    }

    /// The uid of the pod that the caller's token is bound to, empty for others.
    #[must_use]
    pub fn pod_uid(&self) -> &str {
        let uids = self.user.extra.get("authentication.kubernetes.io/pod-uid");
        uids.and_then(|uids| uids.first()).map_or("", String::as_str)
    }

    /// Whether the answer was a success.
    #[must_use]
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.response_status.code)
    }

    /// Whether this is the last line about its request.
    #[must_use]
    pub fn is_final(&self) -> bool {
        self.stage != STARTED
    }

    /// Whether the request was only for show.
    #[must_use]
    pub fn is_dry_run(&self) -> bool {
        let query = self.request_uri.split_once('?').map_or("", |(_, query)| query);
        // A delete may say so in what it sends.
        let sent = self.request_object.as_ref().filter(|_| self.verb.starts_with("delete"));
        query.split('&').any(|pair| pair.starts_with("dryRun="))
            || sent.is_some_and(|options| options["dryRun"] == json!(["All"]))
    }

    /// Whether the request could change something, successful or not.
    #[must_use]
    pub fn is_write(&self) -> bool {
        let writes = ["create", "update", "patch", "delete", "deletecollection"];
        writes.contains(&self.verb.as_str()) && !self.is_dry_run()
    }

    /// Whether the answer held the data of a `ConfigMap`.
    ///
    /// The log does not show the Accept header, but what was answered: a request for metadata
    /// only shows as `PartialObjectMetadata` (or `PartialObjectMetadataList`). Of a watch it
    /// shows nothing, so this says nothing about watches.
    #[must_use]
    pub fn reads_data(&self) -> bool {
        let kind = self.response_object.as_ref().map(|object| &object["kind"]);
        let kind = kind.and_then(Value::as_str).unwrap_or_default();
        self.resource() == "configmaps"
            && ["get", "list"].contains(&self.verb.as_str())
            && ["ConfigMap", "ConfigMapList"].contains(&kind)
    }
}

/// One line for a person: `patch configmaps/status a/b -> 200 (user, pod, client)`.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.verb, self.resource())?;
        if !self.object_ref.subresource.is_empty() {
            write!(f, "/{}", self.object_ref.subresource)?;
        }
        write!(f, " {}/{} -> {}", self.namespace(), self.name(), self.response_status.code)?;
        write!(f, " ({}, pod {:?}, {})", self.user.username, self.pod_uid(), self.user_agent)
    }
}

/// Events as lines, for the message of an assertion.
#[must_use]
pub fn lines(events: &[&Event]) -> String {
    events.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(text: &str) -> Event {
        let mut event: Value = serde_json::from_str(text).unwrap();
        let defaults = json!({
            "stage": "ResponseComplete",
            "requestURI": "/",
            "user": {},
            "requestReceivedTimestamp": "2026-01-02T03:04:05.000006Z",
            "stageTimestamp": "2026-01-02T03:04:05.000007Z",
        });
        for (key, value) in defaults.as_object().unwrap() {
            event.as_object_mut().unwrap().entry(key).or_insert(value.clone());
        }
        serde_json::from_value(event).unwrap()
    }

    #[test]
    fn a_dry_run_is_no_write() {
        let real = event(r#"{"verb":"patch","requestURI":"/x?fieldManager=dryRun"}"#);
        let dry = event(r#"{"verb":"patch","requestURI":"/x?a=b&dryRun=All"}"#);
        assert!(real.is_write());
        assert!(!dry.is_write());
        let dry = event(r#"{"verb":"delete","requestObject":{"dryRun":["All"]}}"#);
        assert!(!dry.is_write());
    }

    #[test]
    fn only_whole_objects_count_as_data_read() {
        for (kind, expected) in [
            ("ConfigMap", true),
            ("ConfigMapList", true),
            ("PartialObjectMetadata", false),
            ("PartialObjectMetadataList", false),
            ("Status", false),
        ] {
            let object = format!(r#""responseObject":{{"kind":"{kind}"}}"#);
            let get = r#""verb":"get","objectRef":{"resource":"configmaps"}"#;
            assert_eq!(event(&format!("{{{get},{object}}}")).reads_data(), expected, "{kind}");
        }
    }

    #[test]
    fn the_name_of_a_created_object_is_what_was_sent() {
        let text = r#"{"verb":"create","requestObject":{"metadata":{"name":"a"}}}"#;
        assert_eq!(event(text).name(), "a");
    }

    #[test]
    fn the_pod_is_the_one_that_the_token_is_bound_to() {
        let text = r#"{"verb":"get","user":{"username":"u",
            "extra":{"authentication.kubernetes.io/pod-uid":["1-2"]}}}"#;
        assert_eq!(event(text).pod_uid(), "1-2");
    }
}
