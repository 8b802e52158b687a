//! A program that holds something until it is killed: the test program itself, started once more.

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

/// Set for the program that holds.
const HOLD: &str = "CONFIGMAPSYNC_HOLD";
/// What it prints before it tells what it holds.
const HELD: &str = "held: ";

/// The program that holds, killed at the latest when the test is over.
pub struct Holder {
    program: Child,
    /// What it holds.
    pub footprint: Footprint,
}

impl Holder {
    /// Kills it: SIGKILL, which it cannot prepare for.
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

/// Starts the ignored test `name` of this file in a process of its own, until it holds something.
pub fn start(name: &str) -> Result<Holder> {
    let mut program = Command::new(env::current_exe()?)
        .args(["--exact", "--ignored", "--nocapture", name])
        .env(HOLD, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(program.stdout.take().context("no output")?).lines();
    let mut said = Vec::new();
    for line in lines {
        let line = line?;
        if let Some((_, footprint)) = line.split_once(HELD) {
            return Ok(Holder { program, footprint: serde_json::from_str(footprint)? });
        }
        said.push(line);
    }
    anyhow::bail!("{name} ended without holding anything:\n{}", said.join("\n"))
}

/// Whether this is the program that [`start`] started, and not somebody who runs ignored tests.
pub fn is_holder() -> bool {
    env::var_os(HOLD).is_some()
}

/// In the program that [`start`] started: tells what is held, and holds it.
pub async fn hold(footprint: &Footprint) -> Result<()> {
    println!("{HELD}{}", serde_json::to_string(footprint)?);
    std::future::pending().await
}

/// The kernel removes interfaces and dead processes within moments, but not at once.
pub fn assert_nothing_remains(footprint: &Footprint) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !footprint.remains().is_empty() {
        assert!(Instant::now() < deadline, "left behind: {:#?}", footprint.remains());
        thread::sleep(Duration::from_millis(20));
    }
}
