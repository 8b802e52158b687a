//! The status of a container, as a kubelet writes it: replicas are plain processes, without a kubelet.

use anyhow::Context;
use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::Client;
use kube::api::Patch;
use kube::api::PatchParams;
use serde_json::Value;
use serde_json::json;
use testbed::accounts::OPERATOR;

/// Writes the status of one container of a pod of the operator.
pub async fn show(client: Client, pod: &str, container: &Value) -> Result<()> {
    let pods = Api::<Pod>::namespaced(client, OPERATOR);
    let patch = json!({"status": {"phase": "Running", "containerStatuses": [container]}});
    let patched = pods.patch_status(pod, &PatchParams::default(), &Patch::Merge(patch)).await;
    patched.with_context(|| format!("writing the status of pod {pod}"))?;
    Ok(())
}

/// The status of the container `name`, with its `state` and `lastState`.
#[must_use]
pub fn container(name: &str, state: &Value, last_state: &Value) -> Value {
    json!({
        "name": name,
        "image": OPERATOR,
        "imageID": OPERATOR,
        "ready": false,
        "restartCount": 1,
        "state": state,
        "lastState": last_state,
    })
}

/// The state of a container that was killed, and left this termination message.
#[must_use]
pub fn terminated(reason: &str, message: &str) -> Value {
    json!({"terminated": {"exitCode": 137, "reason": reason, "message": message}})
}
