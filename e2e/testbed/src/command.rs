//! Commands that run to completion and return their output.

use std::process::Stdio;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use tokio::process::Command;

/// Lines of output in the error of a failed command.
const LINES: usize = 20;

/// Runs `command` to its end and returns what it printed on standard output.
///
/// The command reads nothing, and is killed when the future is dropped.
pub async fn run(command: &mut Command) -> Result<String> {
    let shown = shown(command);
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("starting `{shown}`"))?;
    let printed = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let output_text = format!("{printed}{}", String::from_utf8_lossy(&output.stderr));
        bail!("`{shown}` ended with {}:\n{}", output.status, last_lines(&output_text, LINES));
    }
    Ok(printed.into_owned())
}

/// The command line.
#[must_use]
pub fn shown(command: &Command) -> String {
    let command = command.as_std();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The last `count` lines of `text`.
#[must_use]
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<_> = text.lines().collect();
    lines.get(lines.len().saturating_sub(count)..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_command_is_reported_with_its_output() {
        let error = run(Command::new("sh").args(["-c", "echo out; echo err >&2; exit 3"]))
            .await
            .unwrap_err()
            .to_string();
        for part in ["`sh -c", "exit status: 3", "out", "err"] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn last_lines_returns_the_end_of_a_text() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a", 2), "a");
    }
}
