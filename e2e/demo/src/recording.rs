//! Recording of a run as a picture of the terminal.

use std::convert::Infallible;
use std::env;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use console::truncate_str;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use testbed::picture;
use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::process::ChildStdout;
use tokio::process::Command;

use crate::interactive::Interrupted;
use crate::interactive::interrupted;
use crate::options::Options;

/// The first line of the picture.
const PROMPT: &str = "$ cargo demo -- --once";
/// The number of columns of the picture. Longer lines are truncated.
const COLUMNS: usize = 108;
/// The exit code of a demo that was interrupted.
const INTERRUPTED: i32 = 130;

/// Runs the demo in a child process, prints its standard output and writes it to `file` as SVG.
///
/// Signals are forwarded to the child process, which removes its environment. If it fails, the file
/// is not written.
pub async fn record(options: &Options, file: &Path) -> Result<()> {
    let mut child = command(options)?.spawn().context("starting the recorded demo")?;
    let output = child.stdout.take().context("the recorded demo has no standard output")?;
    let id = child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
    let id = id.context("the recorded demo has no process id")?;
    let lines = tokio::select! {
        lines = read(output) => lines?,
        error = forward_signals(id) => match error? {},
    };
    let status = child.wait().await.context("waiting for the recorded demo")?;
    match status.code() {
        Some(0) => {}
        Some(INTERRUPTED) => bail!(Interrupted),
        _ => bail!("the recorded demo ended with {status}: its error is printed above"),
    }
    fs::write(file, svg(&lines)).with_context(|| format!("writing {}", file.display()))
}

/// This program with the same options, but without `--recording`, and with colors.
fn command(options: &Options) -> Result<Command> {
    let mut command = Command::new(env::current_exe().context("locating this program")?);
    command.arg("--once");
    if let Some(kubeconfig) = &options.kubeconfig {
        command.arg("--kubeconfig").arg(kubeconfig);
    }
    if let Some(image) = &options.image {
        command.arg("--image").arg(image);
    }
    if let Some(folder) = &options.jaeger_ui {
        command.arg("--jaeger-ui").arg(folder);
    }
    command.env("CLICOLOR_FORCE", "1").env_remove("NO_COLOR").stdout(Stdio::piped());
    Ok(command)
}

/// Prints all lines of `output` and returns them.
async fn read(output: ChildStdout) -> Result<Vec<String>> {
    let mut lines = BufReader::new(output).lines();
    let mut all = Vec::new();
    while let Some(line) = lines.next_line().await.context("reading the recorded output")? {
        println!("{line}");
        all.push(line);
    }
    Ok(all)
}

/// Ends the process gracefully as often as this one is to end.
async fn forward_signals(id: Pid) -> Result<Infallible> {
    loop {
        interrupted().await?;
        kill_process(id, Signal::TERM).context("ending the recorded demo")?;
    }
}

/// A picture of the prompt and these lines.
fn svg(lines: &[String]) -> String {
    let prompt = std::iter::once(PROMPT.to_owned());
    let lines = lines.iter().map(|line| truncate_str(line, COLUMNS, "…").into_owned());
    picture::svg(&prompt.chain(lines).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_keeps_text_and_colors() {
        let line = console::style("✔").green().force_styling(true);
        let svg = svg(&[format!("{line} source updated, copy <follows>")]);
        assert!(svg.contains(r#"class="fg-green""#), "{svg}");
        assert!(svg.contains("source updated, copy &lt;follows&gt;"), "{svg}");
        assert!(svg.contains(PROMPT), "{svg}");
        assert!(!svg.contains('\u{1b}'), "{svg}");
    }

    #[test]
    fn a_recording_truncates_long_lines() {
        let svg = svg(&["x".repeat(COLUMNS + 1)]);
        assert!(svg.contains(&format!("{}…", "x".repeat(COLUMNS - 1))), "{svg}");
    }
}
