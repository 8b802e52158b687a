//! Metrics of the process, under the names of Prometheus' client libraries.

use std::fmt;
use std::fs;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::EncodeMetric;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use rustix::time::ClockId;
use rustix::time::clock_gettime;

/// Reads the resources of the process when they are scraped. A value that cannot be read is left out.
#[derive(Debug)]
struct Process {
    /// Unix time, in seconds.
    started: f64,
}

/// Registers the metrics of this process, which has just started.
pub(super) fn register(registry: &mut Registry) {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let started = since_epoch.unwrap_or_default().as_secs_f64();
    registry.register_collector(Box::new(Process { started }));
}

// === impl Process ===

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let cpu = clock_gettime(ClockId::ProcessCPUTime);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let cpu = cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9;
        let help = "CPU time spent by the process, in seconds.";
        write(&mut encoder, "process_cpu_seconds", help, &ConstCounter::new(cpu))?;
        let help = "Unix time at which the process started.";
        write(&mut encoder, "process_start_time_seconds", help, &ConstGauge::new(self.started))?;
        if let Some(bytes) = resident_bytes() {
            let help = "Resident memory of the process.";
            write(&mut encoder, "process_resident_memory_bytes", help, &ConstGauge::new(bytes))?;
        }
        if let Some(count) = open_files() {
            let help = "Open file descriptors of the process.";
            write(&mut encoder, "process_open_fds", help, &ConstGauge::new(count))?;
        }
        Ok(())
    }
}

fn write(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    metric: &impl EncodeMetric,
) -> Result<(), fmt::Error> {
    metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
}

/// `VmRSS` in `/proc/self/status` (proc(5)).
fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn open_files() -> Option<i64> {
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    i64::try_from(count).ok()
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text;

    use super::*;

    #[test]
    fn each_resource_of_the_process_has_a_plausible_value() {
        let mut registry = Registry::default();
        register(&mut registry);
        let mut exposition = String::new();
        text::encode(&mut exposition, &registry).unwrap();
        let value = |name: &str| {
            let line = exposition.lines().find_map(|line| line.strip_prefix(name));
            line.unwrap_or_else(|| panic!("no {name}: {exposition}")).trim().parse::<f64>().unwrap()
        };
        assert!((0.0..1e6).contains(&value("process_cpu_seconds_total ")));
        assert!(value("process_start_time_seconds ") > 1.7e9);
        assert!((1e6..1e11).contains(&value("process_resident_memory_bytes ")));
        assert!(value("process_open_fds ") >= 3.0);
    }
}
