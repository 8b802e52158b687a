//! A running replica.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use serde_json::Value;
use testbed::accounts::OPERATOR;
use testbed::control_plane::ControlPlane;
use testbed::process::Process;
use testbed::process::Program;
use testbed::requests;
use testbed::wait::Seen;
use testbed::wait::until;

use crate::replica::operator_binary::operator_binary;
use crate::replica::pod_identity::Pod;
use crate::replica::replica_options::Options;
use crate::scope;

const START: Duration = Duration::from_secs(30);
/// Longer than the operator's own deadline for its shutdown, which it may use up if its writes hang.
const STOP: Duration = Duration::from_secs(30);

/// A running replica. Dropped, it is killed.
#[derive(Debug)]
pub struct Replica {
    pod: Pod,
    process: Process,
    program: Program,
}

impl Replica {
    /// Creates the pod `name` and starts the process with its identity. Does not wait until it is ready.
    pub async fn start(
        control_plane: &ControlPlane,
        name: &str,
        options: &Options,
    ) -> Result<Self> {
        let binary = match &options.binary {
            Some(binary) => binary,
            None => operator_binary().await?,
        };
        let pod = Pod::create(control_plane, name, options.server.as_deref()).await?;
        let log = control_plane.folder().join(format!("{name}.log"));
        let mut program = Program::new(binary, log)
            .prefix(&options.prefix)
            .arguments(["run", "--namespace", OPERATOR, "--pod-name", &pod.name])
            .arguments(["--pod-uid", &pod.uid, "--http-address", "127.0.0.1:0"])
            .arguments(["--log-format", "json", "--kubeconfig"])
            .argument(&pod.kubeconfig)
            .arguments(scope::arguments())
            .arguments(&options.arguments)
            // The container image sets the same.
            .environment("MIMALLOC_PURGE_DELAY", "0");
        for (name, value) in &options.environment {
            program = program.environment(name, value);
        }
        Ok(Self { pod, process: program.start()?, program })
    }

    /// Starts the process again in the same pod, as a kubelet does; kills it first if it is running.
    /// Its log is emptied.
    pub fn restart(&mut self) -> Result<()> {
        if self.process.exit_status()?.is_none() {
            self.process.kill()?;
        }
        let log = self.process.log();
        fs::remove_file(log).with_context(|| format!("removing {}", log.display()))?;
        self.process = self.program.start()?;
        Ok(())
    }

    /// Sends SIGTERM, and waits until the process has exited with status 0.
    pub async fn terminate_and_wait(&self) -> Result<()> {
        self.process.terminate()?;
        let status = self.process.wait_exit(STOP).await?;
        ensure!(
            status.success(),
            "the replica {} ended with {status} after SIGTERM; the end of its log:\n{}",
            self.pod.name,
            self.process.tail(5)
        );
        Ok(())
    }

    /// Sends SIGTERM, waits until the process has exited, and starts it again in the same pod.
    pub async fn terminate_and_restart(&mut self) -> Result<()> {
        self.terminate_and_wait().await?;
        self.restart()
    }

    /// The process, which tests signal and wait for.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// The pod whose identity it uses.
    #[must_use]
    pub const fn pod(&self) -> &Pod {
        &self.pod
    }

    /// Its log lines so far, parsed; a line that is not JSON is a string.
    #[must_use]
    pub fn logs(&self) -> Vec<Value> {
        let text = fs::read(self.process.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines();
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|_| line.into())).collect()
    }

    /// Its base URL for health and metrics. Waits until it is served.
    pub async fn url(&self) -> Result<String> {
        let what = format!("the replica {} logs its address for health and metrics", self.pod.name);
        until(what, START, || async {
            let address = self.logs().iter().find_map(|line| {
                (field(line, "message")? == "serving health and metrics")
                    .then(|| field(line, "address").map(|address| format!("http://{address}")))?
            });
            if address.is_none() {
                self.process.expect_running()?;
            }
            Ok(Seen::from_option(address, || self.process.tail(5)))
        })
        .await
    }

    /// Waits until `/readyz` responds with 200.
    pub async fn wait_ready(&self) -> Result<()> {
        let url = format!("{}/readyz", self.url().await?);
        until(format!("the replica {} is ready", self.pod.name), START, || async {
            self.process.expect_running()?;
            Ok(match get(&url).await {
                Ok((200, _)) => Seen::Done(()),
                Ok((status, text)) => Seen::NotYet(format!("{status}: {text}")),
                Err(error) => Seen::NotYet(format!("{error:#}")),
            })
        })
        .await
    }

    /// Whether `/readyz` responds with 200.
    pub async fn is_ready(&self) -> Result<bool> {
        Ok(get(&format!("{}/readyz", self.url().await?)).await?.0 == 200)
    }

    /// The status and the text of `/livez`.
    pub async fn liveness(&self) -> Result<(u16, String)> {
        get(&format!("{}/livez", self.url().await?)).await
    }

    /// Its metrics, in the Prometheus text format.
    pub async fn metrics(&self) -> Result<String> {
        Ok(get(&format!("{}/metrics", self.url().await?)).await?.1)
    }
}

/// A field of a log line: at the top level, or below `fields`.
fn field<'a>(line: &'a Value, name: &str) -> Option<&'a str> {
    line.get(name).or_else(|| line.get("fields")?.get(name))?.as_str()
}

async fn get(url: &str) -> Result<(u16, String)> {
    let context = || format!("requesting {url}");
    let response = requests::get(url).await.with_context(context)?;
    let status = response.status().as_u16();
    Ok((status, response.text().await.with_context(context)?))
}
