//! A process that holds resources until it is killed: the test program itself, started again.

use std::env;
use std::io::BufRead;
use std::io::BufReader;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::thread;
use std::time::Duration;
use std::time::Instant;

use anyhow::Context;
use anyhow::Result;
use testbed::sandbox::Footprint;

/// Set in the environment of that process.
const HOLD: &str = "CONFIGMAPSYNC_HOLD";
/// Prefix of the line in which it describes what it holds.
const HELD: &str = "held: ";

/// The process that holds resources. Dropped, it is killed.
pub struct Holder {
    program: Child,
    /// What it holds.
    pub footprint: Footprint,
}

impl Holder {
    /// Sends SIGKILL, which it cannot handle.
    pub fn kill(&mut self) -> Result<()> {
        self.program.kill()?;
        self.program.wait()?;
        Ok(())
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// Starts the ignored test `name` of this file in a separate process, and waits until it holds its
/// resources.
pub fn start(name: &str) -> Result<Holder> {
    let mut program = Command::new(env::current_exe()?)
        .args(["--exact", "--ignored", "--nocapture", name])
        .env(HOLD, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(program.stdout.take().context("no output")?).lines();
    let mut output = Vec::new();
    for line in lines {
        let line = line?;
        if let Some((_, footprint)) = line.split_once(HELD) {
            return Ok(Holder { program, footprint: serde_json::from_str(footprint)? });
        }
        output.push(line);
    }
    anyhow::bail!("{name} ended without holding anything:\n{}", output.join("\n"))
}

/// Whether [`start`] started this process; `false` for a run of all ignored tests.
pub fn is_holder() -> bool {
    env::var_os(HOLD).is_some()
}

/// In the process that [`start`] started: prints what is held, and holds it.
pub async fn hold(footprint: &Footprint) -> Result<()> {
    println!("{HELD}{}", serde_json::to_string(footprint)?);
    std::future::pending().await
}

/// Waits until nothing remains: the kernel removes interfaces and dead processes with a short delay.
pub fn assert_nothing_remains(footprint: &Footprint) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !footprint.remains().is_empty() {
        assert!(Instant::now() < deadline, "left behind: {:#?}", footprint.remains());
        thread::sleep(Duration::from_millis(20));
    }
}
