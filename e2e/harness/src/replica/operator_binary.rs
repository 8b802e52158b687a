//! Builds the operator's binary from this checkout.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use serde::Deserialize;
use testbed::accounts::OPERATOR;
use testbed::repository;
use tokio::process::Command;
use tokio::sync::OnceCell;

/// The executables of this checkout, by name.
type Programs = BTreeMap<String, PathBuf>;

static BUILT: OnceCell<Programs> = OnceCell::const_new();

/// One line of cargo's output with `--message-format=json`.
#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// The path of the operator's binary, built once per process, incrementally.
pub async fn operator_binary() -> Result<&'static Path> {
    built_program(OPERATOR).await
}

/// The path of the binary of [`crate::unprotected`], built as by [`operator_binary`].
pub async fn unprotected_binary() -> Result<&'static Path> {
    built_program("unprotected").await
}

/// Builds the operator with a cargo profile, incrementally, and returns the path of its binary.
pub async fn build_operator(profile: &str) -> Result<PathBuf> {
    Ok(program(&build_all(profile).await?, OPERATOR)?.to_owned())
}

async fn built_program(name: &str) -> Result<&'static Path> {
    program(BUILT.get_or_try_init(|| build_all("dev")).await?, name)
}

fn program<'a>(programs: &'a Programs, name: &str) -> Result<&'a Path> {
    let found = programs.get(name).map(PathBuf::as_path);
    found.with_context(|| format!("the output of cargo build contains no executable named {name}"))
}

async fn build_all(profile: &str) -> Result<Programs> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // All binaries of the default members: with the same features as in `cargo test`, dependencies
    // are not compiled again.
    command.args(["build", "--locked", "--bins", "--message-format=json-render-diagnostics"]);
    command.args(["--profile", profile]);
    for (name, _) in env::vars_os().filter(|(name, _)| is_set_for_test(name)) {
        command.env_remove(name);
    }
    let output = command
        .current_dir(repository::root())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("running cargo build")?;
    if !output.status.success() {
        bail!("cargo build failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let messages = messages.lines().filter_map(|line| serde_json::from_str::<Message>(line).ok());
    Ok(messages.filter_map(|message| Some((message.target?.name, message.executable?))).collect())
}

/// Whether cargo set a variable for the current test. Some build scripts (of ring) run again when such
/// a variable changes, and most dependencies would be compiled again.
fn is_set_for_test(name: &OsStr) -> bool {
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
    name.to_str().is_some_and(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
}
