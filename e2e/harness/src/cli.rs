//! The operator's binary as a person runs it.

use std::path::Path;
use std::process::Output;
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::replica::operator_binary;

/// How long one command may take.
const COMMAND: Duration = Duration::from_mins(1);

/// How a command ended.
#[derive(Clone, Debug)]
pub struct CommandResult {
    /// Its exit code.
    pub code: i32,
    /// What it printed.
    pub stdout: String,
    /// What it complained of.
    pub stderr: String,
}

/// Runs `configmapsync` with `arguments`, as who `kubeconfig` says, where nobody can be asked.
pub async fn configmapsync(kubeconfig: &Path, arguments: &[&str]) -> Result<CommandResult> {
    let mut command = Command::new(operator_binary().await?);
    command.args(arguments).arg("--kubeconfig").arg(kubeconfig);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(COMMAND, command.output()).await;
    ended(&output.with_context(|| format!("configmapsync {}", arguments.join(" ")))??)
}

/// As [`configmapsync`], on a terminal at which a person types `answer`.
pub async fn configmapsync_with_input(
    kubeconfig: &Path,
    arguments: &[&str],
    answer: &str,
) -> Result<CommandResult> {
    let program = operator_binary().await?;
    let typed = arguments.join(" ");
    let line = format!("{} {typed} --kubeconfig {}", program.display(), kubeconfig.display());
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().context("starting script")?;
    let mut terminal = child.stdin.take().context("a child without standard input")?;
    terminal.write_all(format!("{answer}\n").as_bytes()).await?;
    let output = timeout(COMMAND, child.wait_with_output()).await;
    ended(&output.with_context(|| format!("configmapsync {typed}"))??)
}

fn ended(output: &Output) -> Result<CommandResult> {
    Ok(CommandResult {
        code: output.status.code().with_context(|| format!("it ended by {}", output.status))?,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
