//! The leader's resident memory over time.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use anyhow::Result;

/// The memory may grow by this factor from the third to the last sixth of a run.
pub const MAX_GROWTH: f64 = 1.05;
/// Shorter runs are not judged: the first minutes fill the caches.
const SHORTEST: Duration = Duration::from_mins(30);

/// Samples of the resident memory, in KiB, each with the time since the start.
#[derive(Debug, Default)]
pub struct MemoryUse {
    samples: Vec<(Duration, u32)>,
}

/// The medians of two sixths of a run, in KiB.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Growth {
    pub third_sixth: u32,
    pub last_sixth: u32,
    /// Whether it is within the bound; `None` if the run is too short to judge.
    pub is_bounded: Option<bool>,
}

// === impl MemoryUse ===

impl MemoryUse {
    /// Adds a sample of the process `pid`.
    ///
    /// # Errors
    /// If the process has ended.
    pub fn sample(&mut self, at: Duration, pid: i32) -> Result<()> {
        let path = format!("/proc/{pid}/status");
        let status = fs::read_to_string(&path).with_context(|| format!("reading {path}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        self.samples.push((at, resident.with_context(|| format!("no VmRSS in {path}"))?));
        Ok(())
    }

    /// The newest sample, in KiB.
    pub fn last(&self) -> u32 {
        self.samples.last().map_or(0, |(_, resident)| *resident)
    }

    /// The growth over a run of this length; `None` if a sixth has no samples.
    pub fn growth(&self, length: Duration) -> Option<Growth> {
        let third_sixth = self.median(length / 6 * 2, length / 6 * 3)?;
        let last_sixth = self.median(length / 6 * 5, length * 2)?;
        let factor = f64::from(last_sixth) / f64::from(third_sixth);
        let is_bounded = (length >= SHORTEST).then_some(factor <= MAX_GROWTH);
        Some(Growth { third_sixth, last_sixth, is_bounded })
    }

    fn median(&self, from: Duration, to: Duration) -> Option<u32> {
        let within = self.samples.iter().filter(|(at, _)| (from..to).contains(at));
        let mut within: Vec<_> = within.map(|(_, resident)| *resident).collect();
        within.sort_unstable();
        within.get(within.len() / 2).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn growth(minutes: u64, resident: impl Fn(u64) -> u32) -> Option<Growth> {
        let samples = (0..minutes).map(|minute| (Duration::from_mins(minute), resident(minute)));
        MemoryUse { samples: samples.collect() }.growth(Duration::from_mins(minutes))
    }

    #[test]
    fn growth_compares_the_third_and_the_last_sixth() {
        let steady = growth(60, |_| 100).unwrap();
        assert_eq!((steady.third_sixth, steady.last_sixth), (100, 100));
        assert_eq!(steady.is_bounded, Some(true));
        let grown = growth(60, |minute| if minute < 50 { 100 } else { 106 }).unwrap();
        assert_eq!(grown.is_bounded, Some(false));
    }

    #[test]
    fn short_runs_are_not_judged() {
        assert_eq!(growth(6, |minute| u32::try_from(minute).unwrap()).unwrap().is_bounded, None);
        assert_eq!(growth(0, |_| 1), None);
    }
}
