//! One node of a cluster: kubelet, kube-proxy, kube-scheduler and a container runtime.

mod kubelet;
mod pause;
mod runtime;

pub use crate::node::pause::PAUSE_IMAGE;
pub use crate::node::runtime::Runtime;

use anyhow::Result;

use crate::control_plane::ControlPlane;
use crate::environment::Environment;
use crate::node::kubelet::NAME;
use crate::node::runtime::POD_RANGE;
use crate::process::Process;

/// A node that is ready for pods.
pub struct Node {
    // Dropped from top to bottom.
    _kubelet: Process,
    _proxy: Process,
    _scheduler: Process,
    runtime: Runtime,
}

impl Node {
    /// Starts kubelet, kube-proxy and kube-scheduler, and returns when the node is ready.
    pub async fn start(
        environment: &Environment<'_>,
        runtime: Runtime,
        control_plane: &ControlPlane,
    ) -> Result<Self> {
        let scheduler = scheduler(environment, control_plane)?;
        let proxy = proxy(environment, control_plane)?;
        let kubelet = kubelet::start(environment, control_plane)?;
        kubelet::wait_ready(&control_plane.client(), &[&kubelet, &proxy, &scheduler]).await?;
        Ok(Self { _kubelet: kubelet, _proxy: proxy, _scheduler: scheduler, runtime })
    }

    /// Its container runtime.
    #[must_use]
    pub const fn runtime(&self) -> &Runtime {
        &self.runtime
    }
}

fn scheduler(environment: &Environment<'_>, control_plane: &ControlPlane) -> Result<Process> {
    let name = "kube-scheduler";
    let kubeconfig = environment.kubeconfig(control_plane, name, "system:kube-scheduler", &[])?;
    environment
        .program(name)?
        .argument(format!("--kubeconfig={}", kubeconfig.display()))
        // Without these two it needs permissions for authenticating requests for its metrics.
        .argument("--secure-port=0")
        .argument("--leader-elect=false")
        .start()
}

fn proxy(environment: &Environment<'_>, control_plane: &ControlPlane) -> Result<Process> {
    let name = "kube-proxy";
    let kubeconfig = environment.kubeconfig(control_plane, name, "system:kube-proxy", &[])?;
    environment
        .program(name)?
        .argument(format!("--kubeconfig={}", kubeconfig.display()))
        .argument(format!("--hostname-override={NAME}"))
        .argument(format!("--cluster-cidr={POD_RANGE}"))
        .argument("--proxy-mode=iptables")
        // These limits belong to the machine: they cannot be changed in a sandbox.
        .argument("--conntrack-max-per-core=0")
        .argument("--conntrack-min=0")
        .argument("--conntrack-tcp-timeout-established=0")
        .argument("--conntrack-tcp-timeout-close-wait=0")
        .start()
}
