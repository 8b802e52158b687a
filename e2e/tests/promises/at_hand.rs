//! What several promises are shown with.

use std::collections::BTreeMap;
use std::env;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use configmapsync::api::ConfigMapSync;
use harness::audit_queries::writes_by_operator;
use harness::fixture::Fixture;
use harness::fixture::SOON;
use harness::operator_cluster::OperatorCluster;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::DeleteParams;
use kube::api::ListParams;
use kube::api::Patch;
use kube::api::PatchParams;
use kube::api::PostParams;
use serde_json::Value;
use serde_json::json;
use testbed::audit::Event;
use testbed::control_plane::ControlPlane;
use testbed::wait::Seen;
use testbed::wait::until;

/// "Copy data edited: restored within 5 seconds", "a namespace that shows up, or whose labels change:
/// within 5 seconds", and a source is followed no later. Three times that where other tests run
/// beside; what a watch did not tell would be found out after an hour.
pub fn followed() -> Duration {
    size(Duration::from_secs(15), Duration::from_secs(5))
}

/// Published by Kubernetes in every namespace, so that there is always something to try a write on.
const ALWAYS_THERE: &str = "kube-root-ca.crt";

/// What a test takes as its size: the promise's own with `E2E_FULL=1`, otherwise a smaller one.
pub fn size<T>(small: T, full: T) -> T {
    if env::var_os("E2E_FULL").is_some_and(|value| value == "1") { full } else { small }
}

/// Creates a `ConfigMap` as it is written in JSON.
pub async fn create(fixture: &Fixture, config_map: Value) -> Result<ConfigMap> {
    let config_map: ConfigMap = serde_json::from_value(config_map)?;
    let namespace = config_map.metadata.namespace.clone().context("no namespace")?;
    let api = Api::<ConfigMap>::namespaced(fixture.client(), &namespace);
    let created = api.create(&PostParams::default(), &config_map).await;
    created.with_context(|| format!("creating {:?}", config_map.metadata.name))
}

/// Creates a `ConfigMap` in a namespace that has come back: for a moment, the API server may still
/// take it for the one that went, and refuse.
pub async fn create_where_it_came_back(
    fixture: &Fixture,
    namespace: &str,
    name: &str,
    data: &[(&str, &str)],
) -> Result<ConfigMap> {
    until(format!("{namespace}/{name} can be created"), SOON, || async {
        match fixture.create_config_map(namespace, name, data).await {
            Ok(created) => Ok(Seen::Done(created)),
            Err(error) if says_terminating(&error) => Ok(Seen::NotYet(format!("{error:#}"))),
            Err(error) => Err(error),
        }
    })
    .await
}

fn says_terminating(error: &anyhow::Error) -> bool {
    let Some(kube::Error::Api(status)) = error.downcast_ref::<kube::Error>() else { return false };
    status.code == 403 && status.message.contains("is being terminated")
}

/// What the operator did, or tried to do, to ConfigMaps.
pub fn copy_writes(events: &[Event]) -> Vec<&Event> {
    let writes = writes_by_operator(events).into_iter();
    writes.filter(|event| event.resource() == "configmaps").collect()
}

/// Verb and namespace of each, in order.
pub fn short<'a>(events: &[&'a Event]) -> Vec<(&'a str, &'a str)> {
    events.iter().map(|event| (event.verb.as_str(), event.namespace())).collect()
}

/// Whether the API server has answered a write so late that the round ended without the answer: then
/// it may have been told as under way, and again when it was answered.
pub fn was_answered_late(world: &OperatorCluster) -> bool {
    let is_late = |line: &Value| line["message"] == "not waiting for what answers late";
    world.replicas.iter().any(|replica| replica.logs().iter().any(is_late))
}

/// Reason and message of the condition `Ready`.
pub fn ready(sync: &ConfigMapSync) -> (String, String) {
    let conditions = sync.status.iter().flat_map(|status| &status.conditions);
    let mut ready = conditions.filter(|condition| condition.type_ == "Ready");
    let found = ready.next().map(|ready| (ready.reason.clone(), ready.message.clone()));
    found.unwrap_or_default()
}

/// Waits until all ConfigMapSyncs of a namespace are as wanted, by their names.
pub async fn wait_syncs<T>(
    fixture: &Fixture,
    namespace: &str,
    what: &str,
    deadline: Duration,
    look: impl Fn(&BTreeMap<String, ConfigMapSync>) -> Seen<T>,
) -> Result<T> {
    let api = Api::<ConfigMapSync>::namespaced(fixture.client(), namespace);
    until(what, deadline, || async {
        let listed = api.list(&ListParams::default()).await?.items.into_iter();
        let syncs = listed.map(|sync| (sync.metadata.name.clone().unwrap_or_default(), sync));
        Ok(look(&syncs.collect()))
    })
    .await
}

/// An admission policy that refuses ConfigMaps in one namespace.
pub struct Refusal<'a> {
    control_plane: &'a ControlPlane,
    namespace: String,
    operation: &'static str,
}

impl<'a> Refusal<'a> {
    /// Refuses `CREATE`, `UPDATE` or `DELETE`, for anybody, as invalid (422). Returns when it does.
    pub async fn begin(
        control_plane: &'a ControlPlane,
        namespace: &str,
        operation: &'static str,
    ) -> Result<Self> {
        let refusal = Self { control_plane, namespace: namespace.to_owned(), operation };
        let version = "admissionregistration.k8s.io/v1";
        let kind = "ValidatingAdmissionPolicy";
        let metadata = json!({"name": refusal.name()});
        let rule = json!({
            "apiGroups": [""],
            "apiVersions": ["v1"],
            "operations": [operation],
            "resources": ["configmaps"],
        });
        let here = format!("request.namespace == '{namespace}'");
        let policy = json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": {
            "matchConstraints": {"resourceRules": [rule]},
            "matchConditions": [{"name": "here", "expression": here}],
            "validations": [{"expression": "false", "message": "refused by a policy"}],
        }});
        control_plane.apply(policy).await?;
        let kind = "ValidatingAdmissionPolicyBinding";
        let spec = json!({"policyName": refusal.name(), "validationActions": ["Deny"]});
        let binding =
            json!({"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec});
        control_plane.apply(binding).await?;
        refusal.wait(true).await?;
        Ok(refusal)
    }

    /// Refuses no more. Returns when it no longer does.
    pub async fn end(self) -> Result<()> {
        use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
        use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
        let client = self.control_plane.client();
        let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client.clone());
        bindings.delete(&self.name(), &DeleteParams::default()).await?;
        let policies = Api::<ValidatingAdmissionPolicy>::all(client);
        policies.delete(&self.name(), &DeleteParams::default()).await?;
        self.wait(false).await
    }

    fn name(&self) -> String {
        format!("e2e-{}-{}", self.namespace, self.operation.to_lowercase())
    }

    async fn wait(&self, refused: bool) -> Result<()> {
        let what = format!("{} in {} is refused: {refused}", self.operation, self.namespace);
        until(what, SOON, || async {
            let said = self.probe().await;
            let seen = said.as_ref().is_err_and(|said| said.contains("refused by a policy"));
            Ok(Seen::from_bool(seen == refused, || format!("{said:?}")))
        })
        .await
    }

    /// Tries it, for show.
    async fn probe(&self) -> Result<(), String> {
        let maps = Api::<ConfigMap>::namespaced(self.control_plane.client(), &self.namespace);
        let post = PostParams { dry_run: true, ..PostParams::default() };
        let patch = PatchParams { dry_run: true, ..PatchParams::default() };
        let label = Patch::Merge(json!({"metadata": {"labels": {"probe": "1"}}}));
        let named = json!({"metadata": {"name": "e2e-probe"}});
        let named = serde_json::from_value(named).map_err(|error| error.to_string())?;
        let answer = match self.operation {
            "CREATE" => maps.create(&post, &named).await.map(drop),
            "UPDATE" => maps.patch(ALWAYS_THERE, &patch, &label).await.map(drop),
            _ => maps.delete(ALWAYS_THERE, &DeleteParams::default().dry_run()).await.map(drop),
        };
        answer.map_err(|error| error.to_string())
    }
}
