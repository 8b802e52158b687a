//! The process that outlives a sandbox and cleans up after it.

use std::io::BufRead;
use std::io::BufReader;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use anyhow::bail;

const ANCHOR: &str = include_str!("anchor.sh");
const KEEPER: &str = include_str!("keeper.sh");

/// Deadline for closing a sandbox: killing its processes, and removing its control groups.
const END: Duration = Duration::from_secs(20);

/// The keeper of one sandbox, and the pipe by which the sandbox lives.
#[derive(Debug)]
pub struct Keeper {
    process: Child,
}

impl Keeper {
    /// Starts a keeper and its anchor; returns the process id of the anchor too.
    pub fn start(control_group: &str) -> Result<(Self, u32)> {
        let process = Command::new("bash")
            .args(["-c", KEEPER, "keeper", ANCHOR, control_group])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Ctrl-C must not end the keeper, which still has to clean up.
            .process_group(0)
            .spawn()
            .context("opening a sandbox: starting bash")?;
        let mut this = Self { process };
        let mut line = String::new();
        if let Some(output) = this.process.stdout.take() {
            BufReader::new(output).read_line(&mut line).context("opening a sandbox: reading")?;
        }
        let Ok(anchor) = line.trim().parse() else {
            drop(this.process.stdin.take());
            let errors = this.errors()?;
            bail!("opening a sandbox needs root, and a kernel with namespaces: {errors}");
        };
        Ok((this, anchor))
    }

    /// Ends the anchor, and everything inside with it, and waits for the keeper.
    pub fn end(&mut self) -> Result<()> {
        drop(self.process.stdin.take());
        let deadline = Instant::now() + END;
        loop {
            match self.process.try_wait().context("closing a sandbox: waiting for its keeper")? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    bail!("closing a sandbox: it ended with {status}: {}", self.errors()?)
                }
                None if Instant::now() < deadline => thread::sleep(Duration::from_millis(10)),
                None => {
                    bail!("timed out after {} s waiting for the end of a sandbox", END.as_secs())
                }
            }
        }
    }

    /// The standard error of keeper and anchor. Call it after both have ended.
    fn errors(&mut self) -> Result<String> {
        let mut text = String::new();
        if let Some(mut errors) = self.process.stderr.take() {
            errors.read_to_string(&mut text).context("reading the errors of the keeper")?;
        }
        Ok(text.trim().to_owned())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Does nothing if it has ended before. An error can only be printed here.
        if let Err(error) = self.end() {
            eprintln!("{error:#}");
        }
    }
}
