//! Compiling the operator into a static binary.

use std::env;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use serde::Deserialize;
use tokio::io::AsyncBufReadExt;
use tokio::io::BufReader;
use tokio::process::Command;

use crate::command;
use crate::repository;

/// The target of static binaries.
#[must_use]
pub fn target() -> String {
    format!("{}-unknown-linux-musl", env::consts::ARCH)
}

/// Compiles the operator and returns the path of its binary.
///
/// Calls `progress` with each line that cargo prints.
pub async fn compile(progress: impl Fn(&str)) -> Result<PathBuf> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--locked", "--profile", "quick", "--target", &target()])
        .args(["--package", "configmapsync", "--bin", "configmapsync"])
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(repository::root())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    // Build scripts depend on these variables, and would compile again.
    for (name, _) in env::vars_os() {
        let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_"];
        if name.to_str().is_some_and(|name| prefixes.iter().any(|it| name.starts_with(it))) {
            cargo.env_remove(name);
        }
    }
    let mut process = cargo.spawn().context("compiling the operator: starting cargo")?;
    let messages = process.stdout.take().context("cargo has no output")?;
    let errors = process.stderr.take().context("cargo has no output")?;
    let output = async {
        let mut lines = BufReader::new(errors).lines();
        let mut text = String::new();
        while let Some(line) = lines.next_line().await? {
            progress(line.trim());
            text.extend([line.as_str(), "\n"]);
        }
        std::io::Result::Ok(text)
    };
    let binary = async {
        let mut lines = BufReader::new(messages).lines();
        let mut binary = None;
        while let Some(line) = lines.next_line().await? {
            binary = executable(&line).or(binary);
        }
        std::io::Result::Ok(binary)
    };
    let (output, binary) = tokio::try_join!(output, binary).context("compiling the operator")?;
    let status = process.wait().await.context("compiling the operator: waiting for cargo")?;
    if !status.success() {
        bail!("compiling the operator failed ({status}):\n{}", command::last_lines(&output, 40));
    }
    binary.context("compiling the operator: cargo names no binary")
}

/// The path of the binary, if the message of cargo contains one.
fn executable(line: &str) -> Option<PathBuf> {
    #[derive(Deserialize)]
    struct Message {
        executable: Option<PathBuf>,
    }
    serde_json::from_str::<Message>(line).ok()?.executable
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_binary_is_found_among_messages_of_cargo() {
        let artifact = r#"{"reason":"compiler-artifact","executable":"/target/configmapsync"}"#;
        assert_eq!(executable(artifact), Some("/target/configmapsync".into()));
        for other in [r#"{"reason":"compiler-artifact","executable":null}"#, "{}", "text"] {
            assert_eq!(executable(other), None);
        }
    }
}
