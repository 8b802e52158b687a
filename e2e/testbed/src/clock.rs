//! A separate clock for a process: another time of day, and another rate.
//!
//! Debian's `libfaketime` replaces two clocks of glibc: the time of day, and the monotonic clock that
//! Rust's `Instant` reads. The boot-time clock is read from the kernel, and is shifted by a
//! [time namespace](boot_clock_ahead).

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;

use crate::debian;

/// The clock of a process.
#[derive(Clone, Debug)]
pub struct Clock {
    library: PathBuf,
    file: PathBuf,
    with_monotonic: bool,
}

// === impl Clock ===

impl Clock {
    /// A clock for the process `name`, correct until it is set. Its setting is a file in `folder`. Only
    /// the time of day is separate.
    pub async fn of_day(folder: &Path, name: &str) -> Result<Self> {
        Self::new(folder, name, false, "+0").await
    }

    /// As [`Clock::of_day`], with the monotonic clock, which is set together with it.
    pub async fn with_monotonic(folder: &Path, name: &str) -> Result<Self> {
        Self::new(folder, name, true, "+0").await
    }

    /// As [`Clock::with_monotonic`], and both run at `rate` (1.0 is real time) from the start of the
    /// process.
    pub async fn at_rate(folder: &Path, name: &str, rate: f64) -> Result<Self> {
        Self::new(folder, name, true, &format!("+0 x{rate}")).await
    }

    async fn new(folder: &Path, name: &str, with_monotonic: bool, setting: &str) -> Result<Self> {
        let library = debian::ensure_faketime().await?;
        let clock = Self { library, file: folder.join(format!("{name}.clock")), with_monotonic };
        clock.set(setting)?;
        Ok(clock)
    }

    /// Sets it `seconds` ahead of the correct time, or behind it.
    pub fn jump(&self, seconds: i64) -> Result<()> {
        self.set(&format!("{seconds:+}"))
    }

    /// The environment variables that give a process this clock.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let monotonic = if self.with_monotonic { "0" } else { "1" };
        let variables = [
            ("LD_PRELOAD", self.library.display().to_string()),
            ("FAKETIME_TIMESTAMP_FILE", self.file.display().to_string()),
            // The setting is read at each call.
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", monotonic.to_owned()),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).into()
    }

    /// Replaces the file atomically: the process never reads a part of it.
    fn set(&self, setting: &str) -> Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{setting}\n"))
            .and_then(|()| fs::rename(&new, &self.file))
            .with_context(|| format!("setting the clock {}", self.file.display()))
    }
}

/// The prefix of a command line that sets its boot-time clock ahead. Needs root.
#[must_use]
pub fn boot_clock_ahead(by: Duration) -> Vec<OsString> {
    let seconds = by.as_secs().to_string();
    ["unshare", "--time", "--boottime", &seconds, "--"].map(OsString::from).into()
}
