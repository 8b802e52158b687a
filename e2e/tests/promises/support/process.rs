//! Processes of the operator.

use anyhow::Context;
use anyhow::Result;
use testbed::process::Process;

/// Resident memory, in KiB.
pub fn resident_kib(process: &Process) -> Result<u64> {
    kib(process, "VmRSS:")
}

/// The peak of the resident memory since the start or [`reset_peak`], in KiB.
pub fn peak_kib(process: &Process) -> Result<u64> {
    kib(process, "VmHWM:")
}

/// From now on, the peak is that of later memory (proc(5), `clear_refs`).
pub fn reset_peak(process: &Process) -> Result<()> {
    Ok(std::fs::write(format!("/proc/{}/clear_refs", process.pid()), "5")?)
}

fn kib(process: &Process, field: &str) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|line| line.split_whitespace().next());
    Ok(number.with_context(|| format!("no {field}"))?.parse()?)
}
