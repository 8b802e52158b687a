//! A `ConfigMapSync` whose copy cannot be created: first the namespace is missing, then a policy refuses.

use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use configmapsync::api::ConfigMapSync;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicy;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use kube::Client;
use kube::api::DeleteParams;
use kube::api::PostParams;
use serde_json::json;
use testbed::terminal::Done;
use testbed::terminal::Screen;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::samples::CONFIG_MAP;
use crate::samples::COPY_NAMESPACE;
use crate::samples::SOURCE_NAMESPACE;

/// The name of the `ConfigMapSync`.
pub const NAME: &str = "refused-sync";
/// The namespace of the copy.
pub const DESTINATION: &str = "closed-namespace";
/// The name of the policy and of its binding.
const POLICY: &str = "configmapsync-demo";
/// The time limit for a change of the status, which includes the delays between attempts.
const DEADLINE: Duration = Duration::from_mins(1);

/// Shows why the `ConfigMapSync` is not Ready, and that it is as soon as nothing prevents it. Returns the
/// id of the trace of the refusal, empty without Jaeger.
pub async fn show(screen: &Screen, client: &Client) -> Result<String> {
    let syncs = Api::<ConfigMapSync>::namespaced(client.clone(), "default");
    let missing = async {
        let sync = serde_json::from_value(json!({
            "metadata": {"name": NAME},
            "spec": {
                "sourceNamespace": SOURCE_NAMESPACE,
                "configMapName": CONFIG_MAP,
                "destinationNamespace": DESTINATION,
            },
        }))?;
        let created = syncs.create(&PostParams::default(), &sync).await;
        created.with_context(|| format!("creating ConfigMapSync {NAME}"))?;
        let (_, message) = wait_reason(&syncs, "DestinationNamespaceNotFound").await?;
        Ok(Done::new((), message))
    };
    screen.step("ConfigMapSync to a missing namespace", missing).await?;
    let refused = async {
        create_policy(client).await?;
        let namespace = serde_json::from_value(json!({"metadata": {"name": DESTINATION}}))?;
        let namespaces = Api::<Namespace>::all(client.clone());
        let created = namespaces.create(&PostParams::default(), &namespace).await;
        created.with_context(|| format!("creating namespace {DESTINATION}"))?;
        let (trace, message) = wait_reason(&syncs, "Forbidden").await?;
        Ok(Done::new(trace, message))
    };
    let trace = screen.step("namespace created, a policy refuses", refused).await?;
    let synced = async {
        let began = Instant::now();
        delete_policy(client).await?;
        wait_reason(&syncs, "Synced").await?;
        let took = began.elapsed();
        let deleted = syncs.delete(NAME, &DeleteParams::default()).await;
        deleted.with_context(|| format!("deleting ConfigMapSync {NAME}"))?;
        Ok(Done::new((), "retried with exponential backoff").took(took))
    };
    screen.step("policy removed, copy created", synced).await?;
    Ok(trace)
}

/// Waits until the condition Ready has this reason. Returns `lastFailureTraceID` and the message.
async fn wait_reason(syncs: &Api<ConfigMapSync>, reason: &str) -> Result<(String, String)> {
    until(format!("ConfigMapSync {NAME} has the reason {reason}"), DEADLINE, || async {
        let status = syncs.get(NAME).await?.status.unwrap_or_default();
        let ready = status.conditions.iter().find(|it| it.type_ == "Ready" && it.reason == reason);
        let trace = status.last_failure_trace_id.clone().unwrap_or_default();
        let found = ready.map(|ready| (trace, ready.message.clone()));
        Ok(Seen::from_option(found, || format!("{status:?}")))
    })
    .await
}

/// Creates a policy that refuses the copy, and waits until it is enforced.
async fn create_policy(client: &Client) -> Result<()> {
    let rule = json!({
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["configmaps"],
    });
    let namespaces = [DESTINATION, COPY_NAMESPACE];
    let label =
        json!({"key": "kubernetes.io/metadata.name", "operator": "In", "values": namespaces});
    let selector = json!({"matchExpressions": [label]});
    let is_copy = format!("object.metadata.name == '{CONFIG_MAP}'");
    let policy = json!({
        "matchConstraints": {"namespaceSelector": selector, "resourceRules": [rule]},
        "matchConditions": [{"name": "copy", "expression": is_copy}],
        "validations": [{"expression": "false", "message": "ask the team of this namespace first"}],
    });
    let binding = json!({"policyName": POLICY, "validationActions": ["Deny"]});
    let metadata = json!({"name": POLICY});
    let policy = serde_json::from_value(json!({"metadata": metadata, "spec": policy}))?;
    let policies = Api::<ValidatingAdmissionPolicy>::all(client.clone());
    let created = policies.create(&PostParams::default(), &policy).await;
    created.with_context(|| format!("creating ValidatingAdmissionPolicy {POLICY}"))?;
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client.clone());
    let binding = serde_json::from_value(json!({"metadata": metadata, "spec": binding}))?;
    let created = bindings.create(&PostParams::default(), &binding).await;
    created.with_context(|| format!("creating ValidatingAdmissionPolicyBinding {POLICY}"))?;
    wait_enforced(client).await
}

/// Waits until the API server enforces the policy: it refuses a dry run in a namespace that exists.
async fn wait_enforced(client: &Client) -> Result<()> {
    let maps = Api::<ConfigMap>::namespaced(client.clone(), COPY_NAMESPACE);
    let copy = serde_json::from_value(json!({"metadata": {"name": CONFIG_MAP}}))?;
    let dry_run = PostParams { dry_run: true, ..PostParams::default() };
    until(format!("the API server enforces the policy {POLICY}"), DEADLINE, || async {
        let response = maps.create(&dry_run, &copy).await;
        Ok(Seen::from_bool(response.is_err(), || format!("{response:?}")))
    })
    .await
}

/// Deletes the policy, if it exists.
pub async fn delete_policy(client: &Client) -> Result<()> {
    let bindings = Api::<ValidatingAdmissionPolicyBinding>::all(client.clone());
    let policies = Api::<ValidatingAdmissionPolicy>::all(client.clone());
    let results = [
        bindings.delete(POLICY, &DeleteParams::default()).await.map(drop),
        policies.delete(POLICY, &DeleteParams::default()).await.map(drop),
    ];
    for result in results {
        match result {
            Err(kube::Error::Api(status)) if status.code == 404 => {}
            result => result.with_context(|| format!("deleting the policy {POLICY}"))?,
        }
    }
    Ok(())
}
