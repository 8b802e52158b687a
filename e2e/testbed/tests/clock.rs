//! Separate clocks for processes.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::time::Duration;
use std::time::SystemTime;
use std::time::UNIX_EPOCH;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use testbed::clock::Clock;
use testbed::clock::boot_clock_ahead;
use testbed::process::Program;
use testbed::run_folder::RunFolder;

const SOON: Duration = Duration::from_mins(1);
const HOUR: i64 = 3_600;

/// The first number that a program writes, in whole seconds.
async fn number(program: Program, log: &Path) -> Result<i64> {
    let process = program.start()?;
    let status = process.wait_exit(SOON).await?;
    ensure!(status.success(), "{}", process.tail(5));
    let text = fs::read_to_string(log)?;
    fs::remove_file(log)?;
    Ok(text.split(['.', '\n']).next().context("no number")?.parse()?)
}

#[tokio::test]
async fn the_time_of_day_is_set_for_one_process() -> Result<()> {
    let folder = RunFolder::create()?;
    let log = folder.path().join("log");
    let clock = Clock::of_day(folder.path(), "mine").await?;
    for ahead in [0, HOUR, -HOUR] {
        clock.jump(ahead)?;
        let mut date = Program::new("date", &log).argument("+%s");
        for (name, value) in clock.environment() {
            date = date.environment(name, value);
        }
        let shown = number(date, &log).await?;
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
        ensure!((shown - now - ahead).abs() < 60, "{shown} at {now}, set to {ahead:+}");
    }
    Ok(())
}

#[tokio::test]
async fn the_boot_clock_is_ahead_for_one_process() -> Result<()> {
    if testbed::pod_tests::are_skipped() {
        return Ok(());
    }
    ensure!(rustix::process::geteuid().is_root(), "a time namespace needs root");
    let folder = RunFolder::create()?;
    let log = folder.path().join("log");
    let uptime = async |prefix: Vec<OsString>| {
        let program = Program::new("cat", &log).argument("/proc/uptime").prefix(prefix);
        number(program, &log).await
    };
    let here = uptime(Vec::new()).await?;
    let there = uptime(boot_clock_ahead(Duration::from_hours(1))).await?;
    ensure!((there - here - HOUR).abs() < 60, "{here} here, {there} there");
    Ok(())
}
