//! The programs that a node needs, and their installation on Debian.

use std::env;
use std::ffi::OsString;
use std::fs::File;
use std::path::Path;
use std::path::PathBuf;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;
use tokio::process::Command;
use tokio::task::spawn_blocking;

use crate::command;
use crate::repository;

/// The required programs, and their Debian packages.
const PROGRAMS: &[(&str, &str)] = &[
    ("bash", "bash"),
    ("buildah", "buildah"),
    ("cc", "gcc"),
    ("find", "findutils"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("mount", "mount"),
    ("musl-gcc", "musl-tools"),
    ("nsenter", "util-linux"),
    ("runc", "runc"),
    ("unshare", "util-linux"),
];

/// The library that changes the clock of a process, and its package.
const FAKETIME: (&str, &str) = ("libfaketime.so.1", "libfaketime");
/// The programs of Prometheus, and their package.
const PROMETHEUS: (&str, &str) = ("prometheus", "prometheus");
/// The alternative to a node on this machine.
const ALTERNATIVE: &str = "or use an existing cluster: --kubeconfig FILE [--image REF]";

/// Ensures that a node can run on this machine: as root, and with every program that it needs.
///
/// On Debian, missing packages are installed and listed on standard error.
pub async fn ensure_node() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!(
            "running pods requires root: run this as root, for example with sudo -E; {ALTERNATIVE}"
        );
    }
    if missing().is_empty() {
        return Ok(());
    }
    let _lock = lock().await?;
    // Another process may have installed them during the wait for the lock.
    match missing().as_slice() {
        [] => Ok(()),
        missing => install(missing).await,
    }
}

/// Ensures that `libfaketime` is installed, and returns its path.
pub async fn ensure_faketime() -> Result<PathBuf> {
    let find = || {
        let name = format!("/usr/lib/{}-linux-gnu/faketime/{}", env::consts::ARCH, FAKETIME.0);
        Some(PathBuf::from(name)).filter(|path| path.is_file())
    };
    if let Some(library) = find() {
        return Ok(library);
    }
    let _lock = lock().await?;
    if find().is_none() {
        install(&[FAKETIME]).await?;
    }
    find().context("libfaketime is installed, but not at its path on Debian")
}

/// Ensures that `prometheus` and `promtool` are installed.
pub async fn ensure_prometheus() -> Result<()> {
    if find(PROMETHEUS.0).is_none() {
        let _lock = lock().await?;
        if find(PROMETHEUS.0).is_none() {
            install(&[PROMETHEUS]).await?;
        }
    }
    Ok(())
}

async fn install(missing: &[(&str, &str)]) -> Result<()> {
    let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    let programs = programs.join(", ");
    if !Path::new("/etc/debian_version").exists() || find("apt-get").is_none() {
        bail!(
            "this machine lacks {programs}: install it (this program does so on Debian only), {ALTERNATIVE}"
        );
    }
    let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    eprintln!("installing with apt-get: {}", packages.join(" "));
    // With an existing package list, the installation works even if the update fails.
    let updated = command::run(&mut apt(&["update"])).await;
    let install = ["install", "--yes", "--no-install-recommends"];
    let installed = command::run(apt(&install).args(&packages)).await;
    match (installed, updated) {
        (Ok(_), _) => Ok(()),
        (Err(error), Err(first)) => Err(error.context(format!("{first:#}"))),
        (Err(error), Ok(_)) => Err(error),
    }
    .with_context(|| format!("this machine lacks {programs}: install it, {ALTERNATIVE}"))
}

/// The missing programs, and their packages.
fn missing() -> Vec<(&'static str, &'static str)> {
    PROGRAMS.iter().filter(|(program, _)| find(program).is_none()).copied().collect()
}

/// Serializes installations across processes: neither apt-get nor rustup supports concurrent runs.
async fn lock() -> Result<File> {
    let wait = || {
        let folder = File::open("/usr")?;
        folder.lock()?;
        std::io::Result::Ok(folder)
    };
    spawn_blocking(wait).await?.context("locking /usr for an installation")
}

/// Ensures that the Rust target `target` is installed.
pub async fn ensure_rust_target(target: &str) -> Result<()> {
    // Run in the repository, because it pins the toolchain.
    let tool = |name: &str| {
        let mut command = Command::new(name);
        command.current_dir(repository::root());
        command
    };
    let mut rustc = tool("rustc");
    let libraries = rustc.args(["--print", "target-libdir", "--target", target]);
    let libraries = command::run(libraries).await?;
    if Path::new(libraries.trim()).is_dir() {
        return Ok(());
    }
    let _lock = lock().await?;
    eprintln!("installing with rustup: the target {target}");
    command::run(tool("rustup").args(["target", "add", target])).await.with_context(|| {
        format!("Rust's standard library for {target} is missing: install it, {ALTERNATIVE}")
    })?;
    Ok(())
}

/// `PATH`, with the `sbin` directories added.
#[must_use]
pub fn path() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let folders = env::split_paths(&path).chain(system);
    // Joining fails only for a folder with a colon in its name, which PATH cannot contain.
    env::join_paths(folders).unwrap_or(path)
}

fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&path()).map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn apt(words: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    // Waits for the lock of other installations.
    command
        .args(["--quiet", "--option", "DPkg::Lock::Timeout=300", "--option", "Acquire::Retries=3"])
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}
