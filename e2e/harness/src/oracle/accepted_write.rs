//! What the operator wrote, with the revision that each write made.

use configmapsync::api::namespaced_name::NamespacedName;
use serde_json::Value;
use testbed::audit::Event;

use crate::audit_queries::writes_by_operator;
use crate::oracle::history::History;
use crate::oracle::history::Kind;
use crate::oracle::history::revision;

/// A write by the operator's account that the API server accepted.
#[derive(Clone, Debug)]
pub struct Write<'a> {
    /// The line of the audit log.
    pub event: &'a Event,
    /// What kind of object.
    pub kind: Kind,
    /// Where.
    pub at: NamespacedName,
    /// The revision that it made; none if the history does not know of it.
    pub revision: Option<u64>,
}

impl Write<'_> {
    /// Whether it deleted, or began to.
    #[must_use]
    pub fn is_delete(&self) -> bool {
        self.event.verb == "delete"
    }

    /// Whether it left the object at the revision that it was at: then it made none.
    ///
    /// Known from the revision that the request itself says it saw, or from an object that was
    /// there at this revision before the history began.
    #[must_use]
    pub fn changed_nothing(&self, history: &History) -> bool {
        if !["patch", "update"].contains(&self.event.verb.as_str()) || self.removed() {
            return false;
        }
        let Some(revision) = self.revision else { return false };
        let known = history.change(self.kind, &self.at, revision);
        precondition(self.event) == Some(revision) || known.is_some_and(|change| change.listed)
    }

    /// Whether it took off the last finalizer of an object that was being deleted: no new
    /// revision of the object is made then, it is gone.
    fn removed(&self) -> bool {
        let answer = self.event.response_object.as_ref();
        answer.is_some_and(|object| {
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
    writes.map(|event| write(history, event)).collect()
}

fn write<'a>(history: &History, event: &'a Event) -> Write<'a> {
    let kind = if event.resource() == "configmaps" { Kind::ConfigMap } else { Kind::Sync };
    let at = NamespacedName::new(event.namespace(), event.name());
    let answered = event.response_object.as_ref().and_then(revision);
    let revision = if event.verb == "delete" { gone(history, kind, &at, event) } else { answered };
    Write { event, kind, at, revision: revision.or(answered) }
}

/// The revision at which the object was gone that a DELETE was about.
fn gone(history: &History, kind: Kind, at: &NamespacedName, event: &Event) -> Option<u64> {
    let sent = event.request_object.as_ref().map(|options| &options["preconditions"]["uid"]);
    let answered = event.response_object.as_ref().map(|status| &status["details"]["uid"]);
    let uid = answered.and_then(Value::as_str).or_else(|| sent.and_then(Value::as_str))?;
    let mut changes = history.of(kind, at);
    changes.find(|change| change.gone && change.uid() == uid).map(|change| change.revision)
}

/// The resourceVersion that an update says it has seen.
fn precondition(event: &Event) -> Option<u64> {
    let sent = event.request_object.as_ref()?;
    let Some(operations) = sent.as_array() else { return revision(sent) };
    let is_version = |operation: &&Value| operation["path"] == "/metadata/resourceVersion";
    operations.iter().find(is_version)?["value"].as_str()?.parse().ok()
}
