//! Proof that the process that holds the Lease has ended.
//!
//! The first process of a container writes its holder identity as the message with which its container
//! ends. If the status of its pod has a terminated container with this message, the process has
//! ended, and the Lease can be acquired without waiting until it has expired. The leader record must
//! name this process, too: otherwise an earlier leader may not know yet that a user deleted its Lease.
//!
//! Nothing else is proof: not a restart, a missing pod, a node that is unreachable, or a message that is
//! empty or another. `tests/election_model` shows how two replicas write at a time if it were.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use k8s_openapi::api::core::v1::ContainerState;
use k8s_openapi::api::core::v1::ContainerStateTerminated;
use k8s_openapi::api::core::v1::ContainerStatus;
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::rbac::v1::PolicyRule;
use kube::Api;
use kube::Client;
use tokio::time::timeout;

use crate::access::rule;
use crate::election::identity::HolderPod;
use crate::election::lease::CALL_TIMEOUT;
use crate::election::lease::timed_out;
use crate::kubernetes::error::explain;
use crate::names;

/// The kubelet or the container runtime has lost the container, and cannot know how its process ended.
const LOST_CONTAINER: [&str; 2] = ["ContainerStatusUnknown", "Unknown"];

/// Reads the pods of holders.
pub struct EndedHolders {
    pods: Api<Pod>,
    /// Set once a failed read is logged.
    is_reported: AtomicBool,
}

// === impl EndedHolders ===

impl EndedHolders {
    /// Reads pods in `namespace` through `client`.
    #[must_use]
    pub fn new(client: Client, namespace: &str) -> Self {
        Self { pods: Api::namespaced(client, namespace), is_reported: AtomicBool::new(false) }
    }

    /// Whether the process that holds a Lease as `holder` has ended, as one read of its pod proves. False
    /// also if the read fails: the first failure is logged.
    pub async fn has_ended(&self, holder: &str) -> bool {
        let Some(HolderPod { name, .. }) = HolderPod::of(holder) else { return false };
        let why = match timeout(CALL_TIMEOUT, self.pods.get_opt(&name)).await {
            Ok(Ok(pod)) => return pod.is_some_and(|pod| proves_end(&pod, holder)),
            Ok(Err(error)) => explain(&error),
            Err(_) => timed_out(),
        };
        if !self.is_reported.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                error = why,
                "cannot read pod {name}, whose process holds the Lease; if that process crashes, a \
                 standby takes over only when the Lease has expired: check the operator's permission \
                 to get pods in its namespace"
            );
        }
        false
    }
}

/// Whether `pod` is the pod of `holder`, and shows that the process with this identity has ended.
fn proves_end(pod: &Pod, holder: &str) -> bool {
    let Some(HolderPod { name, uid }) = HolderPod::of(holder) else { return false };
    let is_its_pod = (&pod.metadata.name, &pod.metadata.uid) == (&Some(name), &Some(uid));
    let containers = pod.status.as_ref().and_then(|it| it.container_statuses.as_deref());
    let ours = containers.unwrap_or_default().iter().filter(|it| it.name == names::CONTAINER);
    let mut ended = ours.flat_map(terminations);
    is_its_pod && ended.any(|it| is_end_of(it, holder))
}

/// How the container ended, now and before its last restart.
fn terminations(container: &ContainerStatus) -> impl Iterator<Item = &ContainerStateTerminated> {
    let states: [Option<&ContainerState>; 2] =
        [container.state.as_ref(), container.last_state.as_ref()];
    states.into_iter().flatten().filter_map(|state| state.terminated.as_ref())
}

fn is_end_of(terminated: &ContainerStateTerminated, holder: &str) -> bool {
    let is_lost = terminated.reason.as_deref().is_some_and(|it| LOST_CONTAINER.contains(&it));
    !is_lost && terminated.message.as_deref() == Some(holder)
}

/// Permissions on the pods of the operator, in its namespace. Their names are not known in advance.
#[must_use]
pub fn access() -> Vec<PolicyRule> {
    vec![rule("", "pods", &["get", "watch"])]
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::*;

    const HOLDER: &str = "operator-0_00000007_1b4e28ba-2fa1-11d2-883f-0016d3cca427";
    const EARLIER: &str = "operator-0_00000006_1b4e28ba-2fa1-11d2-883f-0016d3cca427";

    fn pod(name: &str, uid: &str, status: &Value) -> Pod {
        let metadata = json!({"name": name, "uid": uid});
        serde_json::from_value(json!({"metadata": metadata, "status": status})).unwrap()
    }

    fn container(name: &str, state: &Value, last_state: &Value) -> Value {
        json!({
            "name": name, "image": "i", "imageID": "i", "ready": false, "restartCount": 1,
            "state": state, "lastState": last_state,
        })
    }

    fn terminated(message: &str, reason: &str) -> Value {
        json!({"terminated": {"exitCode": 137, "message": message, "reason": reason}})
    }

    /// Whether the status of the container with this name and these states is proof.
    fn proves(name: &str, state: &Value, last_state: &Value) -> bool {
        let container = container(name, state, last_state);
        is_proof(&json!({"containerStatuses": [container]}))
    }

    fn is_proof(status: &Value) -> bool {
        let pod = pod("operator-0", "1b4e28ba-2fa1-11d2-883f-0016d3cca427", status);
        proves_end(&pod, HOLDER)
    }

    #[test]
    fn a_terminated_container_with_the_identity_is_proof() {
        let running = json!({"running": {}});
        let ended = terminated(HOLDER, "Error");
        assert!(proves("operator", &ended, &json!({})));
        assert!(proves("operator", &running, &ended));
        assert!(proves("operator", &json!({"waiting": {"reason": "CrashLoopBackOff"}}), &ended));
        assert!(proves("operator", &terminated("", "Error"), &ended));
        assert!(proves("operator", &terminated(HOLDER, "OOMKilled"), &json!({})));
    }

    #[test]
    fn any_other_state_is_no_proof() {
        let (none, running) = (json!({}), json!({"running": {}}));
        for state in [
            none.clone(),
            running.clone(),
            json!({"waiting": {"reason": "CrashLoopBackOff", "message": HOLDER}}),
            json!({"terminated": {"exitCode": 137, "reason": "Error"}}),
            terminated("", "Error"),
            terminated(EARLIER, "Error"),
            terminated(&format!("{HOLDER}\n"), "Error"),
            terminated(&format!("{HOLDER} "), "Error"),
            terminated(&format!("OOM: {HOLDER}"), "Error"),
            terminated("operator-0", "Error"),
            terminated(HOLDER, "ContainerStatusUnknown"),
            terminated(HOLDER, "Unknown"),
        ] {
            assert!(!proves("operator", &state, &none), "{state}");
            assert!(!proves("operator", &running, &state), "{state}");
        }
    }

    #[test]
    fn another_container_or_pod_is_no_proof() {
        let ended = terminated(HOLDER, "Error");
        assert!(!proves("operator-2", &ended, &ended));
        let ours = container("operator", &ended, &ended);
        for other in ["initContainerStatuses", "ephemeralContainerStatuses"] {
            assert!(!is_proof(&json!({other: [ours]})), "{other}");
        }
        let status = json!({"containerStatuses": [ours]});
        assert!(is_proof(&status));
        assert!(!is_proof(&json!({"phase": "Failed", "reason": "NodeLost"})));
        let uid = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";
        assert!(!proves_end(&pod("operator-0", "1b4e28ba-another", &status), HOLDER));
        assert!(!proves_end(&pod("operator-1", uid, &status), HOLDER));
        assert!(!proves_end(&pod("operator-0", uid, &status), "operator-0"));
        assert!(!proves_end(&pod("operator-0", uid, &status), ""));
    }
}
