//! What a person sees while a tool set is being built.

use std::io;
use std::io::IsTerminal;
use std::io::Write;
use std::time::Duration;
use std::time::Instant;

/// Standard error, written to directly: a first build takes minutes, and what `eprintln` prints
/// would be held back by the test runner until the test is over.
#[derive(Debug)]
pub struct Progress {
    what: String,
    start: Instant,
    terminal: bool,
}

impl Progress {
    pub fn start(what: impl Into<String>) -> Self {
        let this =
            Self { what: what.into(), start: Instant::now(), terminal: io::stderr().is_terminal() };
        this.line("building (once)");
        this
    }

    /// How often to call [`Progress::tick`]: a terminal shows seconds, a log only that it goes on.
    pub fn period(&self) -> Duration {
        Duration::from_secs(if self.terminal { 1 } else { 30 })
    }

    pub fn tick(&self) {
        self.line(&format!("building, {} s", self.start.elapsed().as_secs()));
    }

    pub fn done(&self) {
        self.line(&format!("done in {} s", self.start.elapsed().as_secs()));
        if self.terminal {
            print("\n");
        }
    }

    fn line(&self, state: &str) {
        if self.terminal {
            print(&format!("\r\x1b[Ktools: {}: {state}", self.what));
        } else {
            announce(&self.what, state);
        }
    }
}

/// Says one thing about one set.
pub fn announce(what: &str, state: &str) {
    print(&format!("tools: {what}: {state}\n"));
}

/// A progress line that cannot be written is no reason to fail a build.
fn print(text: &str) {
    let mut stderr = io::stderr();
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}
