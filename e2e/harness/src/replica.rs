//! One replica of the operator, as a plain process with the identity of a pod.
//!
//! To the API server it is what it would be in a cluster with pods: the same account, a token
//! bound to a pod of its own. But it can be frozen and killed, and needs no root.

mod lifecycle;
mod operator_binary;
mod pod_identity;

pub use crate::replica::operator_binary::build_operator;
pub use crate::replica::operator_binary::operator_binary;
pub use crate::replica::operator_binary::unprotected_binary;
pub use crate::replica::pod_identity::Pod;
pub use crate::replica::pod_identity::publish_leader_record;
pub use crate::replica::pod_identity::unbound_operator;

use std::ffi::OsString;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use serde_json::Value;
use testbed::accounts::OPERATOR;
use testbed::control_plane::ControlPlane;
use testbed::process::Process;
use testbed::process::Program;
use testbed::wait::Seen;
use testbed::wait::until;

const START: Duration = Duration::from_secs(30);

/// How to start a replica. The default is this checkout's operator with its own defaults.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// More arguments of `run`.
    pub arguments: Vec<String>,
    /// Variables of its environment.
    pub environment: Vec<(String, String)>,
    /// Another binary than the one built from this checkout.
    pub binary: Option<PathBuf>,
    /// Another URL to reach the API server by.
    pub server: Option<String>,
    /// Words before the binary: see [`Program::prefix`].
    pub prefix: Vec<OsString>,
}

impl Options {
    /// A leader that goes on leading while the API server is restarted, or it is frozen for a
    /// moment itself, on a machine under load.
    #[must_use]
    pub fn patient() -> Self {
        let arguments =
            ["--leader-election-lease-duration=60s", "--leader-election-renew-deadline=50s"];
        Self { arguments: arguments.map(str::to_owned).into(), ..Self::default() }
    }

    /// Leaders that follow each other quickly: the Lease lasts so many seconds, a leader goes on
    /// for two thirds of that, and everybody looks twice a second.
    #[must_use]
    pub fn quick(lease: u32) -> Self {
        let lease = Duration::from_secs(lease.into());
        Self::timed(lease, lease * 2 / 3, Duration::from_millis(500))
    }

    /// Leaders with these times: how long the Lease lasts, how long a leader goes on without
    /// renewing it, and how often everybody looks.
    #[must_use]
    pub fn timed(lease: Duration, deadline: Duration, retry: Duration) -> Self {
        let times =
            [("lease-duration", lease), ("renew-deadline", deadline), ("retry-period", retry)];
        let argument = |(name, time): (&str, Duration)| {
            format!("--leader-election-{name}={}ms", time.as_millis())
        };
        Self { arguments: times.map(argument).into(), ..Self::default() }
    }
}

/// A running replica. Dropped, it is killed.
#[derive(Debug)]
pub struct Replica {
    pod: Pod,
    process: Process,
    program: Program,
}

impl Replica {
    /// Creates the pod `name` and starts its process, without waiting for anything.
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
            .arguments(&options.arguments)
            // As the image sets it.
            .environment("MIMALLOC_PURGE_DELAY", "0");
        for (name, value) in &options.environment {
            program = program.environment(name, value);
        }
        Ok(Self { pod, process: program.start()?, program })
    }

    /// Starts the process again in the same pod, as a kubelet would after it has ended. The log
    /// begins anew.
    pub fn restart(&mut self) -> Result<()> {
        if self.process.exit_status()?.is_none() {
            self.process.kill()?;
        }
        let log = self.process.log();
        fs::remove_file(log).with_context(|| format!("removing {}", log.display()))?;
        self.process = self.program.start()?;
        Ok(())
    }

    /// The process: to be asked to end, killed, frozen, waited for.
    #[must_use]
    pub const fn process(&self) -> &Process {
        &self.process
    }

    /// The pod whose identity it has.
    #[must_use]
    pub const fn pod(&self) -> &Pod {
        &self.pod
    }

    /// What it has logged so far; lines that are no JSON are strings.
    #[must_use]
    pub fn logs(&self) -> Vec<Value> {
        let text = fs::read(self.process.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines = text.lines();
        lines.map(|line| serde_json::from_str(line).unwrap_or_else(|_| line.into())).collect()
    }

    /// `http://` and the address that it serves health and metrics at, as soon as it does.
    pub async fn url(&self) -> Result<String> {
        let what = format!("{} says where it serves health and metrics", self.pod.name);
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

    /// Waits until it calls itself ready.
    pub async fn wait_ready(&self) -> Result<()> {
        let url = format!("{}/readyz", self.url().await?);
        until(format!("{} is ready", self.pod.name), START, || async {
            self.process.expect_running()?;
            Ok(match get(&url).await {
                Ok((200, _)) => Seen::Done(()),
                Ok((status, text)) => Seen::NotYet(format!("{status}: {text}")),
                Err(error) => Seen::NotYet(format!("{error:#}")),
            })
        })
        .await
    }

    /// Whether it calls itself ready right now.
    pub async fn is_ready(&self) -> Result<bool> {
        Ok(get(&format!("{}/readyz", self.url().await?)).await?.0 == 200)
    }

    /// Its metrics, in the text format of Prometheus.
    pub async fn metrics(&self) -> Result<String> {
        Ok(get(&format!("{}/metrics", self.url().await?)).await?.1)
    }
}

/// A field of a log line, wherever the format puts it.
fn field<'a>(line: &'a Value, name: &str) -> Option<&'a str> {
    line.get(name).or_else(|| line.get("fields")?.get(name))?.as_str()
}

async fn get(url: &str) -> Result<(u16, String)> {
    let context = || format!("asking for {url}");
    let response = reqwest::get(url).await.with_context(context)?;
    let status = response.status().as_u16();
    Ok((status, response.text().await.with_context(context)?))
}
