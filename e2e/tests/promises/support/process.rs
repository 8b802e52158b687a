//! Processes of the operator.

use anyhow::Context;
use anyhow::Result;
use testbed::process::Process;

/// Resident memory, in KiB.
pub fn resident_kib(process: &Process) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.pid()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
    Ok(number.parse()?)
}
