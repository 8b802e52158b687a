//! Histories for unit tests: a source `central/shared`, the `ConfigMapSync` `central/sync`, its copy
//! `app/shared`, and changes of them.

use configmapsync::api::namespaced_name::NamespacedName;
use configmapsync::names;
use k8s_openapi::jiff::SignedDuration;
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

/// A history under construction, and the operator's requests in it.
#[derive(Default)]
pub struct SampleHistory {
    changes: Vec<Change>,
    pub events: Vec<Event>,
    revision: u64,
}

/// Removes the ownership markers of a copy.
pub fn remove_markers(copy: &mut Value) {
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

impl SampleHistory {
    /// Source, `ConfigMapSync` and copy, all Ready.
    pub fn with_copy() -> Self {
        let mut sample = Self::default();
        sample.create_all();
        sample
    }

    fn create_all(&mut self) {
        let source = json!({"metadata": {"uid": "source"}, "data": {"a": "1"}});
        self.put(Kind::ConfigMap, &NamespacedName::new("central", "shared"), source);
        self.create_sync("1", "sync");
        self.create_copy("app");
    }

    /// As [`SampleHistory::with_copy`], created by a leader with a leader record.
    pub fn with_leader(pod: &str) -> Self {
        let mut sample = Self::default();
        sample.publish_leader(pod, 1);
        sample.create_all();
        sample.sent_by(pod);
        sample
    }

    /// Publishes a leader record: `pod` leads from now on.
    pub fn publish_leader(&mut self, pod: &str, term: u64) {
        let spec = json!({"podUID": pod, "holder": format!("{term}_{pod}"), "term": term});
        let leader = json!({"metadata": {"uid": "leader"}, "spec": spec});
        self.put(Kind::Leader, &leadership_at(), leader);
    }

    /// Acquires or renews the Lease for `pod`.
    pub fn lease(&mut self, pod: &str) {
        let lease = json!({"metadata": {"uid": "lease"}, "spec": {"holderIdentity": pod}});
        self.put(Kind::Lease, &leadership_at(), lease);
    }

    /// Sets the pod that sent the last request.
    pub fn sent_by(&mut self, pod: &str) {
        let extra = [("authentication.kubernetes.io/pod-uid".to_owned(), vec![pod.to_owned()])];
        self.events.last_mut().unwrap().user.extra = extra.into();
    }

    /// Sets the time of the response to the last request, in seconds since 1970.
    pub fn responded_at(&mut self, second: i64) {
        let event = self.events.last_mut().unwrap();
        event.stage_timestamp.0 = Timestamp::from_second(second).unwrap();
    }

    pub fn create_sync(&mut self, uid: &str, name: &str) {
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

    /// Creates the `ConfigMapSync` `central/sync`, suspended.
    pub fn create_suspended_sync(&mut self, uid: &str) {
        self.create_sync(uid, "sync");
        let mut sync = self.changes.last().unwrap().object.clone();
        sync["status"]["conditions"] = json!([{"type": "Ready", "status": "False"}]);
        self.put(Kind::Sync, &sync_at(), sync);
    }

    /// The operator creates the copy, with the current data of the source.
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
        let response = self.changes.last().unwrap().object.clone();
        self.event("create", &at, &Value::Null, &response);
    }

    pub fn clone_copy(&mut self, namespace: &str) {
        let copy = self.copy();
        self.put(Kind::ConfigMap, &NamespacedName::new(namespace, "shared"), copy);
    }

    pub fn copy(&self) -> Value {
        self.history().at(Kind::ConfigMap, &copy_at(), self.revision).unwrap().clone()
    }

    /// The operator patches the copy, unless `edit` changes nothing.
    pub fn patch_copy(&mut self, edit: impl Fn(&mut Value)) {
        let mut copy = self.copy();
        let precondition = copy["metadata"]["resourceVersion"].clone();
        let before = copy.clone();
        edit(&mut copy);
        if copy != before {
            self.put(Kind::ConfigMap, &copy_at(), copy);
            self.patched(&precondition);
        }
    }

    pub fn patch_copy_to_equal_content(&mut self) {
        let copy = self.copy();
        self.put(Kind::ConfigMap, &copy_at(), copy.clone());
        self.patched(&copy["metadata"]["resourceVersion"]);
    }

    pub fn patch_without_new_version(&mut self) {
        let precondition = self.copy()["metadata"]["resourceVersion"].clone();
        self.patched(&precondition);
    }

    /// The operator patches the copy to `data`, and it stays as it was.
    pub fn patch_data_without_new_version(&mut self, data: &Value) {
        self.patch_without_new_version();
        let event = self.events.last_mut().unwrap();
        let operations = event.request_object.as_mut().and_then(Value::as_array_mut).unwrap();
        operations.push(json!({"path": "/data", "value": data}));
    }

    /// The operator reads the source, so many seconds before its other requests.
    pub fn read_source(&mut self, code: u16, seconds: i64) {
        let at = NamespacedName::new("central", "shared");
        self.event("get", &at, &Value::Null, &Value::Null);
        let event = self.events.last_mut().unwrap();
        event.response_status.code = code;
        event.stage_timestamp.0 -= SignedDuration::from_secs(seconds);
    }

    /// The operator deletes the copy.
    pub fn delete_copy(&mut self) {
        let uid = self.copy()["metadata"]["uid"].clone();
        self.user_deletes_copy();
        self.event("delete", &copy_at(), &Value::Null, &json!({"details": {"uid": uid}}));
    }

    pub fn user_deletes_copy(&mut self) {
        let copy = self.copy();
        self.deleted(Kind::ConfigMap, &copy_at(), copy);
    }

    pub fn user_edits_copy(&mut self, edit: impl Fn(&mut Value)) {
        self.edit(Kind::ConfigMap, &copy_at(), edit);
    }

    pub fn edit_source(&mut self, edit: impl Fn(&mut Value)) {
        self.edit(Kind::ConfigMap, &NamespacedName::new("central", "shared"), edit);
    }

    pub fn edit_sync(&mut self, edit: impl Fn(&mut Value)) {
        self.edit(Kind::Sync, &sync_at(), edit);
    }

    pub fn delete_sync(&mut self) {
        let sync = self.history().at(Kind::Sync, &sync_at(), self.revision).unwrap().clone();
        self.deleted(Kind::Sync, &sync_at(), sync);
    }

    pub fn refused_patch(&mut self) {
        self.event("patch", &copy_at(), &Value::Null, &Value::Null);
        self.events.last_mut().unwrap().response_status.code = 409;
    }

    pub fn clear_events(&mut self) {
        self.events.clear();
    }

    pub fn history(&self) -> History {
        History::new(self.changes.clone())
    }

    /// The violations that `oracle` finds.
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

    fn deleted(&mut self, kind: Kind, at: &NamespacedName, object: Value) {
        self.change(kind, at, object, true);
    }

    fn change(&mut self, kind: Kind, at: &NamespacedName, mut object: Value, deleted: bool) {
        self.revision += 1;
        object["metadata"]["resourceVersion"] = self.revision.to_string().into();
        let (at, revision) = (at.clone(), self.revision);
        self.changes.push(Change { kind, at, revision, object, deleted, listed: false });
    }

    fn patched(&mut self, precondition: &Value) {
        let copy = self.copy();
        let patch = json!([{"path": "/metadata/resourceVersion", "value": precondition}]);
        self.event("patch", &copy_at(), &patch, &copy);
    }

    fn event(&mut self, verb: &str, at: &NamespacedName, request: &Value, response: &Value) {
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
            "requestObject": request,
            "responseObject": response,
            "requestReceivedTimestamp": "2026-01-02T03:04:05.000006Z",
            "stageTimestamp": "2026-01-02T03:04:05.000007Z",
        });
        self.events.push(serde_json::from_value(event).unwrap());
    }
}
