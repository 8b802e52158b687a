//! The kubelet: makes pods out of what the API server says.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::Node;
use kube::Api;
use kube::Client;
use serde_json::Value;
use serde_json::json;

use crate::control_plane::ControlPlane;
use crate::environment::Environment;
use crate::node::runtime;
use crate::process::Process;
use crate::wait::Seen;
use crate::wait::until;

/// The name of the node.
pub(super) const NAME: &str = "node";
const READY: Duration = Duration::from_mins(2);

pub(super) fn start(
    environment: &Environment<'_>,
    control_plane: &ControlPlane,
) -> Result<Process> {
    let user = format!("system:node:{NAME}");
    let kubeconfig = environment.kubeconfig(control_plane, "kubelet", &user, &["system:nodes"])?;
    let settings =
        environment.write("kubelet.json", &settings(environment, control_plane).to_string())?;
    environment
        .program("kubelet")?
        .argument(format!("--kubeconfig={}", kubeconfig.display()))
        .argument(format!("--config={}", settings.display()))
        .argument(format!("--hostname-override={NAME}"))
        .argument(format!("--node-ip={}", environment.sandbox.network().inside))
        .start()
}

/// Waits until the node is ready; `needed` must run meanwhile.
pub(super) async fn wait_ready(client: &Client, needed: &[&Process]) -> Result<()> {
    let nodes = Api::<Node>::all(client.clone());
    until("the node is ready", READY, || async {
        for process in needed {
            process.expect_running()?;
        }
        let Some(node) = nodes.get_opt(NAME).await? else {
            return Ok(Seen::NotYet("the kubelet has not registered it".to_owned()));
        };
        let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
        let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready");
        Ok(Seen::from_bool(ready.as_ref().is_some_and(|ready| ready.status == "True"), || {
            ready.and_then(|ready| ready.message).unwrap_or_else(|| "no word of it".to_owned())
        }))
    })
    .await
}

fn settings(environment: &Environment<'_>, control_plane: &ControlPlane) -> Value {
    json!({
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "containerRuntimeEndpoint": format!("unix://{}", runtime::SOCKET),
        // Clients with a certificate of this cluster: the API server.
        "authentication": {
            "anonymous": {"enabled": false},
            "webhook": {"enabled": false},
            "x509": {"clientCAFile": control_plane.authority().certificate()},
        },
        "authorization": {"mode": "AlwaysAllow"},
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": format!("/{}", environment.sandbox.control_group()),
        "enforceNodeAllocatable": [],
        "failCgroupV1": false,
        "failSwapOn": false,
        // The disk and memory usage of the machine must not evict pods.
        "evictionHard": {
            "memory.available": "1Mi",
            "nodefs.available": "0%",
            "nodefs.inodesFree": "0%",
            "imagefs.available": "0%",
        },
        "imageGCHighThresholdPercent": 100,
        // There is no name server: lookups in pods fail without delay.
        "clusterDNS": ["127.0.0.1"],
        "resolvConf": "",
        "volumePluginDir": "/var/lib/kubelet/volume-plugins",
    })
}
