//! What real pods need of this machine, and how a Debian machine gets it.

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

/// Programs that are used as the machine has them, and the Debian packages they come in.
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

/// The package of the library that gives a process a clock of its own.
const FAKETIME: (&str, &str) = ("libfaketime.so.1", "libfaketime");
/// How to do without all of this.
const WAY_OUT: &str = "a cluster that exists needs none of this: --kubeconfig FILE [--image REF]";

/// Makes sure that a node can run here: with root, and with every program it needs.
///
/// Root on Debian has missing packages installed, announced in one line on standard error.
pub async fn ensure_node() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("real pods need root: run this as root, for instance with sudo -E; {WAY_OUT}");
    }
    if missing().is_empty() {
        return Ok(());
    }
    let _lock = lock().await?;
    // Somebody else may have installed it all while this waited for the lock.
    match missing().as_slice() {
        [] => Ok(()),
        missing => install(missing).await,
    }
}

/// Makes sure that there is `libfaketime`, and tells where.
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
    find().context("libfaketime is installed, and not where Debian puts it")
}

async fn install(missing: &[(&str, &str)]) -> Result<()> {
    let programs: Vec<_> = missing.iter().map(|(program, _)| *program).collect();
    let programs = programs.join(", ");
    if !Path::new("/etc/debian_version").exists() || find("apt-get").is_none() {
        bail!("this machine lacks {programs}, and only Debian has it installed here; {WAY_OUT}");
    }
    let mut packages: Vec<_> = missing.iter().map(|(_, package)| *package).collect();
    packages.dedup();
    eprintln!("installing with apt-get: {}", packages.join(" "));
    // A package that is known already can be installed even where the lists cannot be renewed.
    let renewed = command::run(&mut apt(&["update"])).await;
    let install = ["install", "--yes", "--no-install-recommends"];
    let installed = command::run(apt(&install).args(&packages)).await;
    match (installed, renewed) {
        (Ok(_), _) => Ok(()),
        (Err(error), Err(first)) => Err(error.context(format!("{first:#}"))),
        (Err(error), Ok(_)) => Err(error),
    }
    .with_context(|| format!("this machine lacks {programs}; {WAY_OUT}"))
}

/// The programs that this machine lacks, and their packages.
fn missing() -> Vec<(&'static str, &'static str)> {
    PROGRAMS.iter().filter(|(program, _)| find(program).is_none()).copied().collect()
}

/// Keeps others of us from installing at the same time: neither apt-get nor rustup likes that.
async fn lock() -> Result<File> {
    let wait = || {
        let place = File::open("/usr")?;
        place.lock()?;
        std::io::Result::Ok(place)
    };
    spawn_blocking(wait).await?.context("locking /usr while something is installed")
}

/// Makes sure that Rust can compile for `target`.
pub async fn ensure_rust_target(target: &str) -> Result<()> {
    // In the repository, because that is where it says which Rust is used.
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
    command::run(tool("rustup").args(["target", "add", target]))
        .await
        .with_context(|| format!("Rust's standard library for {target} is missing; {WAY_OUT}"))?;
    Ok(())
}

/// Where programs are looked for: in `PATH`, and where administrators' programs are on Linux.
#[must_use]
pub fn path() -> OsString {
    let path = env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    let folders = env::split_paths(&path).chain(system);
    // Only a folder with a colon in its name cannot be joined; none of PATH has one.
    env::join_paths(folders).unwrap_or(path)
}

fn find(program: &str) -> Option<PathBuf> {
    env::split_paths(&path()).map(|folder| folder.join(program)).find(|path| path.is_file())
}

fn apt(words: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    // Other programs may be installing something, too: their lock is waited for.
    command
        .args(["--quiet", "--option", "DPkg::Lock::Timeout=300", "--option", "Acquire::Retries=3"])
        .args(words)
        .env("DEBIAN_FRONTEND", "noninteractive");
    command
}
