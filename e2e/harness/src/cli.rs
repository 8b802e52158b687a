//! Runs commands of the operator's binary, as a user does.

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

/// Timeout of one command.
const TIMEOUT: Duration = Duration::from_mins(1);

/// The result of a command.
#[derive(Clone, Debug)]
pub struct CommandResult {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

/// Runs `configmapsync` with `arguments` as the user of `kubeconfig`, without a terminal: it cannot
/// ask for confirmation.
pub async fn configmapsync(kubeconfig: &Path, arguments: &[&str]) -> Result<CommandResult> {
    let mut command = Command::new(operator_binary().await?);
    command.args(arguments).arg("--kubeconfig").arg(kubeconfig);
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(TIMEOUT, command.output()).await;
    command_result(&output.with_context(|| {
        format!("running configmapsync {}: timed out after {TIMEOUT:?}", arguments.join(" "))
    })??)
}

/// As [`configmapsync`], on a terminal on which `input` is typed.
pub async fn configmapsync_with_input(
    kubeconfig: &Path,
    arguments: &[&str],
    input: &str,
) -> Result<CommandResult> {
    let program = operator_binary().await?;
    let joined = arguments.join(" ");
    let line = format!("{} {joined} --kubeconfig {}", program.display(), kubeconfig.display());
    let mut command = Command::new("script");
    command.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.kill_on_drop(true).spawn().context("starting the program script")?;
    let mut terminal = child.stdin.take().context("the program script has no standard input")?;
    terminal.write_all(format!("{input}\n").as_bytes()).await?;
    let output = timeout(TIMEOUT, child.wait_with_output()).await;
    command_result(&output.with_context(|| {
        format!("running configmapsync {joined}: timed out after {TIMEOUT:?}")
    })??)
}

fn command_result(output: &Output) -> Result<CommandResult> {
    Ok(CommandResult {
        code: output
            .status
            .code()
            .with_context(|| format!("configmapsync ended with {}", output.status))?,
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
