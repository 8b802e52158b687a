//! Histories made by hand: a source `central/shared`, its sync `central/sync`, its copy
//! `app/shared`, and what befalls them.

use configmapsync::api::namespaced_name::NamespacedName;
use configmapsync::names;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use serde_json::json;
use testbed::accounts::OPERATOR;
use testbed::accounts::OPERATOR_USER;
use testbed::audit::Event;

use crate::oracle::accepted_write;
use crate::oracle::accepted_write::Write;
use crate::oracle::history::Change;
use crate::oracle::history::History;
use crate::oracle::history::Kind;

/// A history as it is written.
#[derive(Default)]
pub struct Story {
    changes: Vec<Change>,
    pub events: Vec<Event>,
    revision: u64,
}

/// Takes the identity off a copy.
pub fn strip_identity(copy: &mut Value) {
    copy["metadata"]["labels"] = json!({});
    copy["metadata"]["annotations"] = json!({});
}

fn copy_at() -> NamespacedName {
    NamespacedName::new("app", "shared")
}

fn sync_at() -> NamespacedName {
    NamespacedName::new("central", "sync")
}

fn leadership_at() -> NamespacedName {
    NamespacedName::new(OPERATOR, OPERATOR)
}

impl Story {
    /// All in order: source, sync and copy.
    pub fn with_copy() -> Self {
        let mut story = Self::default();
        story.begin();
        story
    }

    fn begin(&mut self) {
        let source = json!({"metadata": {"uid": "source"}, "data": {"a": "1"}});
        self.put(Kind::ConfigMap, &NamespacedName::new("central", "shared"), source);
        self.sync_created("1", "sync");
        self.create_copy("app");
    }

    /// As [`Story::with_copy`], made by a leader that is announced.
    pub fn led_by(pod: &str) -> Self {
        let mut story = Self::default();
        story.publish_leader(pod, 1);
        story.begin();
        story.by_pod(pod);
        story
    }

    /// Another pod leads from now on.
    pub fn publish_leader(&mut self, pod: &str, term: u64) {
        let spec = json!({"podUID": pod, "holder": format!("{term}_{pod}"), "term": term});
        let leader = json!({"metadata": {"uid": "leader"}, "spec": spec});
        self.put(Kind::Leader, &leadership_at(), leader);
    }

    /// The Lease is acquired or renewed.
    pub fn lease(&mut self, pod: &str) {
        let lease = json!({"metadata": {"uid": "lease"}, "spec": {"holderIdentity": pod}});
        self.put(Kind::Lease, &leadership_at(), lease);
    }

    /// The last request was sent by this pod.
    pub fn by_pod(&mut self, pod: &str) {
        let extra = [("authentication.kubernetes.io/pod-uid".to_owned(), vec![pod.to_owned()])];
        self.events.last_mut().unwrap().user.extra = extra.into();
    }

    /// The last request was answered so many seconds after the beginning of all time.
    pub fn answered_at(&mut self, second: i64) {
        let event = self.events.last_mut().unwrap();
        event.stage_timestamp.0 = Timestamp::from_second(second).unwrap();
    }

    pub fn sync_created(&mut self, uid: &str, name: &str) {
        let sync = json!({
            "metadata": {"uid": uid, "generation": 1},
            "spec": {
                "sourceNamespace": "central",
                "configMapName": "shared",
                "destinationNamespace": "app",
            },
            "status": {
                "observedGeneration": 1,
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        });
        self.put(Kind::Sync, &NamespacedName::new("central", name), sync);
    }

    /// We create the copy, with the data that the source has now.
    pub fn create_copy(&mut self, namespace: &str) {
        let at = NamespacedName::new(namespace, "shared");
        let source = NamespacedName::new("central", "shared");
        let source = self.history().at(Kind::ConfigMap, &source, self.revision).unwrap().clone();
        let copy = json!({
            "metadata": {
                "uid": format!("copy-{}", self.revision),
                "labels": {(names::LABEL_SYNC_UID): "1"},
                "annotations": {
                    (names::ANNOTATION_SYNC): "central/sync",
                    (names::ANNOTATION_COPY): at.to_string(),
                    (names::ANNOTATION_CREATED): "true",
                },
            },
            "data": source["data"],
        });
        self.put(Kind::ConfigMap, &at, copy);
        let answer = self.changes.last().unwrap().object.clone();
        self.event("create", &at, &Value::Null, &answer);
    }

    pub fn clone_copy(&mut self, namespace: &str) {
        let copy = self.copy();
        self.put(Kind::ConfigMap, &NamespacedName::new(namespace, "shared"), copy);
    }

    pub fn copy(&self) -> Value {
        self.history().at(Kind::ConfigMap, &copy_at(), self.revision).unwrap().clone()
    }

    /// We patch the copy.
    pub fn patch_copy(&mut self, edit: impl Fn(&mut Value)) {
        let mut copy = self.copy();
        let seen = copy["metadata"]["resourceVersion"].clone();
        let before = copy.clone();
        edit(&mut copy);
        if copy != before {
            self.put(Kind::ConfigMap, &copy_at(), copy);
            self.patched(&seen);
        }
    }

    pub fn patch_copy_to_the_same(&mut self) {
        let copy = self.copy();
        self.put(Kind::ConfigMap, &copy_at(), copy.clone());
        self.patched(&copy["metadata"]["resourceVersion"]);
    }

    pub fn patch_without_effect(&mut self) {
        let seen = self.copy()["metadata"]["resourceVersion"].clone();
        self.patched(&seen);
    }

    /// We delete the copy.
    pub fn delete_copy(&mut self) {
        let uid = self.copy()["metadata"]["uid"].clone();
        self.somebody_deletes_copy();
        self.event("delete", &copy_at(), &Value::Null, &json!({"details": {"uid": uid}}));
    }

    pub fn somebody_deletes_copy(&mut self) {
        let copy = self.copy();
        self.gone(Kind::ConfigMap, &copy_at(), copy);
    }

    pub fn somebody_edits_copy(&mut self, edit: impl Fn(&mut Value)) {
        self.edit(Kind::ConfigMap, &copy_at(), edit);
    }

    pub fn edit_source(&mut self, edit: impl Fn(&mut Value)) {
        self.edit(Kind::ConfigMap, &NamespacedName::new("central", "shared"), edit);
    }

    pub fn edit_sync(&mut self, edit: impl Fn(&mut Value)) {
        self.edit(Kind::Sync, &sync_at(), edit);
    }

    pub fn sync_gone(&mut self) {
        let sync = self.history().at(Kind::Sync, &sync_at(), self.revision).unwrap().clone();
        self.gone(Kind::Sync, &sync_at(), sync);
    }

    pub fn refused_patch(&mut self) {
        self.event("patch", &copy_at(), &Value::Null, &Value::Null);
        self.events.last_mut().unwrap().response_status.code = 409;
    }

    pub fn forget_events(&mut self) {
        self.events.clear();
    }

    pub fn history(&self) -> History {
        History::new(self.changes.clone())
    }

    /// What an oracle says about it.
    pub fn violations(
        &self,
        oracle: impl Fn(&History, &[Write<'_>]) -> Vec<String>,
    ) -> Vec<String> {
        let history = self.history();
        oracle(&history, &accepted_write::successes(&history, &self.events))
    }

    fn edit(&mut self, kind: Kind, at: &NamespacedName, edit: impl Fn(&mut Value)) {
        let mut object = self.history().at(kind, at, self.revision).unwrap().clone();
        edit(&mut object);
        self.put(kind, at, object);
    }

    fn put(&mut self, kind: Kind, at: &NamespacedName, object: Value) {
        self.change(kind, at, object, false);
    }

    fn gone(&mut self, kind: Kind, at: &NamespacedName, object: Value) {
        self.change(kind, at, object, true);
    }

    fn change(&mut self, kind: Kind, at: &NamespacedName, mut object: Value, gone: bool) {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let (at, revision) = (at.clone(), self.revision);
        self.changes.push(Change { kind, at, revision, object, gone, listed: false });
    }

    fn patched(&mut self, seen: &Value) {
        let copy = self.copy();
        let only_if = json!([{"path": "/metadata/resourceVersion", "value": seen}]);
        self.event("patch", &copy_at(), &only_if, &copy);
    }

    fn event(&mut self, verb: &str, at: &NamespacedName, sent: &Value, answered: &Value) {
        let event = json!({
            "stage": "ResponseComplete",
            "verb": verb,
            "requestURI": "/",
            "user": {"username": OPERATOR_USER},
            "objectRef": {
                "resource": "configmaps",
                "namespace": at.namespace,
                "name": at.name,
            },
            "responseStatus": {"code": 200},
            "requestObject": sent,
            "responseObject": answered,
            "requestReceivedTimestamp": "2026-01-02T03:04:05.000006Z",
            "stageTimestamp": "2026-01-02T03:04:05.000007Z",
        });
        self.events.push(serde_json::from_value(event).unwrap());
    }
}
