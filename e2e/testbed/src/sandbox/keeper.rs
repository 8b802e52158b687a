//! The process that outlives a sandbox and cleans up behind it.

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

/// How long the end of a sandbox may take: killing, and removing its control groups.
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
            // Ctrl-C is for this program; the keeper still has work to do when it is gone.
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
            let said = this.complaints()?;
            bail!("opening a sandbox needs root, and a kernel with namespaces: {said}");
        };
        Ok((this, anchor))
    }

    /// Lets the anchor go, which is the end of everything inside, and waits for the keeper.
    pub fn end(&mut self) -> Result<()> {
        drop(self.process.stdin.take());
        let deadline = Instant::now() + END;
        loop {
            match self.process.try_wait().context("closing a sandbox: waiting for its keeper")? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => {
                    bail!("closing a sandbox: it ended with {status}: {}", self.complaints()?)
                }
                None if Instant::now() < deadline => thread::sleep(Duration::from_millis(10)),
                None => bail!("closing a sandbox: it goes on after {} s", END.as_secs()),
            }
        }
    }

    /// What the keeper and the anchor said on standard error; for when both have ended.
    fn complaints(&mut self) -> Result<String> {
        let mut said = String::new();
        if let Some(mut errors) = self.process.stderr.take() {
            errors.read_to_string(&mut said).context("reading what the keeper said")?;
        }
        Ok(said.trim().to_owned())
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // Ended before: nothing happens. Otherwise there is nobody left to tell but a person.
        if let Err(error) = self.end() {
            eprintln!("{error:#}");
        }
    }
}
