//! The operator's successful writes, with the revision that each created.

use configmapsync::api::namespaced_name::NamespacedName;
use k8s_openapi::jiff::SignedDuration;
use serde_json::Value;
use testbed::audit::Event;

use crate::audit_queries::requests_by_operator;
use crate::audit_queries::writes_by_operator;
use crate::oracle::history::History;
use crate::oracle::history::Kind;
use crate::oracle::history::revision;

/// A write by the operator's account that the API server accepted.
#[derive(Clone, Debug)]
pub struct Write<'a> {
    /// The event of the audit log.
    pub event: &'a Event,
    /// The kind of the object.
    pub kind: Kind,
    /// The namespace and name of the object.
    pub at: NamespacedName,
    /// The revision that it created; `None` if it is unknown.
    pub revision: Option<u64>,
    /// The whole audit log.
    log: &'a [Event],
}

/// How long before a write the read may have been on which it was decided.
const DECIDED: SignedDuration = SignedDuration::from_secs(10);

impl Write<'_> {
    /// Whether the operator had read shortly before that the `ConfigMap` at `at` does not exist.
    #[must_use]
    pub fn is_decided_on_absence(&self, at: &NamespacedName) -> bool {
        let received = self.event.request_received_timestamp.0;
        let is_recent = |it: &&Event| {
            let answered = it.stage_timestamp.0;
            answered <= received && received.duration_since(answered) < DECIDED
        };
        let is_read = |it: &&Event| {
            it.verb == "get" && it.resource() == "configmaps" && it.namespace() == at.namespace
        };
        let reads = requests_by_operator(self.log).filter(is_read).filter(is_recent);
        let last = reads.filter(|it| it.name() == at.name).max_by_key(|it| it.stage_timestamp.0);
        last.is_some_and(|it| it.response_status.code == 404)
    }

    /// Whether the stored object has other data than the patch, since an admission plugin has changed
    /// it.
    #[must_use]
    pub fn was_altered(&self, history: &History) -> bool {
        let operations = self.event.request_object.as_ref().and_then(Value::as_array);
        let mut operations = operations.into_iter().flatten();
        let sent = operations.find(|operation| operation["path"] == "/data");
        let stored = self.revision.and_then(|revision| history.at(self.kind, &self.at, revision));
        sent.zip(stored).is_some_and(|(sent, stored)| sent["value"] != stored["data"])
    }

    /// Whether it is a deletion; with finalizers, the object may still exist.
    #[must_use]
    pub fn is_delete(&self) -> bool {
        self.event.verb == "delete"
    }

    /// Whether it left the object at its previous revision, because it changed nothing.
    ///
    /// That is so if the revision of the response is the one that the request had as a precondition, or
    /// the one that the object had before the recording started.
    #[must_use]
    pub fn changed_nothing(&self, history: &History) -> bool {
        if !["patch", "update"].contains(&self.event.verb.as_str()) || self.removed() {
            return false;
        }
        let Some(revision) = self.revision else { return false };
        let known = history.change(self.kind, &self.at, revision);
        precondition(self.event) == Some(revision) || known.is_some_and(|change| change.listed)
    }

    /// Whether it removed the last finalizer of an object with a deletion timestamp: that deletes the
    /// object, and creates no new revision of it.
    fn removed(&self) -> bool {
        let response = self.event.response_object.as_ref();
        response.is_some_and(|object| {
            let metadata = &object["metadata"];
            let finalizers = metadata["finalizers"].as_array().map_or(0, Vec::len);
            metadata["deletionTimestamp"].is_string() && finalizers == 0
        })
    }
}

/// `patch configmaps a/b at revision 7`
impl std::fmt::Display for Write<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let resource = self.kind.resource();
        write!(f, "{} {resource} {}", self.event.verb, self.at)?;
        self.revision.map_or(Ok(()), |revision| write!(f, " at revision {revision}"))
    }
}

/// The operator's successful writes to `ConfigMap`s and `ConfigMapSync`s.
#[must_use]
pub(super) fn successes<'a>(history: &History, events: &'a [Event]) -> Vec<Write<'a>> {
    let writes = writes_by_operator(events).into_iter().filter(|event| event.succeeded());
    writes.map(|event| write(history, event, events)).collect()
}

fn write<'a>(history: &History, event: &'a Event, log: &'a [Event]) -> Write<'a> {
    let kind = if event.resource() == "configmaps" { Kind::ConfigMap } else { Kind::Sync };
    let at = NamespacedName::new(event.namespace(), event.name());
    let responded = event.response_object.as_ref().and_then(revision);
    let revision =
        if event.verb == "delete" { deleted(history, kind, &at, event) } else { responded };
    Write { event, kind, at, revision: revision.or(responded), log }
}

/// The revision at which the object of a DELETE was deleted.
fn deleted(history: &History, kind: Kind, at: &NamespacedName, event: &Event) -> Option<u64> {
    let sent = event.request_object.as_ref().map(|options| &options["preconditions"]["uid"]);
    let responded = event.response_object.as_ref().map(|status| &status["details"]["uid"]);
    let uid = responded.and_then(Value::as_str).or_else(|| sent.and_then(Value::as_str))?;
    let mut changes = history.of(kind, at);
    changes.find(|change| change.deleted && change.uid() == uid).map(|change| change.revision)
}

/// The resourceVersion that an update or a patch has as a precondition.
fn precondition(event: &Event) -> Option<u64> {
    let sent = event.request_object.as_ref()?;
    let Some(operations) = sent.as_array() else { return revision(sent) };
    let is_version = |operation: &&Value| operation["path"] == "/metadata/resourceVersion";
    operations.iter().find(is_version)?["value"].as_str()?.parse().ok()
}
