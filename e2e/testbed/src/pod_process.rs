//! The process in a pod, as this machine sees it.

use std::fs;

use anyhow::Context;
use anyhow::Result;
use anyhow::ensure;
use rustix::process::Pid;
use rustix::process::Signal;
use rustix::process::kill_process;

/// Kills the process with this variable in its environment and this name, which must be the only one, by
/// SIGKILL: a container cannot send it to its own first process.
pub fn kill(name: &str, variable: (&str, &str)) -> Result<()> {
    let variable = format!("{}={}", variable.0, variable.1);
    let found = fs::read_dir("/proc").context("listing processes")?.filter_map(|entry| {
        let id: i32 = entry.ok()?.file_name().to_str()?.parse().ok()?;
        is_process(id, name, &variable).then_some(id)
    });
    let found: Vec<_> = found.collect();
    ensure!(found.len() == 1, "the processes {found:?} are named {name} and have {variable}");
    let id = Pid::from_raw(found[0]).context("the number of a process is 0")?;
    kill_process(id, Signal::KILL).with_context(|| format!("killing process {}", found[0]))
}

/// A process that has ended meanwhile is none.
fn is_process(id: i32, name: &str, variable: &str) -> bool {
    let command = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
    let environment = fs::read(format!("/proc/{id}/environ")).unwrap_or_default();
    let mut variables = environment.split(|byte| *byte == 0);
    command.trim() == name && variables.any(|it| it == variable.as_bytes())
}
