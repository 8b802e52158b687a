//! Paths in this repository.

use std::path::Path;
use std::path::PathBuf;

/// The root of the repository.
#[must_use]
pub fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.ancestors().nth(2).unwrap_or(package).to_owned()
}

/// A file or a folder of the plain manifests, by its path below `deploy`.
#[must_use]
pub fn manifest(name: &str) -> PathBuf {
    root().join("deploy").join(name)
}
