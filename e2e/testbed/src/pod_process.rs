//! The process in a pod, as this machine sees it.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use rustix::param::clock_ticks_per_second;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;
use rustix::time::ClockId;
use rustix::time::clock_gettime;

/// Position of the start of a process in what follows its name in `/proc/PID/stat` (proc(5): field 22).
const START: usize = 19;

/// Kills the process with this variable in its environment and this name, which must be the only one, by
/// SIGKILL: a container cannot send it to its own first process.
pub fn kill(name: &str, variable: (&str, &str)) -> Result<()> {
    let id = find(name, variable)?;
    let pid = Pid::from_raw(id).context("the number of a process is 0")?;
    kill_process(pid, Signal::KILL).with_context(|| format!("killing process {id}"))
}

/// How long the process with this variable in its environment and this name, which must be the only one,
/// has been running, to a hundredth of a second.
pub fn age(name: &str, variable: (&str, &str)) -> Result<Duration> {
    let path = format!("/proc/{}/stat", find(name, variable)?);
    let line = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
    // The name may contain spaces and parentheses.
    let (_, fields) = line.rsplit_once(") ").with_context(|| format!("no name in {path}"))?;
    let ticks = fields.split(' ').nth(START).with_context(|| format!("no start in {path}"))?;
    let ticks: u64 = ticks.parse().with_context(|| format!("the start in {path}"))?;
    let start = Duration::from_millis(ticks * 1000 / clock_ticks_per_second());
    let now =
        Duration::try_from(clock_gettime(ClockId::Boottime)).context("the boot-time clock")?;
    Ok(now.saturating_sub(start))
}

/// The number of the only process with this name and variable.
fn find(name: &str, variable: (&str, &str)) -> Result<i32> {
    let variable = format!("{}={}", variable.0, variable.1);
    let found = fs::read_dir("/proc").context("listing processes")?.filter_map(|entry| {
        let id: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        is_process(id, name, &variable).then_some(id)
    });
    let found: Vec<_> = found.collect();
    ensure!(found.len() == 1, "the processes {found:?} are named {name} and have {variable}");
    Ok(found[0])
}

/// A process that has ended meanwhile is none.
fn is_process(id: i32, name: &str, variable: &str) -> bool {
    let command = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
    let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
    let mut variables = environment.split(|byte| *byte == 0);
    command.trim() == name && variables.any(|it| it == variable.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::thread::sleep;

    use super::*;

    #[test]
    fn a_process_is_as_old_as_its_start_is_ago() {
        let variable = ("POD_PROCESS_AGE", "1");
        let mut program = Command::new("sleep");
        let mut child = program.arg("60").env(variable.0, variable.1).spawn().unwrap();
        sleep(Duration::from_millis(500));
        let age = age("sleep", variable);
        kill("sleep", variable).unwrap();
        child.wait().unwrap();
        let age = age.unwrap();
        assert!(age >= Duration::from_millis(480) && age < Duration::from_secs(30), "{age:?}");
    }
}
