//! The license files of the image.

use std::env;
use std::fs;
use std::path::Path;

use anyhow::Context;
use anyhow::Result;
use tokio::process::Command;

use crate::command;
use crate::repository;
use crate::tools::Set;
use crate::tools::Tools;

/// Writes `LICENSE` and `THIRD-PARTY-NOTICES` into `folder`, by the same commands as the Dockerfile.
pub(super) async fn write(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let license = repository::root().join("LICENSE");
    fs::copy(&license, folder.join("LICENSE"))
        .with_context(|| format!("copying {}", license.display()))?;
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut fetch = Command::new(cargo);
    fetch.args(["fetch", "--locked"]).current_dir(repository::root());
    command::run(&mut fetch).await?;
    let tools = Tools::ensure(&[Set::CargoAbout]).await?;
    let mut generate = Command::new(tools.path("cargo-about")?);
    generate.args(["generate", "--frozen", "--fail", "--output-file"]);
    generate.arg(folder.join("THIRD-PARTY-NOTICES")).arg("about.hbs");
    generate.current_dir(repository::root());
    command::run(&mut generate).await?;
    Ok(())
}
