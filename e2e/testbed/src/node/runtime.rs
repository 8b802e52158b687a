//! What runs containers: containerd, with a network for pods.

use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use serde_json::json;

use crate::command;
use crate::environment::Environment;
use crate::image::Image;
use crate::node::pause;
use crate::process::Process;
use crate::wait::Seen;
use crate::wait::until;

/// In the sandbox: `/run` and `/var/lib` are its own there.
pub(super) const SOCKET: &str = "/run/containerd/containerd.sock";
/// Where pods get their addresses from.
pub(super) const POD_RANGE: &str = "10.244.0.0/24";
const START: Duration = Duration::from_mins(1);

/// A container runtime that answers.
pub struct Runtime {
    process: Process,
}

impl Runtime {
    /// Starts one, and gives it the image that every pod needs.
    pub async fn start(environment: &Environment<'_>) -> Result<Self> {
        let network = environment.folder.join("network");
        std::fs::create_dir_all(&network).context("creating the folder of network settings")?;
        environment.write("network/pods.conflist", &network_settings())?;
        let settings = environment.write("containerd.toml", &settings(environment)?)?;
        let process =
            environment.program("containerd")?.argument("--config").argument(settings).start()?;
        let this = Self { process };
        let (image, ()) =
            tokio::try_join!(pause::build(&environment.folder), this.wait_answer(environment))?;
        this.load(environment, &image).await?;
        Ok(this)
    }

    /// Gives it an image.
    pub async fn load(&self, environment: &Environment<'_>, image: &Image) -> Result<()> {
        self.process.expect_running()?;
        let mut import = environment.sandbox.command(environment.tools.path("ctr")?);
        import.args(["--address", SOCKET, "--namespace", "k8s.io", "images", "import"]);
        import.arg(&image.archive);
        let context = || format!("giving the node the image {}", image.reference);
        command::run(&mut import).await.with_context(context)?;
        Ok(())
    }

    async fn wait_answer(&self, environment: &Environment<'_>) -> Result<()> {
        let program = environment.tools.path("ctr")?;
        until("containerd answers", START, || async {
            self.process.expect_running()?;
            let mut version = environment.sandbox.command(program);
            version.args(["--address", SOCKET, "--connect-timeout", "1s", "version"]);
            Ok(match command::run(&mut version).await {
                Ok(_) => Seen::Done(()),
                Err(error) => Seen::NotYet(format!("{error:#}\n{}", self.process.tail(5))),
            })
        })
        .await
    }
}

/// JSON strings are TOML strings too.
fn settings(environment: &Environment<'_>) -> Result<String> {
    let shim = json!(environment.tools.path("containerd-shim-runc-v2")?);
    let plugins = json!([environment.tools.folder("bridge")?]);
    let network = json!(environment.folder.join("network"));
    let [socket, pause] = [json!(SOCKET), json!(pause::PAUSE_IMAGE)];
    Ok(format!(
        r#"version = 3
[grpc]
address = {socket}
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = {pause}
[plugins."io.containerd.cri.v1.runtime"]
# Root in a virtual machine or a container often lacks the right to lower it.
restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
bin_dirs = {plugins}
conf_dir = {network}
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
runtime_path = {shim}
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
SystemdCgroup = false
"#
    ))
}

/// A bridge to which all pods of the node are connected.
fn network_settings() -> String {
    let addresses = json!({
        "type": "host-local",
        "ranges": [[{"subnet": POD_RANGE}]],
        "routes": [{"dst": "0.0.0.0/0"}],
    });
    let bridge = json!({
        "type": "bridge",
        "bridge": "pods",
        "isGateway": true,
        "hairpinMode": true,
        "ipam": addresses,
    });
    json!({"cniVersion": "1.0.0", "name": "pods", "plugins": [bridge]}).to_string()
}
