//! Building one set, once per content, even with concurrent callers.

use std::fs;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use sha2::Digest;
use sha2::Sha256;
use tokio::process::Command;
use tokio::task::spawn_blocking;
use tokio::time;

use crate::command;
use crate::terminal::Progress;
use crate::terminal::tool_line;
use crate::tools::cargo_about;
use crate::tools::set::Set;

/// The oldest Go that builds all sets, as in `go1.26`.
const GO: (u32, u32) = (1, 26);
/// Attempts of a build: it downloads modules, and a connection may break.
const ATTEMPTS: usize = 3;

/// The folder with the programs of `set`, built first where it does not exist yet.
pub async fn ensure(set: Set, cache: &Path) -> Result<PathBuf> {
    let folder = cache.join(format!("{}-{}", set.name(), key(set)?));
    if folder.is_dir() {
        return Ok(folder);
    }
    fs::create_dir_all(cache).with_context(|| format!("creating {}", cache.display()))?;
    // Held until the end of this function, across processes; the kernel releases it with the process.
    let _lock = lock(cache.join(format!("{}.lock", set.name())), set.name()).await?;
    if folder.is_dir() {
        return Ok(folder);
    }
    if set != Set::CargoAbout {
        check_go().await?;
    }
    // Under the lock, an existing folder is left over from an interrupted build.
    let partial = folder.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial).with_context(|| format!("removing {}", partial.display()))?;
    }
    let progress = Progress::start(format!("{} ({})", set.name(), set.programs().join(", ")));
    for number in 1..=ATTEMPTS {
        match build(set, &partial, &progress).await {
            Ok(()) => break,
            Err(error) if number == ATTEMPTS => return Err(error),
            Err(_) => tool_line(
                set.name(),
                "the build failed, perhaps because of the network; trying again",
            ),
        }
    }
    if let Some((from, to)) = set.renamed() {
        fs::rename(partial.join(from), partial.join(to))
            .with_context(|| format!("renaming {from} to {to} in {}", partial.display()))?;
    }
    for program in set.programs() {
        anyhow::ensure!(partial.join(program).is_file(), "the build has not created {program}");
    }
    fs::rename(&partial, &folder)
        .with_context(|| format!("moving {} to {}", partial.display(), folder.display()))?;
    progress.done();
    Ok(folder)
}

/// Identifies the content of the build, in 16 hex digits.
fn key(set: Set) -> Result<String> {
    let mut hash = Sha256::new();
    if set == Set::CargoAbout {
        hash.update(cargo_about::arguments()?.join(" "));
    } else {
        for file in ["go.mod", "go.sum"] {
            let file = set.module().join(file);
            hash.update(fs::read(&file).with_context(|| format!("reading {}", file.display()))?);
        }
        hash.update(set.linker_flags());
        hash.update(set.tags());
    }
    hash.update(std::env::consts::ARCH);
    let start = *hash.finalize().first_chunk().context("a hash of less than 8 bytes")?;
    Ok(format!("{:016x}", u64::from_be_bytes(start)))
}

async fn lock(path: PathBuf, what: &'static str) -> Result<File> {
    spawn_blocking(move || {
        let file = File::create(&path).with_context(|| format!("creating {}", path.display()))?;
        if file.try_lock().is_ok() {
            return Ok(file);
        }
        tool_line(what, "another process is building, waiting for it");
        file.lock().with_context(|| format!("locking {}", path.display()))?;
        Ok(file)
    })
    .await
    .context("waiting for the lock")?
}

fn go_build(set: Set, into: &Path) -> Command {
    let mut command = Command::new("go");
    command
        .args(["build", "-mod=readonly", "-buildvcs=false", "-trimpath"])
        .args(["-ldflags", &set.linker_flags(), "-tags", set.tags(), "-o"])
        .arg(into.join(""))
        // All tools of the module, as its go.mod lists them.
        .arg("tool")
        .current_dir(set.module())
        // The person's own settings of Go must not change what is built.
        .env("CGO_ENABLED", "0")
        .env("GOTOOLCHAIN", "local")
        .env("GOWORK", "off")
        .env("GOFLAGS", "");
    command
}

/// Builds the programs of `set` into the folder `into`.
async fn build(set: Set, into: &Path, progress: &Progress) -> Result<()> {
    let mut command = match set {
        Set::CargoAbout => cargo_about::build(into)?,
        _ => go_build(set, into),
    };
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let build = command.spawn().context("starting the build")?.wait_with_output();
    tokio::pin!(build);
    let mut ticks = time::interval(progress.period());
    ticks.tick().await;
    let output = loop {
        tokio::select! {
            output = &mut build => break output.context("waiting for the build")?,
            _ = ticks.tick() => progress.tick(),
        }
    };
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<_> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(30)..).unwrap_or_default().join("\n");
        bail!("`{}` ended with {}:\n{last}", command::shown(&command), output.status);
    }
    Ok(())
}

async fn check_go() -> Result<()> {
    let (major, minor) = GO;
    let wanted = format!("building them needs Go {major}.{minor} or later");
    let output = Command::new("go")
        .args(["env", "GOVERSION"])
        .env("GOTOOLCHAIN", "local")
        .output()
        .await
        .with_context(|| format!("{wanted}: go cannot be started, is it installed and in PATH?"))?;
    let version = String::from_utf8_lossy(&output.stdout);
    if parse_go_version(version.trim()).is_none_or(|found| found < GO) {
        bail!("{wanted}, and the go in PATH says it is {:?}", version.trim());
    }
    Ok(())
}

/// `go1.26.8` -> (1, 26); also `go1.27rc1`, and what a distribution appends after a space.
fn parse_go_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.strip_prefix("go")?.splitn(3, '.');
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?;
    let digits = minor.find(|character: char| !character.is_ascii_digit()).unwrap_or(minor.len());
    Some((major, minor[..digits].parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_go_are_understood() {
        assert_eq!(parse_go_version("go1.26.8"), Some((1, 26)));
        assert_eq!(parse_go_version("go1.27rc1"), Some((1, 27)));
        assert_eq!(parse_go_version("go1.26 X:nodwarf5"), Some((1, 26)));
        assert_eq!(parse_go_version("devel"), None);
        assert_eq!(parse_go_version(""), None);
    }

    #[test]
    fn every_set_has_a_module_and_a_key_of_its_own() {
        let keys: std::collections::BTreeSet<_> =
            Set::ALL.iter().map(|set| key(*set).unwrap()).collect();
        assert_eq!(keys.len(), Set::ALL.len());
    }
}
