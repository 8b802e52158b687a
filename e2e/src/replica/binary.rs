//! The operator's binary.

use std::env;
use std::ffi::OsStr;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use serde::Deserialize;
use tokio::process::Command;
use tokio::sync::OnceCell;

static BUILT: OnceCell<PathBuf> = OnceCell::const_new();

/// One line of what cargo says with `--message-format=json`.
#[derive(Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Target {
    name: String,
}

/// The operator, built from this checkout: once per process, and only what has changed.
///
/// # Errors
/// It does not compile: what cargo said is in the error.
pub async fn built() -> Result<&'static Path> {
    BUILT.get_or_try_init(|| build("dev")).await.map(PathBuf::as_path)
}

/// The operator, built from this checkout with a cargo profile: only what has changed.
///
/// # Errors
/// As [`built`].
pub async fn build(profile: &str) -> Result<PathBuf> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // All programs of the default members: then dependencies have the same features as in
    // `cargo test`, and are not compiled once more.
    command.args(["build", "--locked", "--bins", "--message-format=json-render-diagnostics"]);
    command.args(["--profile", profile]);
    for (name, _) in env::vars_os().filter(|(name, _)| is_of_running_test(name)) {
        command.env_remove(name);
    }
    let output = command
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .context("starting cargo")?;
    if !output.status.success() {
        bail!("cargo build failed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Message>(line).ok())
        .filter(|message| message.target.as_ref().is_some_and(|it| it.name == "configmapsync"))
        .find_map(|message| message.executable)
        .context("cargo build named no executable configmapsync")
}

/// Whether cargo set a variable for the test that runs now. Some build scripts (ring's) run again
/// when these change, and with them most of the dependencies would be compiled again.
fn is_of_running_test(name: &OsStr) -> bool {
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_CRATE_"];
    name.to_str().is_some_and(|name| prefixes.iter().any(|prefix| name.starts_with(prefix)))
}
