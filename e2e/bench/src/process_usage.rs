//! The CPU time and memory of a process, from `/proc`.

use std::fs;

use anyhow::Context;
use anyhow::Result;
use serde::Serialize;

/// Clock ticks per second, constant on Linux (proc(5), `sysconf(_SC_CLK_TCK)`).
const TICKS_PER_SECOND: f64 = 100.0;

/// The resource use of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Usage {
    /// CPU time since its start, in seconds.
    pub cpu: f64,
    /// Resident memory now, in MiB.
    pub rss: f64,
    /// The peak of the resident memory, in MiB.
    pub peak: f64,
}

// === impl Usage ===

impl Usage {
    /// Reads the resource use of the process `pid`.
    pub fn of(pid: i32) -> Result<Self> {
        let read = |file: &str| {
            let path = format!("/proc/{pid}/{file}");
            fs::read_to_string(&path).with_context(|| format!("reading {path}"))
        };
        Self::parse(&read("stat")?, &read("status")?)
            .with_context(|| format!("reading the resource use of the process {pid}"))
    }

    fn parse(stat: &str, status: &str) -> Result<Self> {
        // The name in parentheses may contain anything; the third field follows it.
        let (_, fields) =
            stat.rsplit_once(')').context("the file stat contains no process name")?;
        let field = |number: usize| {
            let field = fields.split_whitespace().nth(number - 3);
            field
                .and_then(|field| field.parse::<u32>().ok())
                .context("a field is missing in the file stat")
        };
        let mebibytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            kibibytes
                .map(|it: u32| f64::from(it) / 1024.0)
                .with_context(|| format!("the file status contains no {name}"))
        };
        Ok(Self {
            cpu: f64::from(field(14)? + field(15)?) / TICKS_PER_SECOND,
            rss: mebibytes("VmRSS:")?,
            peak: mebibytes("VmHWM:")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_parsed_from_the_proc_files() {
        let stat = "7 (a b) c) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 4 0 1 2 3";
        let status = "Name:\ta\nVmHWM:\t    2048 kB\nVmRSS:\t    1536 kB\n";
        let usage = Usage::parse(stat, status).unwrap();
        assert_eq!(usage, Usage { cpu: 3.0, rss: 1.5, peak: 2.0 });
    }

    #[test]
    fn a_running_process_uses_memory() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert!(Usage::of(own).unwrap().rss > 0.0);
    }
}
