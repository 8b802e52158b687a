//! The build of cargo-about, which collects the licenses of the packages in the operator's binary.

use std::env;
use std::fs;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use tokio::process::Command;

use crate::repository;

/// The packages to optimize: they search the license files of all dependencies.
const OPTIMIZED: [&str; 7] = [
    "aho-corasick",
    "memchr",
    "regex-automata",
    "smallvec",
    "spdx",
    "unicode-normalization",
    "zstd-sys",
];

/// The arguments of cargo that build the version of the Dockerfile.
///
/// A debug build: optimizing all packages would take longer than it saves.
pub(super) fn arguments() -> Result<Vec<String>> {
    let profile = OPTIMIZED.map(|package| format!("package.{package}.opt-level=2"));
    let profile = profile.into_iter().chain(["debug=false".to_owned()]);
    let settings = profile.map(|setting| format!("--config=profile.dev.{setting}"));
    let arguments = ["install", "--quiet", "--locked", "--debug", "--features=cli"];
    let arguments = arguments.into_iter().map(str::to_owned).chain(settings);
    Ok(arguments.chain([format!("cargo-about@{}", version()?)]).collect())
}

/// The command that builds cargo-about as `into/bin/cargo-about`.
pub(super) fn build(into: &Path) -> Result<Command> {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments()?).arg("--root").arg(into).current_dir(repository::root());
    Ok(command)
}

/// The version in the Dockerfile.
fn version() -> Result<String> {
    let dockerfile = repository::root().join("Dockerfile");
    let text = fs::read_to_string(&dockerfile)
        .with_context(|| format!("reading {}", dockerfile.display()))?;
    let version = text.lines().find_map(|line| line.strip_prefix("ARG CARGO_ABOUT_VERSION="));
    version.map(str::to_owned).with_context(|| {
        format!("reading {}: there is no line ARG CARGO_ABOUT_VERSION=", dockerfile.display())
    })
}
