//! The folder of one run, which is removed when this program ends, even by SIGKILL.

use std::env;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;

use anyhow::Context;
use anyhow::Result;
use tempfile::TempDir;

/// Removes the folder when standard input closes, which happens when this program ends. It leads its
/// own process group and ignores signals, so that Ctrl-C does not end it first. Programs that write
/// into the folder are killed at the same time: hence several attempts.
const REMOVE: &str = "rest=50; while [ -e \"$1\" ] && [ $rest -gt 0 ]; do \
     rm -rf -- \"$1\" 2>/dev/null || sleep 0.1; rest=$((rest - 1)); done";

/// A folder for data, logs and keys of one run, under the system's folder for temporary files.
///
/// Removed on drop, and also when the harness is killed. With `CONFIGMAPSYNC_KEEP` set it is kept
/// for its logs, and named on standard error.
#[derive(Debug)]
pub struct RunFolder {
    folder: Option<TempDir>,
    janitor: Option<Janitor>,
}

impl RunFolder {
    /// Makes a new one.
    pub fn create() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("configmapsync-").tempdir();
        let mut folder = folder.context("making a folder for the run")?;
        if env::var_os("CONFIGMAPSYNC_KEEP").is_some() {
            folder.disable_cleanup(true);
            eprintln!("the folder of this run is kept: {}", folder.path().display());
            return Ok(Self { folder: Some(folder), janitor: None });
        }
        let path = folder.path().to_str().context("the folder of the run is not UTF-8")?;
        let janitor = Some(Janitor::start(REMOVE, &[path])?);
        Ok(Self { folder: Some(folder), janitor })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.as_ref().map_or(Path::new(""), TempDir::path)
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // The folder first: the janitor then finds nothing left to do, and ends.
        drop(self.folder.take());
        drop(self.janitor.take());
    }
}

/// A shell script that waits for the end of the harness, and then cleans up.
///
/// Also run by dropping it, which waits for its end.
#[derive(Debug)]
pub struct Janitor {
    shell: Child,
}

impl Janitor {
    /// Starts one. `script` gets `words` as `$1`, `$2` and so on.
    pub fn start(script: &str, words: &[&str]) -> Result<Self> {
        let script = format!("trap '' HUP INT TERM; read -r _; {script}");
        let shell = Command::new("sh")
            .args(["-c", &script, "janitor"])
            .args(words)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("starting the shell that cleans up after the run")?;
        Ok(Self { shell })
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}
